"""One simulated run: a seed gives actions and faults; then the faults stop and all must end."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from buildrunner_coordinator.domain.commands import AppendOutput, DrainWorker
from buildrunner_coordinator.domain.model import Settings
from tests.sim import faults
from tests.sim.calm import Calm
from tests.sim.clients import Clients
from tests.sim.coordinator import Coordinator
from tests.sim.histories import check_histories
from tests.sim.hooks import Hooks
from tests.sim.lockers import Lockers
from tests.sim.network import delay_us
from tests.sim.plans import PlanBook
from tests.sim.processes import Processes
from tests.sim.requests import REQUESTS
from tests.sim.schedule import SECOND, Schedule
from tests.sim.talker import Shape
from tests.sim.trace import Trace
from tests.sim.workers import SimWorker

if TYPE_CHECKING:
    from buildrunner_coordinator.engine.batch import Batch
    from tests.sim.attempts import SimAttempt

_EPOCH_US = 1_700_000_000 * SECOND
_ACTIONS = (*REQUESTS, *faults.FAULTS)
_WEIGHTS = tuple(weight for weight, _ in _ACTIONS)
_CALLS = tuple(action for _, action in _ACTIONS)

_DAY_MS = 86_400_000
"""Answers to request ids outlive the jumps of the wall clock, which core time follows over a restart."""
SLOW = Settings(offline_ttl_ms=120_000, retention_ms=60_000, request_ttl_ms=_DAY_MS)
QUICK = Settings(heartbeat_interval_ms=2_000, lease_ms=6_000, lock_delay_ms=2_000,
                 stop_after_ms=5_600, kill_after_ms=7_200, offline_ttl_ms=20_000, retention_ms=0,
                 request_ttl_ms=_DAY_MS, lock_age_ms=3_000, slot_age_ms=100)  # fmt: skip


class World:
    """`chosen`: of the first `limit` actions, those that are carried out; without them, as many as
    `events` steps give time for."""

    def __init__(
        self, seed: int, *, events: int = 500, limit: int | None = None,
        chosen: Collection[int] | None = None, hooks: Hooks | None = None,
    ) -> None:  # fmt: skip
        self.seed = seed
        self.hooks = hooks or Hooks()
        self.rng = random.Random(seed)
        self.settings = QUICK if seed % 3 else SLOW
        self.compare_every = 2
        self.schedule = Schedule()
        self.trace = Trace()
        self.wall_offset_us = _EPOCH_US
        self.plans = PlanBook()
        self.workers: list[SimWorker] = []
        self.coordinator = Coordinator(self)
        self.records = self.coordinator.records
        self.processes = Processes(self.records)
        self.clients = Clients(self, random.Random(seed + 1))
        self.lockers = Lockers(self)
        self.actions = 0
        self.batches = 0
        self.calm: Calm | None = None
        self._events = events
        self._limit = limit
        self._chosen = chosen

    def run(self) -> None:
        """To the end. Raises what a monitor, an invariant or the code itself raises."""
        self.coordinator.start()
        for index in range(2 + self.seed % 3):
            rng = random.Random(self.seed * 31 + index)
            self.add_worker(faults.draw_shape(self, rng), rng)
        self._act(0)
        self._watch()
        while self.calm is None or not self.calm.is_over:
            if not self.schedule.step():
                raise AssertionError("nothing is left to happen, and the run is not over")
        self.records.check_promises()
        check_histories(self.coordinator.rows)
        self.coordinator.watching.compare(self.coordinator.core)

    def _act(self, index: int) -> None:
        """The action with this number, each from a generator of its own: leaving one out changes no other."""
        is_last = self.schedule.steps >= self._events if self._limit is None else index >= self._limit
        if is_last:
            self.calm = Calm(self)
            return
        self.actions = index + 1
        rng = random.Random(self.seed * 1_000_003 + index)
        gap_us = int(rng.expovariate(1.0) * self.settings.lease_ms * 50)
        action = rng.choices(_CALLS, _WEIGHTS)[0] if index > 2 else _CALLS[0]
        if self._chosen is None or index in self._chosen:
            self.trace.add(self.schedule.now_us, "action", index, action.__name__)
            action(self, rng)
        self.schedule.after(gap_us, self._act, index + 1)

    def _watch(self) -> None:
        """The watcher connects again when it has been cut off."""
        coordinator = self.coordinator
        if coordinator.is_up and not coordinator.is_busy and not coordinator.watching.is_connected:
            coordinator.watching.connect(coordinator.feed, coordinator.core)
        self.schedule.after(2 * SECOND, self._watch)

    # ------------------------------------------------------------------ for those who play in it

    def wall_us(self) -> int:
        return self.schedule.now_us + self.wall_offset_us

    def add_worker(self, shape: Shape, rng: random.Random) -> None:
        name = f"w{len(self.workers)}"
        worker = SimWorker(self, name, shape, random.Random(rng.getrandbits(40)))
        self.workers.append(worker)
        worker.connect()

    def ask_to_drain(self, worker_id: str) -> None:
        if worker_id:
            self.clients.read(DrainWorker(worker_id))

    def append_output(self, worker: SimWorker, attempt: SimAttempt, word: AppendOutput) -> None:
        """The way of output: a call of its own, which may be lost."""
        if worker.rng.random() < 0.95:
            self.schedule.after(delay_us(worker.rng), self._output_arrives, worker, attempt, word)

    def _output_arrives(self, worker: SimWorker, attempt: SimAttempt, word: AppendOutput) -> None:
        def answer(replies: list[Any], _revision: int) -> None:
            ack = replies[0]
            worker.later(delay_us(worker.rng), worker.output_acknowledged, attempt, ack.offset, ack.stale)

        if self.coordinator.is_up:
            self.coordinator.post([word], answer)

    def note_batch(self, batch: Batch) -> None:
        self.batches += 1
        now_us, changes = self.schedule.now_us, batch.changes
        for item in batch.items:
            for command in item.commands:
                self.trace.add(now_us, "asked", command)
        for row in changes.tasks:
            self.trace.add(now_us, "task", row.session_id, row.task_id, row.status, row.attempt_id,
                           row.worker_id, row.not_before_us, row.reason)  # fmt: skip
        for session in changes.sessions:
            self.trace.add(now_us, "session", session.session_id, session.status, session.ending_as)
        for send in batch.sends:
            self.trace.add(now_us, "to be sent", send)
