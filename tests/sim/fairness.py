"""Nobody is starved: who got a worker is compared, batch by batch, with who should have gone before.

Three rules, reckoned from what the core holds after a batch and held after the one before: whose turn it
was, in which order paths are granted, and that tasks of several slots are not passed over for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from buildrunner_coordinator.domain.eligibility import is_ready, may_place, serves, suits
from buildrunner_coordinator.domain.locks import HELD
from buildrunner_coordinator.domain.model import LockMode, PathRequest, Session, Task, Worker
from buildrunner_coordinator.domain.paths import overlaps
from tests.sim.trace import SimulationFault

if TYPE_CHECKING:
    from buildrunner_coordinator.domain.core import Core

_Key = tuple[str, str]


class Placed(NamedTuple):
    """A task that got a worker in this batch."""

    task: Task
    worker: Worker
    slots_before: int
    """What its session had before it."""


class Fairness:
    """Of one coordinator's life: it begins anew with each start."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._seen = set(core.attempts)
        self._tickets: dict[_Key, int] = {}
        self._waits_since: dict[_Key, int] = {}
        self._ready: set[_Key] = set()
        self._aside: set[_Key] = set()
        """They have no place that could be passed until they come back, perhaps in this very batch."""
        self._holding: set[str] = set()
        """Sessions, attempts and grants that held something by hand."""
        self._passed_us: dict[_Key, int] = {}
        # Who waited before a restart has waited since then.
        self._remember()

    def look(self) -> None:
        """After a batch. Raises SimulationFault."""
        core = self._core
        placed = [one for one in self._placed() if not self._is_aged(one.task)]
        for one in placed:
            self._check_turn(one)
        for task in (core.attempts[one] for one in core.attempts.keys() - self._seen):
            self._check_order(task)
        self._check_heavy(placed)
        self._remember()

    def _placed(self) -> list[Placed]:
        """In order of placement."""
        core = self._core
        fresh = sorted((core.attempts[one] for one in core.attempts.keys() - self._seen),
                       key=lambda task: task.fence)  # fmt: skip
        found = []
        for index, task in enumerate(fresh):
            later = sum(one.traits.slots for one in fresh[index:] if one.session_id == task.session_id)
            session = core.sessions[task.session_id]
            found.append(Placed(task, core.workers[task.worker_id], session.slots_taken - later))
        return found

    def _is_aged(self, task: Task) -> bool:
        """It waited for its paths for so long that it goes before all others."""
        since_us = self._waits_since.get(task.key, 0)
        return bool(since_us) and self._core.now.us - since_us >= self._core.settings.lock_age_ms * 1000

    # ------------------------------------------------------------------ whose turn it was

    def _check_turn(self, placed: Placed) -> None:
        """Nobody of higher rank is left who could have gone there instead."""
        for session, task in self._heads():
            if session.session_id == placed.task.session_id or task.files or task.traits.slots > 1:
                continue
            first = self._goes_first(session, task, placed)
            if first and not task.avoid and suits(placed.worker, session.session_id, task.traits):
                raise SimulationFault(
                    f"task {placed.task.key} was placed with {placed.slots_before} slots at work, it was the "
                    f"turn of {task.key} with {session.slots_taken}", task.task_id, task.session_id,
                )  # fmt: skip

    def _heads(self) -> Iterator[tuple[Session, Task]]:
        """The next task of each lane that may be placed."""
        for session_id, lanes in self._core.queue.lanes.items():
            session = self._core.sessions[session_id]
            if may_place(session):
                for lane in lanes.values():
                    if lane and is_ready(self._core, lane[0][3]):
                        yield session, lane[0][3]

    def _goes_first(self, session: Session, task: Task, placed: Placed) -> bool:
        its = placed.task.traits.priority
        if task.traits.priority != its:
            return task.traits.priority > its
        return session.slots_taken < placed.slots_before

    # ------------------------------------------------------------------ the order of paths

    def _check_order(self, task: Task) -> None:
        """It has passed no waiter who asked before it and is in its way."""
        if task.session_id in self._holding or task.session_id in self._core.accounts:
            return  # who waits for what its session holds cannot go before it
        ticket = self._tickets.get(task.key, 1 << 62)
        for owner, other, files in self._core.locks.owners():
            session_id, _, task_id = owner.partition("/")
            waited = self._tickets.get((session_id, task_id))
            if (session_id, task_id) in self._aside:
                continue
            if other != HELD and waited == other < ticket and _clash(task.files, files):
                raise SimulationFault(f"task {task.key} has passed {owner}, which asked before it",
                                      task_id, session_id)  # fmt: skip

    # ------------------------------------------------------------------ several slots

    def _check_heavy(self, placed: list[Placed]) -> None:
        """Where only one worker will do, nothing of lower rank goes there once the bound is over."""
        core = self._core
        bound_us = core.settings.slot_age_ms * 1000
        for session, task in list(self._heads()):
            if task.traits.slots == 1 or task.files or task.key not in self._ready:
                continue
            able = [w for w in core.workers.values()
                    if w.connected and serves(w) and suits(w, session.session_id, task.traits)]  # fmt: skip
            for one in placed:
                if len(able) != 1 or one.worker is not able[0] or not self._passes(one, session, task):
                    continue
                since_us = self._passed_us.setdefault(task.key, core.now.us)
                if core.now.us - since_us > bound_us:
                    raise SimulationFault(
                        f"task {task.key} of {task.traits.slots} slots is passed by {one.task.key} "
                        f"after {core.now.us - since_us} us", task.task_id, task.session_id,
                    )  # fmt: skip

    def _passes(self, placed: Placed, session: Session, task: Task) -> bool:
        its = placed.task.traits.priority
        if placed.task.traits.slots > 1:
            return False
        if placed.task.session_id == session.session_id:
            mine = (-task.traits.priority, -task.chain, task.index)
            return (-its, -placed.task.chain, placed.task.index) > mine
        is_lower = its < task.traits.priority
        return is_lower or (its == task.traits.priority and placed.slots_before > session.slots_taken)

    def _remember(self) -> None:
        core = self._core
        self._seen = set(core.attempts)
        # Who stands aside for want of a worker keeps its ticket.
        waiting = (*core.queue.waiters.waiting, *core.queue.waiters.aside)
        self._tickets = {key: core.tasks[key[0]][key[1]].ticket for key in waiting}
        self._waits_since = {key: core.tasks[key[0]][key[1]].waits_since_us for key in waiting}
        self._aside = set(core.queue.waiters.aside)
        self._holding = set(core.accounts)
        self._ready = {task.key for _, task in self._heads() if task.traits.slots > 1}
        self._passed_us = {key: us for key, us in self._passed_us.items() if key in self._ready}


def _clash(mine: tuple[PathRequest, ...], theirs: tuple[PathRequest, ...]) -> bool:
    for one in mine:
        for other in theirs:
            is_shared = one.mode is LockMode.SHARED and other.mode is LockMode.SHARED
            if not is_shared and overlaps(one, other):
                return True
    return False
