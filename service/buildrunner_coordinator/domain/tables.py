"""The state tables of session, task and worker: one row a state, one column an event.

Guards choose the event, the table only says where it leads. `STAY` is a harmless repeat, `REFUSE`
reaches the caller, `NEVER` is a bug. Every cell is filled; the module checks that when imported.
The drawings in docs/states.md are generated from here (h11 keeps its state machine the same way).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from buildrunner_coordinator.domain.model import SessionStatus, TaskStatus, WorkerStatus


class Special(StrEnum):
    STAY = "stay"
    REFUSE = "refuse"
    NEVER = "never"


STAY, REFUSE, NEVER = Special.STAY, Special.REFUSE, Special.NEVER

_S = SessionStatus
SESSION_EVENTS: Final = ("start", "pause", "resume", "done", "failed", "complete", "fail", "cancel", "retry")
"""done, failed: sealed and the last task over. complete, fail: said by the owner."""
SESSIONS: Final[dict[SessionStatus, tuple[SessionStatus | Special, ...]]] = {
    #               start       pause      resume      done          failed     complete      fail       cancel        retry
    _S.CREATED:   (_S.RUNNING, REFUSE,    _S.RUNNING, STAY,         STAY,      _S.COMPLETED, _S.FAILED, _S.CANCELLED, REFUSE),
    _S.RUNNING:   (STAY,       _S.PAUSED, STAY,       _S.COMPLETED, _S.FAILED, _S.COMPLETED, _S.FAILED, _S.CANCELLED, STAY),
    _S.PAUSED:    (_S.RUNNING, STAY,      _S.RUNNING, _S.COMPLETED, _S.FAILED, _S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.RUNNING),
    _S.COMPLETED: (REFUSE,     REFUSE,    REFUSE,     STAY,         NEVER,     STAY,         REFUSE,    REFUSE,       REFUSE),
    _S.FAILED:    (REFUSE,     REFUSE,    REFUSE,     NEVER,        STAY,      REFUSE,       STAY,      REFUSE,       _S.RUNNING),
    _S.CANCELLED: (REFUSE,     REFUSE,    REFUSE,     STAY,         STAY,      REFUSE,       REFUSE,    STAY,         REFUSE),
}  # fmt: skip

_T = TaskStatus
TASK_EVENTS: Final = (
    "unblock", "assign", "start", "requeue", "succeed", "fail", "stop", "cancel", "skip", "revive",
)  # fmt: skip
"""requeue: given back, lost or failed with retries left. stop: told to end. revive: run again by a retry."""
TASKS: Final[dict[TaskStatus, tuple[TaskStatus | Special, ...]]] = {
    #               unblock    assign       start       requeue    succeed       fail       stop           cancel        skip        revive
    _T.BLOCKED:    (_T.QUEUED, NEVER,       NEVER,      NEVER,     NEVER,        NEVER,     NEVER,         _T.CANCELLED, _T.SKIPPED, STAY),
    _T.QUEUED:     (NEVER,     _T.ASSIGNED, NEVER,      NEVER,     NEVER,        _T.FAILED, NEVER,         _T.CANCELLED, NEVER,      STAY),
    _T.ASSIGNED:   (NEVER,     NEVER,       _T.RUNNING, _T.QUEUED, _T.SUCCEEDED, _T.FAILED, _T.CANCELLING, _T.CANCELLED, NEVER,      STAY),
    _T.RUNNING:    (NEVER,     NEVER,       STAY,       _T.QUEUED, _T.SUCCEEDED, _T.FAILED, _T.CANCELLING, _T.CANCELLED, NEVER,      STAY),
    _T.CANCELLING: (NEVER,     NEVER,       STAY,       _T.QUEUED, _T.SUCCEEDED, _T.FAILED, STAY,          _T.CANCELLED, NEVER,      REFUSE),
    _T.SUCCEEDED:  (NEVER,     NEVER,       NEVER,      NEVER,     NEVER,        NEVER,     NEVER,         STAY,         NEVER,      REFUSE),
    _T.FAILED:     (NEVER,     NEVER,       NEVER,      NEVER,     NEVER,        NEVER,     NEVER,         STAY,         NEVER,      _T.BLOCKED),
    _T.CANCELLED:  (NEVER,     NEVER,       NEVER,      NEVER,     NEVER,        NEVER,     NEVER,         STAY,         NEVER,      _T.BLOCKED),
    _T.SKIPPED:    (NEVER,     NEVER,       NEVER,      NEVER,     NEVER,        NEVER,     NEVER,         STAY,         NEVER,      _T.BLOCKED),
}  # fmt: skip

_W = WorkerStatus
WORKER_EVENTS: Final = ("take", "free", "silence", "hello", "heartbeat", "fault")
"""free: its last attempt is over. fault: the limit of failed starts is reached."""
WORKERS: Final[dict[WorkerStatus, tuple[WorkerStatus | Special, ...]]] = {
    #             take     free     silence     hello    heartbeat fault
    _W.IDLE:    (_W.BUSY, STAY,    _W.OFFLINE, STAY,    STAY,     _W.ERROR),
    _W.BUSY:    (STAY,    _W.IDLE, _W.OFFLINE, STAY,    STAY,     _W.ERROR),
    _W.OFFLINE: (NEVER,   STAY,    STAY,       _W.IDLE, _W.IDLE,  STAY),
    _W.ERROR:   (NEVER,   STAY,    _W.OFFLINE, _W.IDLE, STAY,     STAY),
}  # fmt: skip


class TransitionError(AssertionError):
    """A transition that must never happen: a bug, with the noun, its state and the event."""


def _index(
    rows: dict[str, tuple[str, ...]], states: type[StrEnum], events: tuple[str, ...]
) -> dict[tuple[str, str], str]:
    """The cells by (state, event). Asserts that none is missing or left over."""
    assert set(rows) == set(states), f"{states.__name__}: rows {set(rows) ^ set(states)}"
    for state, row in rows.items():
        assert len(row) == len(events), f"{state} has {len(row)} cells for {len(events)} events"
    return {
        (state, event): cell for state, row in rows.items() for event, cell in zip(events, row, strict=True)
    }


SESSION_CELLS: Final = _index(SESSIONS, SessionStatus, SESSION_EVENTS)  # type: ignore[arg-type]
TASK_CELLS: Final = _index(TASKS, TaskStatus, TASK_EVENTS)  # type: ignore[arg-type]
WORKER_CELLS: Final = _index(WORKERS, WorkerStatus, WORKER_EVENTS)  # type: ignore[arg-type]
