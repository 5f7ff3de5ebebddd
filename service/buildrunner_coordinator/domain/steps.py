"""The ordinary steps of one task, read off its rows, and put in order with what was noted. Pure reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from buildrunner_coordinator.domain.changes import AttemptRow, EventRow, SpecRow, TaskRow
from buildrunner_coordinator.domain.codec import texts_of
from buildrunner_coordinator.domain.history import TASK_PHASES, counted, duration
from buildrunner_coordinator.domain.model import TASK_OVER, Outcome, TaskStatus

Place = tuple[int, int, int, int]
"""Where a step stands: revision, attempt, phase within that commit, number of what was noted."""

START: Final[Place] = (0, 0, 0, 0)
_OVER = frozenset(status.value for status in TASK_OVER)
_LAST_PHASE: Final = max(TASK_PHASES.values())
_ENDS: Final = {
    Outcome.SUCCEEDED: "succeeded",
    Outcome.FAILED: "failed",
    Outcome.TIMED_OUT: "ran out of time",
    Outcome.CANCELLED: "was cancelled",
    Outcome.NOT_STARTED: "could not be started",
    Outcome.LOST: "was lost",
    Outcome.REVOKED: "was stopped at no cost",
    Outcome.LOCK_LOST: "lost its locks",
}
_FATES: Final = {
    TaskStatus.SUCCEEDED: "the task succeeded",
    TaskStatus.FAILED: "the task failed",
    TaskStatus.CANCELLED: "the task was cancelled",
    TaskStatus.SKIPPED: "the task was skipped",
}
_SAME: Final = {(Outcome.SUCCEEDED, TaskStatus.SUCCEEDED), (Outcome.CANCELLED, TaskStatus.CANCELLED)}
"""Ends of attempts that say all about the end of the task."""


_beginning = attrgetter("worker_id", "host", "pid", "assigned_revision", "assigned_at_us",
                        "started_revision", "started_at_us")  # fmt: skip


class _Begun(NamedTuple):
    """What the rows of live and of ended attempts have in common."""

    number: int
    worker_id: str
    host: str
    pid: int
    assigned_revision: int
    assigned_at_us: int
    started_revision: int
    started_at_us: int


def task_history(
    spec: SpecRow,
    row: TaskRow,
    attempts: Sequence[AttemptRow],
    noted: Sequence[EventRow],
) -> list[tuple[Place, EventRow]]:
    """What happened to the task, oldest first, nothing twice. `attempts` are the ended ones, in order."""
    found = [(_place(one), one) for one in noted]
    lost = {one.attempt for one in noted if one.kind == "lost"}
    went_on = lost | {one.attempt for one in noted if one.kind == "requeued"}
    last = attempts[-1].number if attempts and _ended_with(row, attempts[-1]) else 0
    said = last if last not in went_on else 0
    found.append(_submitted(spec))
    for attempt in attempts:
        found += _begun(spec, _Begun(attempt.number, *_beginning(attempt)))
        if attempt.number not in lost:
            found.append(_ended(spec, attempt, row if attempt.number == said else None))
    if row.attempt_id:
        found += _begun(spec, _Begun(row.attempts, *_beginning(row)))
    if row.status in _OVER and not said:
        found.append(_over(spec, row))
    return sorted(found, key=lambda one: one[0])


def _place(one: EventRow) -> Place:
    """What was given back never was an attempt: its number goes to the next one."""
    attempt = one.attempt - (one.kind == "given_back")
    return one.revision, attempt, TASK_PHASES[one.kind], one.number


def _submitted(spec: SpecRow) -> tuple[Place, EventRow]:
    needs = len(texts_of(spec.needs_json))
    behind = f", behind {counted(needs, 'need')}" if needs else ""
    message = f"Submitted as task {spec.number} of its session{behind}"
    return _step(spec, "submitted", spec.submitted_revision, spec.submitted_at_us, message)


def _begun(spec: SpecRow, one: _Begun) -> Iterator[tuple[Place, EventRow]]:
    where = f"worker {one.worker_id}" + (f" on {one.host}" if one.host else "")
    about = (one.number, one.worker_id)
    message = f"Attempt {one.number} was given to {where}"
    yield _step(spec, "assigned", one.assigned_revision, one.assigned_at_us, message, about)
    if one.started_revision:
        process = f" as process {one.pid}" if one.pid else ""
        message = f"Attempt {one.number} started{process}"
        yield _step(spec, "started", one.started_revision, one.started_at_us, message, about)


def _ended(spec: SpecRow, one: AttemptRow, row: TaskRow | None) -> tuple[Place, EventRow]:
    """With `row`: and with it the task."""
    outcome = Outcome(one.outcome)
    took_us = one.ended_at_us - one.started_at_us
    took = f" after {duration(took_us)}" if one.started_at_us and took_us >= 0 else ""
    why = f": {one.error}" if one.error else ""
    more = f"; {_fate(row)}" if row is not None and (outcome, row.status) not in _SAME else ""
    message = f"Attempt {one.number} {_ENDS[outcome]}{took}{why}{more}"
    kind = "lost" if outcome is Outcome.LOST else "ended"
    return _step(spec, kind, one.ended_revision, one.ended_at_us, message, (one.number, one.worker_id))


def _over(spec: SpecRow, row: TaskRow) -> tuple[Place, EventRow]:
    """The end of the task, where the end of its last attempt does not tell it."""
    kind = "skipped" if row.status == TaskStatus.SKIPPED else "ended"
    message = _fate(row)
    message = message[0].upper() + message[1:]
    place, event = _step(spec, kind, row.revision, row.ended_at_us, message, (row.attempts, ""))
    return (*place[:2], _LAST_PHASE, 0), event


def _ended_with(row: TaskRow, one: AttemptRow) -> bool:
    """The commit that ended this attempt ended the task."""
    return row.status in _OVER and (row.attempts, row.revision) == (one.number, one.ended_revision)


def fate(status: TaskStatus, reason: str, error: str) -> str:
    """How a task that is over came to its end, such as "the task failed (EXIT)"."""
    if status is TaskStatus.SKIPPED:
        return f"{_FATES[status]}: it {error}"
    return _FATES[status] + (f" ({reason})" if reason else "")


def _fate(row: TaskRow) -> str:
    return fate(TaskStatus(row.status), row.reason, row.error)


def _step(
    spec: SpecRow, kind: str, revision: int, at_us: int, message: str, about: tuple[int, str] = (0, "")
) -> tuple[Place, EventRow]:
    attempt, worker_id = about
    event = EventRow(revision, 0, 0, at_us, kind, spec.session_id, spec.task_id, attempt, worker_id, message)
    return (revision, attempt, TASK_PHASES[kind], 0), event
