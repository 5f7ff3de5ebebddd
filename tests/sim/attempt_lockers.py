"""Attempts that ask for more than they declared: what they get is theirs while their process lives."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import PathRequest
from buildrunner_coordinator.domain.refusals import Refusal
from tests.sim.lockers import Locker
from tests.sim.plans import draw_paths

if TYPE_CHECKING:
    from tests.sim.attempts import SimAttempt
    from tests.sim.processes import Process
    from tests.sim.world import World

_SHARE = 0.25
"""Of all attempts."""


class AttemptLocker(Locker):
    """The call is made by the task's process, under its attempt's fence."""

    def __init__(
        self, world: World, rng: random.Random, number: int, command: c.AcquireLocks, process: Process
    ) -> None:
        super().__init__(world, rng, number, command)
        self._process = process

    def _hear(self, reply: Any) -> None:
        if self.gone or not self.world.processes.is_live(self._process):
            return
        if isinstance(reply, Refusal):
            super()._hear(reply)
            return
        self._is_answered = True
        files = tuple(PathRequest(one.path, one.mode, one.kind) for one in reply.locks)
        self.world.processes.widen(self._process, files)
        if not reply.already_held and self.rng.random() < 0.3:
            self.world.schedule.after(self.rng.randrange(1, 3_000_000), self._give_back, reply, files)

    def _give_back(self, reply: Any, files: tuple[PathRequest, ...]) -> None:
        """Before the process ends. Paths that it had already by another way are not of this grant."""
        process = self._process
        if self.world.processes.is_live(process):
            process.files = tuple(one for one in process.files if one not in files)
            self.world.clients.ask(c.ReleaseLocks("", grant_id=reply.grant_id, fence=reply.fence))


def begin(world: World, attempt: SimAttempt) -> None:
    """One in so many attempts asks, at some time, for paths beside its task's. Its process has begun."""
    rng = random.Random(attempt.plan.seed * 31 + attempt.assign.number)
    process = attempt.process
    if process is None or rng.random() > _SHARE:
        return
    number = len(world.lockers.all)
    command = c.AcquireLocks(
        process.session_id, draw_paths(rng), "", wait_ms=rng.choice((0, 1_000, -1)),
        attempt_id=process.attempt_id, fence=process.fence, client_id="attempts",
        request_id=f"lock-{number}", digest=b"%d" % number,
    )  # fmt: skip
    locker = AttemptLocker(world, rng, number, command, process)
    world.lockers.all.append(locker)
    world.schedule.after(rng.randrange(1, 1 + attempt.run.duration_us), locker.send)
