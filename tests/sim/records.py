"""What became durable, commit by commit, and the rules that hold over restarts.

Reads the rows, never the core: what the coordinator believes is no evidence here.
"""

from __future__ import annotations

from buildrunner_coordinator.domain.changes import Changes, TaskRow
from buildrunner_coordinator.domain.model import TASK_OVER
from buildrunner_coordinator.store.memory import MemoryRows
from tests.sim.trace import SimulationFault

_OVER = frozenset(status.value for status in TASK_OVER)


class Records:
    """Watches the commits of one store."""

    def __init__(self, rows: MemoryRows, crash_limit: int) -> None:
        self.rows = rows
        self.deleted: set[str] = set()
        self._crash_limit = crash_limit
        self._revision = 0
        self._epoch = 0
        self._highest_fence = 0
        self._fence_before = 0
        self._grant_fences: set[int] = set()
        self._ends: dict[tuple[str, str], TaskRow] = {}
        self._attempts: set[tuple[str, str, int]] = set()
        self._facts: list[tuple[str, ...]] = []

    def status(self, session_id: str, task_id: str) -> str:
        row = self.rows.tasks.get(session_id, {}).get(task_id)
        return row.status if row is not None else ""

    # ------------------------------------------------------------------ commits

    def took_over(self, epoch: int, next_fence: int) -> None:
        if epoch <= self._epoch or next_fence <= self._highest_fence:
            raise SimulationFault(f"epoch {epoch} and fence {next_fence} are not above those before")
        self._epoch = epoch

    def before_commit(self, changes: Changes) -> None:
        """Raises SimulationFault when these changes break a rule together with what is stored."""
        if changes.revision != self._revision + 1:
            raise SimulationFault(f"revision {changes.revision} follows on {self._revision}")
        self._revision = changes.revision
        self._check_assignments(changes)
        self._check_grants(changes)
        for row in changes.tasks:
            self._check_task(row)
        for attempt in changes.attempts:
            key = (attempt.session_id, attempt.task_id, attempt.number)
            if key in self._attempts:
                raise SimulationFault(f"attempt {key} is recorded twice", attempt.task_id, attempt.session_id)
            self._attempts.add(key)
        self.deleted.update(changes.removed_sessions)

    def _check_task(self, row: TaskRow) -> None:
        key = (row.session_id, row.task_id)
        end = self._ends.get(key)
        if end is not None and end.run == row.run and end.status != row.status:
            raise SimulationFault(
                f"task {key} was {end.status} and becomes {row.status}", row.task_id, row.session_id
            )
        if row.crashes > self._crash_limit:
            raise SimulationFault(f"task {key} has crashed {row.crashes} times", row.task_id, row.session_id)
        if row.status in _OVER:
            self._ends[key] = row

    def _check_grants(self, changes: Changes) -> None:
        """Each grant has a fence above all before it, or its attempt's own."""
        known = self.rows.grants
        for row in sorted(changes.grants, key=lambda one: one.fence):
            old = known.get(row.grant_id)
            if row.attempt_id or (old is not None and old.fence == row.fence):
                continue
            if row.fence in self._grant_fences or row.fence <= self._fence_before:
                raise SimulationFault(f"grant {row.grant_id} has fence {row.fence}, which was given before")
            self._grant_fences.add(row.fence)

    def _check_assignments(self, changes: Changes) -> None:
        """New attempts have higher fences than all before, in sessions that run and have room."""
        sessions = {row.session_id: row for row in changes.sessions}
        fences = []
        self._fence_before = max([self._highest_fence, *self._grant_fences])
        for row in changes.tasks:
            old = self.rows.tasks.get(row.session_id, {}).get(row.task_id)
            if not row.attempt_id or (old is not None and old.attempt_id == row.attempt_id):
                continue
            fences.append(row.fence)
            session = sessions[row.session_id]
            held = session.assigned + session.running + session.cancelling
            if session.status != "running" or (session.max_parallel and held > session.max_parallel):
                raise SimulationFault(
                    f"task {row.task_id} is placed, its session is {session.status} and "
                    f"has {held} of {session.max_parallel}",
                    row.task_id,
                    row.session_id,
                )
        if fences and min(fences) <= self._fence_before:
            raise SimulationFault(f"fence {min(fences)} is not above {self._fence_before}")
        self._highest_fence = max([self._highest_fence, *fences])

    # ------------------------------------------------------------------ what was acknowledged

    def promise(self, *fact: str) -> None:
        """Somebody has been told this: ("session", id), ("task", session, task), ("attempt", id)."""
        self._facts.append(fact)
        self._check_fact(fact)

    def check_promises(self) -> None:
        for fact in self._facts:
            self._check_fact(fact)

    def _check_fact(self, fact: tuple[str, ...]) -> None:
        kind, session_id, *rest = fact
        if session_id in self.deleted:
            return
        if kind == "session":
            kept = session_id in self.rows.sessions
        elif kind == "task":
            kept = rest[0] in self.rows.tasks.get(session_id, {})
        elif kind == "ending":
            row = self.rows.sessions[session_id]
            kept = row.status in ("cancelled", "failed", "completed") or row.ending_as != "" or row.run > 1
        else:
            ended = self.rows.attempts.get(session_id, {}).values()
            kept = any(row.attempt_id == rest[0] for row in ended)
        if not kept:
            raise SimulationFault(f"{fact} was acknowledged and is not in the store", *rest, session_id)
