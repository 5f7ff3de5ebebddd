"""What is written down for people: everything unusual, one row each, in the commit of its effect.

Ordinary steps (submitted, assigned, started, ended) write no row here: `steps.py` reads them off the
rows of tasks and attempts, so that the way of most tasks costs nothing more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from buildrunner_coordinator.domain.changes import EventRow
from buildrunner_coordinator.domain.model import Session, SessionStatus, Task, TaskStatus, Worker

if TYPE_CHECKING:
    from buildrunner_coordinator.domain.state import State

_MESSAGE_CHARACTERS = 1000
_SWEEP_US = 3_600_000_000
"""Old events of workers are looked for once in so much core time, when another one is written."""

TASK_PHASES: Final = {
    "submitted": 0, "assigned": 1, "started": 2, "cancel_requested": 3, "stop_requested": 3,
    "lost": 4, "ended": 4, "given_back": 5, "requeued": 5, "retried": 5, "unlocked": 5, "lock_forced": 3,
    "skipped": 6,
}  # fmt: skip
"""What can happen to a task, and its place among what happens to the same attempt in one commit."""
SESSION_KINDS: Final = frozenset({
    "created", "imported", "started", "sealed", "paused", "resumed", "changed", "scaled", "cancel_requested",
    "end_requested", "policy_tripped", "retried", "ended", "lock_forced", "lock_lapsed",
    "locks_given_up", "locks_taken_again",
})  # fmt: skip
WORKER_KINDS: Final = frozenset({"registered", "back", "draining", "error", "offline", "gone"})


def note(
    core: State, kind: str, message: str, *, session_id: str = "", task_id: str = "", attempt: int = 0,
    worker_id: str = "",
) -> None:  # fmt: skip
    """Something has happened; `message` is a sentence without its full stop. To be called once it is sure:
    a command that is refused leaves no trace."""
    events = core.journal.events
    events.append(EventRow(
        core.revision + 1, len(events) + 1, core.now.us, core.now.wall_us, kind, session_id, task_id, attempt,
        worker_id, message[:_MESSAGE_CHARACTERS],
    ))  # fmt: skip
    if not session_id:
        _sweep(core)


def note_session(core: State, session: Session, kind: str, message: str) -> None:
    assert kind in SESSION_KINDS, kind
    note(core, kind, message, session_id=session.session_id)


def note_task(core: State, task: Task, kind: str, message: str) -> None:
    """About its last attempt, or the task as it is behind that."""
    assert kind in TASK_PHASES, kind
    note(core, kind, message, session_id=task.session_id, task_id=task.task_id, attempt=task.attempts,
         worker_id=task.worker_id)  # fmt: skip


def note_worker(core: State, worker: Worker, kind: str, message: str) -> None:
    assert kind in WORKER_KINDS, kind
    note(core, kind, message, worker_id=worker.worker_id)


def note_given_back(core: State, task: Task, number: int, why: str) -> None:
    """The 1st, 2nd, 4th, 8th, ... time: a task that goes to and fro a thousand times makes ten rows."""
    task.given_back += 1
    if task.given_back & (task.given_back - 1):
        return
    times = f" ({task.given_back} times by now)" if task.given_back > 1 else ""
    because = f": {why}" if why else ""
    message = f"Worker {task.worker_id} gave attempt {number} back before it started{times}{because}"
    note(core, "given_back", message, session_id=task.session_id, task_id=task.task_id, attempt=number,
         worker_id=task.worker_id)  # fmt: skip


def note_end(core: State, session: Session) -> None:
    """The session is over."""
    reason = f" ({session.reason})" if session.reason else ""
    note_session(core, session, "ended", f"The session is {session.status}{reason}: {_tally(session)}")


def duration(span_us: int) -> str:
    """Such as "250 ms", "7.5 s", "3 min 20 s", "2 h 5 min"."""
    if span_us < 1_000_000:
        return f"{max(0, span_us) // 1000} ms"
    seconds = span_us / 1e6
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    minutes, left_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {left_s} s" if left_s else "")
    hours, left_min = divmod(minutes, 60)
    return f"{hours} h" + (f" {left_min} min" if left_min else "")


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _tally(session: Session) -> str:
    """Such as "8 of 10 tasks succeeded, 1 failed, 1 skipped"."""
    counts = session.counts
    total = sum(counts.values())
    if not total:
        return "it had no tasks"
    others = (TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.SKIPPED)
    parts = [f"{counts[TaskStatus.SUCCEEDED]} of {counted(total, 'task')} succeeded"]
    parts += [f"{counts[status]} {status}" for status in others if counts[status]]
    return ", ".join(parts)


def _sweep(core: State) -> None:
    """Events of workers alone are kept for as long as ended sessions are."""
    keep_us = core.settings.retention_ms * 1000
    if keep_us and core.now.us >= core.events_swept_us + _SWEEP_US:
        core.events_swept_us = core.now.us
        core.journal.removed_events.append((core.now.us - keep_us,))


def ends_session(status: SessionStatus) -> str:
    """The kind of an order to end a session in this state."""
    return "cancel_requested" if status is SessionStatus.CANCELLED else "end_requested"
