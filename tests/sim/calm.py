"""The end of a run: faults have stopped, people set everything going, and all must be over within a bound."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain import explaining
from buildrunner_coordinator.domain.model import Driver, Kinds, SessionStatus, WorkerStatus
from tests.sim.plans import HANDLER, LABELS
from tests.sim.schedule import SECOND
from tests.sim.talker import Shape
from tests.sim.trace import SimulationFault

if TYPE_CHECKING:
    from tests.sim.world import World

BOUND_US = 1800 * SECOND
"""Of virtual time, from the last fault to the end of everything."""
_LOOK_US = 5 * SECOND
_CAPABLE = Shape(4, 6, LABELS, Kinds(True, (HANDLER,)))


class Calm:
    def __init__(self, world: World) -> None:
        self.is_over = False
        self._world = world
        self._rng = random.Random(world.seed + 2)
        self._until_us = world.schedule.now_us + BOUND_US
        world.coordinator.crash_at_commit = ""
        self._look()

    def _look(self) -> None:
        world = self._world
        if world.coordinator.is_up:
            if not world.coordinator.is_busy and self._everything_is_over():
                self.is_over = True
                return
            if world.schedule.now_us > self._until_us:
                self._complain()
            self._help()
        world.schedule.after(_LOOK_US, self._look)

    def _everything_is_over(self) -> bool:
        core = self._world.coordinator.core
        return (
            not core.attempts
            and not len(self._world.processes)
            and all(session.is_over for session in core.sessions.values())
            and not core.requesters
            and not any(one.lease_ms for one in core.grants.values())
        )

    def _help(self) -> None:
        """What people do who want their sessions to end: nothing but ordinary requests."""
        world, core = self._world, self._world.coordinator.core
        for session in list(core.sessions.values()):
            if session.ending_as is None and not session.is_over:
                self._end(session.session_id, session.status, session.driver)
        ready = 0
        for worker in world.workers:
            known = core.workers.get(worker.worker_id)
            if worker.is_alive and known is not None and known.status is WorkerStatus.ERROR:
                worker.perform(lambda one=worker: one.disconnect(lose=True))
            ready += worker.is_alive and not worker.is_draining and worker.shape is _CAPABLE
        for _ in range(2 - ready):
            world.add_worker(_CAPABLE, self._rng)
        self._cancel_hopeless()

    def _end(self, session_id: str, status: SessionStatus, driver: Driver) -> None:
        ask = self._world.clients.read
        if status in (SessionStatus.CREATED, SessionStatus.PAUSED):
            ask(c.ResumeSession(session_id))
        core = self._world.coordinator.core
        if driver is Driver.TASKS:
            ask(c.CloseSession(session_id))
        elif not core.tasks[session_id]:
            ask(c.CompleteSession(session_id))

    def _cancel_hopeless(self) -> None:
        """Tasks that want a worker which is no more."""
        world, core = self._world, self._world.coordinator.core
        alive = {one.worker_id for one in world.workers if one.is_alive and not one.is_draining}
        for mine in core.tasks.values():
            for task in mine.values():
                wanted = task.traits.wanted_worker_id
                if wanted and task.attempt is None:
                    shape = next((w.shape for w in world.workers if w.worker_id == wanted), None)
                    if wanted not in alive or (shape is not None and shape is not _CAPABLE):
                        world.clients.read(c.CancelTask(task.session_id, task.task_id))

    def _complain(self) -> None:
        core = self._world.coordinator.core
        left: list[Any] = []
        about: list[str] = []
        for session_id, mine in core.tasks.items():
            explainer = explaining.Explainer(core, core.sessions[session_id])
            for task in mine.values():
                left.append(
                    (task.task_id, task.status.value, [wait.message for wait in explainer.explain(task)])
                )
                about.append(task.task_id)
        open_sessions = [s.session_id for s in core.sessions.values() if not s.is_over]
        raise SimulationFault(
            f"after {BOUND_US // SECOND} s without faults sessions {open_sessions} are not over: {left[:8]}",
            *about[:1], *open_sessions[:1],
        )  # fmt: skip
