"""The part of a simulated worker's runtime that talks: its stream, heartbeats, stops and death."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import Kinds, Outcome
from tests.sim.network import Pipe
from tests.sim.schedule import MS, SECOND
from tests.sim.supervisor import Supervisor

if TYPE_CHECKING:
    from tests.sim.attempts import SimAttempt
    from tests.sim.coordinator import Stream
    from tests.sim.world import World


@dataclass(frozen=True)
class Shape:
    """What a worker says of itself."""

    slots: int
    credit: int
    labels: tuple[str, ...]
    kinds: Kinds
    session_id: str = ""
    is_local: bool = False
    """On the coordinator's host: its lease stands still while there is no coordinator."""


class Talker(ABC):
    def __init__(self, world: World, name: str, shape: Shape, rng: random.Random) -> None:
        self.world = world
        self.name = name
        self.shape = shape
        self.rng = rng
        self.pid = 1000 + len(world.workers)
        self.worker_id = ""
        self.generation = 0
        self.store_id = ""
        self.attempts: dict[str, SimAttempt] = {}
        self.waiting: list[SimAttempt] = []
        self.finished: dict[str, bool] = {}
        """Attempts that it had, by id: whether it gave them back."""
        self.supervisor = Supervisor(self)
        self.is_alive = True
        self.is_frozen = False
        self.is_draining = False
        self.stream: Stream | None = None
        self.up: Pipe | None = None
        self._late: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._call = 0
        self._heard_us = 0
        self._beats: dict[int, int] = {}
        self._sequence = 0
        self._hello_us = 0
        self._pause_us = 50 * MS
        self._partitioned_until_us = 0

    # ------------------------------------------------------------------ life

    def perform(self, call: Callable[..., None], *arguments: Any) -> None:
        """Runs it in the runtime: later while that is stopped, never when it is dead."""
        if self.is_frozen:
            self._late.append((call, arguments))
        elif self.is_alive:
            call(*arguments)

    def later(self, delay_us: int, call: Callable[..., None], *arguments: Any) -> None:
        self.world.schedule.after(delay_us, self.perform, call, *arguments)

    def freeze(self, for_us: int) -> None:
        if self.is_alive and not self.is_frozen:
            self.is_frozen = True
            self.world.schedule.after(for_us, self._thaw)

    def _thaw(self) -> None:
        self.is_frozen = False
        late, self._late = self._late, []
        for call, arguments in late:
            self.perform(call, *arguments)

    def kill(self, linger_us: int) -> None:
        """SIGKILL: the supervisor sees to the processes within `linger_us`."""
        self.world.trace.add(self.world.schedule.now_us, "worker dies", self.name, self.worker_id)
        self.is_alive = False
        self._late.clear()
        self._drop_stream(lose=self.rng.random() < 0.5)
        self.world.schedule.after(linger_us, self.supervisor.kill_all)

    # ------------------------------------------------------------------ the stream

    def connect(self) -> None:
        if self.stream is not None:
            return
        down = Pipe(self.world.schedule, self.rng, lambda message: self.perform(self._receive, call, message))
        left_us = self._partitioned_until_us - self.world.schedule.now_us
        stream = self.world.coordinator.connect(down) if left_us <= 0 else None
        if stream is None:
            self._pause_us = min(self._pause_us * 2, 2 * SECOND)
            self.later(self.rng.randrange(1, self._pause_us), self.connect)
            return
        self._call += 1
        call = self._call
        self.stream, self.up = stream, Pipe(self.world.schedule, self.rng, stream.take)
        self._hello_us = self._heard_us = self.world.schedule.now_us
        self.up.send(("hello", self._hello()))
        self.later(10 * SECOND, self._watch, call)

    def _hello(self) -> c.Register:
        shape = self.shape
        return c.Register(
            self.rng.getrandbits(60), self.worker_id, "host", self.pid, "1", shape.slots, shape.labels,
            shape.kinds, shape.session_id, held=self._held(), credit=shape.credit, store_id=self.store_id,
        )  # fmt: skip

    def _held(self) -> tuple[c.Held, ...]:
        return tuple(one.held() for one in self.attempts.values() if not one.disowned)

    def _watch(self, call: int) -> None:
        """Ends a stream on which nothing is heard."""
        if self.stream is None or call != self._call:
            return
        silent_us = 3 * self.world.settings.heartbeat_interval_ms * 1000
        if self.world.schedule.now_us - self._heard_us > silent_us:
            self.disconnect(lose=True)
        else:
            self.later(2 * SECOND, self._watch, call)

    def disconnect(self, *, lose: bool) -> None:
        """The connection breaks. Each side notices in its own time."""
        self._drop_stream(lose=lose)
        self.later(self.rng.randrange(1, self._pause_us), self.connect)

    def _drop_stream(self, *, lose: bool) -> None:
        stream, self.stream = self.stream, None
        if stream is None or self.up is None:
            return
        self.up.cut(lose=lose)
        stream.down.cut(lose=True)
        self._call += 1
        half_open_us = self.rng.randrange(1, 20 * SECOND) if self.rng.random() < 0.2 else 5 * MS
        self.world.schedule.after(half_open_us, stream.end)

    def partition(self, for_us: int) -> None:
        """Nothing gets through for a while, and nobody is told."""
        self._partitioned_until_us = self.world.schedule.now_us + for_us
        if self.stream is not None and self.up is not None:
            self.up.hold(for_us)
            self.stream.down.hold(for_us)

    def say(self, *words: Any) -> None:
        if self.up is not None and self.stream is not None and self.generation:
            self.up.send(("say", list(words)))

    def _beat(self, call: int) -> None:
        if call != self._call or self.stream is None or self.up is None:
            return
        self._sequence += 1
        self._beats[self._sequence] = self.world.schedule.now_us
        self.up.send(("beat", self._sequence, self._held()))
        self.later(self.world.settings.heartbeat_interval_ms * 1000, self._beat, call)

    # ------------------------------------------------------------------ what the rest of the runtime does

    @abstractmethod
    def _receive(self, call: int, message: tuple[Any, ...]) -> None:
        """A message of the stream with this number."""

    @abstractmethod
    def started(self, attempt: SimAttempt) -> None:
        """The supervisor has made its process."""

    @abstractmethod
    def given_back(self, attempt: SimAttempt) -> None:
        """It has not started and never will."""

    @abstractmethod
    def ended(self, attempt: SimAttempt, outcome: Outcome) -> None:
        """Its process is gone, or could not be made."""
