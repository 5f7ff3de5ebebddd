"""Bugs to be caught: each makes the coordinator of one run wrong in one way, by patching from outside.

Nothing of this is in the product. A harness that misses one of these would miss the like in earnest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from buildrunner_coordinator.domain import (
    attempts,
    dependents,
    eligibility,
    endings,
    placement,
    reports,
    reserving,
    waiting,
    workers,
)
from buildrunner_coordinator.domain.locks import HELD, LockTable
from buildrunner_coordinator.domain.model import Outcome, Time
from tests.sim.hooks import Hooks
from tests.sim.planted_locks import LOCK_PLANTS
from tests.sim.planting import Patched

if TYPE_CHECKING:
    from buildrunner_coordinator.domain.changes import Changes
    from buildrunner_coordinator.domain.core import Core
    from buildrunner_coordinator.domain.model import Task
    from buildrunner_coordinator.engine.batch import Batch
    from tests.sim.coordinator import Coordinator


class AcknowledgeBeforeCommit(Hooks):
    """Replies and assignments leave before their batch is durable."""

    def applied(self, coordinator: Coordinator, batch: Batch) -> None:
        coordinator.tell(batch)
        batch.items, batch.replies, batch.events, batch.sends = (), [], [], []


class ForgottenRow(Hooks):
    """Now and then one kind of changed row is not handed to the store."""

    def __init__(self) -> None:
        self._commits = 0

    def changes(self, changes: Changes) -> Changes:
        self._commits += 1
        name = ("tasks", "sessions", "workers", "lapses")[self._commits % 4]
        if self._commits % 7 == 0:
            setattr(changes, name, [])
        return changes


class StaleAttemptAccepted(Patched):
    """A report is taken by the task that it once belonged to, whatever attempt and fence it names."""

    def __init__(self) -> None:
        self._tasks: dict[str, tuple[str, str]] = {}

    def patches(self) -> list[Any]:
        return [
            patch.object(reports, "_live", self._live),
            patch.object(attempts, "send_assignment", self._send),
        ]

    def _send(self, core: Core, task: Task, _original: Any = attempts.send_assignment) -> None:
        assert task.attempt is not None
        self._tasks[task.attempt.attempt_id] = task.key
        _original(core, task)

    def _live(self, core: Core, attempt_id: str, fence: int, worker_id: str) -> Task | None:
        session_id, task_id = self._tasks.get(attempt_id, ("", ""))
        task = core.tasks.get(session_id, {}).get(task_id)
        return task if task is not None and task.attempt is not None else None


class FenceReused(Hooks):
    """A start takes its first fence from the rows of tasks, not from the counter."""

    def loaded(self, core: Core) -> None:
        fences = [task.fence for mine in core.tasks.values() for task in mine.values()]
        core.next_fence = max([1, *fences]) + (0 if fences else 1)


class LockLeakOnCancel(Patched):
    """The locks of a cancelled attempt are freed while its process still ends."""

    def patches(self) -> list[Any]:
        return [patch.object(attempts, "stop", self._stop)]

    def _stop(
        self, core: Core, task: Task, outcome: Outcome, reason: str, now: Time, _original: Any = attempts.stop
    ) -> None:  # fmt: skip
        attempt = task.attempt
        _original(core, task, outcome, reason, now)
        if attempt is not None and task.files:
            core.locks.remove(attempt.attempt_id)
            waiting.wake(core, attempt.attempt_id)


class NoLockDelay(Patched):
    """The tasks of a lost worker are placed again at once, without waiting for its processes' end."""

    def patches(self) -> list[Any]:
        return [patch.object(attempts, "lose", self._lose)]

    def _lose(
        self, core: Core, task: Task, now: Time, *, gone: bool, reason: str, _original: Any = attempts.lose
    ) -> None:  # fmt: skip
        _original(core, task, now, gone=True, reason=reason)


class NeedsForgotten(Patched):
    """A task waits for one of its needs only."""

    def patches(self) -> list[Any]:
        return [patch.object(dependents, "_count_down", self._count_down)]

    def _count_down(
        self, core: Core, task: Task, files: Any, _original: Any = dependents._count_down
    ) -> None:
        task.needs_left = 1
        _original(core, task, files)


class SlotsIgnored(Patched):
    """Tasks go to workers that have too few slots for them."""

    def patches(self) -> list[Any]:
        return [patch.object(placement, "suits", self._suits), patch.object(placement, "takes", self._takes)]

    def _takes(self, worker: Any, _task: Task) -> bool:
        return bool(len(worker.attempts) < worker.credit)

    def _suits(self, worker: Any, session_id: str, traits: Any, _original: Any = eligibility.suits) -> bool:
        return bool(_original(worker, session_id, traits._replace(slots=1)))


class RequestsForgotten(Hooks):
    """A start forgets the answers to request ids."""

    def loaded(self, core: Core) -> None:
        core.requests._clients.clear()
        core.requests._by_age.clear()


class LeaseOnceLooked(Patched):
    """Nobody looks at the lease of a worker that has come back from silence."""

    def patches(self) -> list[Any]:
        return [patch.object(workers, "watch_lease", self._watch)]

    def _watch(self, core: Core, worker: Any, _original: Any = workers.watch_lease) -> None:
        if worker.generation <= 1 and not worker.heartbeat_at_us:
            _original(core, worker)


class DoubleEnd(Patched):
    """A report on a task that is over writes its end once more."""

    def __init__(self) -> None:
        self._over: dict[str, Task] = {}

    def patches(self) -> list[Any]:
        return [patch.object(endings, "succeed", self._succeed)]

    def _succeed(self, core: Core, task: Task, now: Time, _original: Any = endings.succeed) -> None:
        before = self._over.get(task.session_id)
        _original(core, task, now)
        if before is not None and before.session_id in core.tasks:
            before.status = type(before.status).FAILED
            core.journal.tasks[before.index] = before
        self._over[task.session_id] = task


class SharesForgotten(Patched):
    """The oldest session is served first, as long as it has anything."""

    def patches(self) -> list[Any]:
        return [patch.object(placement._Desk, "turn", self._turn)]

    @staticmethod
    def _turn(desk: Any, core: Core, _original: Any = placement._Desk.turn) -> Any:
        turn = _original(desk, core)
        return turn if turn is None else (turn[0], 0, *turn[2:])


class WaitersPassed(Patched):
    """Paths are given to whoever finds them free, whoever asked before."""

    def patches(self) -> list[Any]:
        return [patch.object(LockTable, "blockers", self._blockers)]

    @staticmethod
    def _blockers(
        table: Any, requests: Any, ticket: int, party: Any, _original: Any = LockTable.blockers
    ) -> Any:
        return [one for one in _original(table, requests, ticket, party) if one.ticket == HELD]


class NoRoomKept(Patched):
    """Tasks of several slots wait until room for them is there by chance."""

    def patches(self) -> list[Any]:
        return [patch.object(reserving, "keep_room", lambda *_: ""),
                patch.object(reserving, "is_aged", lambda *_: False)]  # fmt: skip


PLANTS: Final[dict[str, Callable[[], Hooks]]] = {
    "acknowledge-before-commit": AcknowledgeBeforeCommit,
    "forgotten-row": ForgottenRow,
    "stale-attempt-accepted": StaleAttemptAccepted,
    "fence-reused": FenceReused,
    "lock-leak-on-cancel": LockLeakOnCancel,
    "no-lock-delay": NoLockDelay,
    "needs-forgotten": NeedsForgotten,
    "slots-ignored": SlotsIgnored,
    "requests-forgotten": RequestsForgotten,
    "lease-once-looked": LeaseOnceLooked,
    "double-end": DoubleEnd,
    "shares-forgotten": SharesForgotten,
    "waiters-passed": WaitersPassed,
    "no-room-kept": NoRoomKept,
    **LOCK_PLANTS,
}
