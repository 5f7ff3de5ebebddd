"""Clients: requests that are repeated until answered, sometimes delivered twice, over pipes that lose.

What they are told is remembered as a promise, and the same request id must always give the same answer.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from buildrunner_coordinator.domain.refusals import Refusal
from buildrunner_coordinator.engine.batch import RequestInfo
from tests.sim.network import delay_us
from tests.sim.schedule import SECOND
from tests.sim.trace import SimulationFault

if TYPE_CHECKING:
    from tests.sim.world import World

_TRIES = 12


class Request:
    """One mutating call of one client. `make` gives the command when it arrives."""

    def __init__(self, clients: Clients, make: Callable[[], Any], then: Callable[[Any], None] | None) -> None:
        self._clients = clients
        self._world = clients.world
        self._make = make
        self._then = then
        self._number = clients.count
        self._answer: bytes | None = None
        self._answered = self._heard = False
        self._tries = 0
        self._info = RequestInfo(f"client-{self._number % 3}", f"request-{self._number}",
                                 b"%d" % self._number, pickle.dumps, pickle.loads)  # fmt: skip

    def send(self) -> None:
        """Until there is an answer. Some are delivered twice, some again when all is over."""
        rng, schedule = self._clients.rng, self._world.schedule
        schedule.after(delay_us(rng), self._arrive)
        if rng.random() < 0.1:
            schedule.after(rng.randrange(1, 3 * SECOND), self._arrive)
        self._tries += 1
        if self._tries < _TRIES:
            schedule.after(2 * SECOND, self._again)

    def _again(self) -> None:
        if not self._answered:
            self.send()

    def _arrive(self) -> None:
        coordinator = self._world.coordinator
        if coordinator.is_up:
            command = self._make()
            if command is not None:
                coordinator.post([command], self._reply, self._info)

    def _reply(self, replies: list[object], _revision: int) -> None:
        """What the coordinator answers, in its order: an answer once given stands."""
        reply = replies[0]
        if isinstance(reply, Refusal):
            if self._answer is not None:
                raise SimulationFault(f"request {self._number} is refused after it was answered: {reply!r}")
        elif self._answer is None:
            self._answer = pickle.dumps(reply)
        elif pickle.loads(self._answer) != reply:
            raise SimulationFault(f"request {self._number} is answered {pickle.loads(self._answer)}, "
                                  f"and again {reply}")  # fmt: skip
        if self._clients.rng.random() < 0.95:
            self._world.schedule.after(delay_us(self._clients.rng), self._hear, reply)

    def _hear(self, reply: Any) -> None:
        is_first = not self._heard and not isinstance(reply, Refusal)
        self._answered = True
        if is_first:
            self._heard = True
            if self._then is not None:
                self._then(reply)


class Clients:
    """All clients, and the sessions that they know of."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world = world
        self.rng = rng
        self.count = 0
        self.sessions: list[str] = []
        self.owned: set[str] = set()

    def ask(self, command: Any, then: Callable[[Any], None] | None = None) -> None:
        self.ask_late(lambda: command, then)

    def ask_late(self, make: Callable[[], Any], then: Callable[[Any], None] | None = None) -> None:
        """`make` may read the store at the moment of arrival; None gives the request up."""
        self.count += 1
        Request(self, make, then).send()

    def read(self, command: Any) -> None:
        """A question. Its answer is not looked at; that there is one, and no error, is what counts."""
        coordinator = self.world.coordinator
        if coordinator.is_up:
            coordinator.post([command], None)

    def learn(self, session_id: str) -> None:
        self.world.records.promise("session", session_id)
        self.sessions.append(session_id)

    def pick(self, rng: random.Random) -> str | None:
        """A session, a recent one most likely; None when there is none."""
        if not self.sessions:
            return None
        recent = self.sessions[-4:]
        return rng.choice(recent if rng.random() < 0.8 else self.sessions)
