"""What the rows tell of each task must be a story: it begins with the submission, ends as the task ended,
and never goes back."""

from __future__ import annotations

from itertools import pairwise

from buildrunner_coordinator.domain.changes import EventRow, SpecRow, TaskRow
from buildrunner_coordinator.domain.model import TASK_OVER
from buildrunner_coordinator.domain.questions import AttemptQuery, EventQuery
from buildrunner_coordinator.domain.steps import task_history
from buildrunner_coordinator.store.memory import MemoryRows
from tests.sim.trace import SimulationFault

_OVER = frozenset(status.value for status in TASK_OVER)
_AFTER = {
    "assigned": {"started", "lost", "ended", "given_back", "cancel_requested", "stop_requested"},
    "started": {"lost", "ended", "cancel_requested", "stop_requested"},
}
"""What may follow upon a step of an attempt, leaving out that its worker may still be asked for it."""
_ALL = 1 << 40


def check_histories(rows: MemoryRows) -> None:
    """Raises SimulationFault. Every session that is there, every task of it, every attempt."""
    for session_id, tasks in rows.tasks.items():
        _check_attempts(rows, session_id)
        for task in tasks.values():
            spec, _, attempts = rows.read_task(session_id, task.task_id) or (None, None, [])
            assert spec is not None
            noted = rows.read_events(EventQuery(session_id, task.task_id, limit=_ALL))
            _check(spec, task, [event for _, event in task_history(spec, task, attempts, noted)])


def _check_attempts(rows: MemoryRows, session_id: str) -> None:
    """The job log names every attempt once, in an order in which one can go on."""
    page = rows.read_attempts(AttemptQuery(session_id, limit=_ALL, limit_bytes=_ALL))
    keys = [(row.ended_revision, row.task_number, row.number) for row, _ in page.rows]
    if len(keys) != len(rows.attempts.get(session_id, {})) or keys != sorted(set(keys)):
        raise SimulationFault(f"the ended attempts of {session_id} are listed as {keys}", session_id)
    for row, _ in page.rows:
        steps = [row.assigned_revision, row.started_revision or row.ended_revision, row.ended_revision]
        if steps != sorted(steps) or steps[0] < 1:
            raise SimulationFault(f"the revisions of {row} are in disorder", row.task_id, session_id)


def _check(spec: SpecRow, task: TaskRow, story: list[EventRow]) -> None:
    # The paths of a lost attempt are freed in their own time, be its task over by then.
    story = [event for event in story if event.kind != "unlocked"]
    kinds = [event.kind for event in story]
    revisions = [event.revision for event in story]
    faults = []
    if kinds[0] != "submitted" or kinds.count("submitted") != 1 or spec.submitted_revision < 1:
        faults.append("does not begin with the submission")
    if task.status in _OVER and kinds[-1] not in ("ended", "skipped"):
        faults.append(f"ends with {kinds[-1]}, and the task is {task.status}")
    if revisions != sorted(revisions) or revisions[-1] > task.revision:
        faults.append(f"goes back: {revisions}, the task is at {task.revision}")
    for one, other in pairwise(kinds):
        if one in _AFTER and other not in _AFTER[one]:
            faults.append(f"has {other} behind {one}")
    if faults:
        raise SimulationFault(
            f"the story of {task.task_id} {'; it '.join(faults)}: {kinds}", task.task_id, task.session_id
        )
