"""The part of a worker that has the processes: goes on when the runtime is stopped, enforces the lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_coordinator.domain.model import Outcome
from tests.sim import attempt_lockers
from tests.sim.attempts import HANDED, WAITING, SimAttempt
from tests.sim.processes import Process
from tests.sim.schedule import MS, SECOND

if TYPE_CHECKING:
    from tests.sim.talker import Talker

_LONGEST_GRACE_US = 10 * SECOND


class Supervisor:
    def __init__(self, worker: Talker) -> None:
        self._worker = worker
        self._world = worker.world
        self._running: dict[str, SimAttempt] = {}
        self._slots_taken = 0
        self._renewed_us = 0
        self._down_us = 0

    # ------------------------------------------------------------------ the lease

    def renew(self, sent_us: int) -> None:
        """The heartbeat sent at this moment was answered."""
        if sent_us <= self._renewed_us and self._renewed_us:
            return
        self._renewed_us = sent_us
        self._down_us = self._world.coordinator.down_us()
        self._look(sent_us)

    def _look(self, renewed_us: int) -> None:
        """Ends what the lease does not cover any more, and comes back when there is more to end."""
        if renewed_us != self._renewed_us:
            return
        settings, used_us = self._world.settings, self._used_us()
        stop_us, kill_us = settings.stop_after_ms * 1000, settings.kill_after_ms * 1000
        if used_us < stop_us:
            self._world.schedule.after(stop_us - used_us, self._look, renewed_us)
            return
        for attempt in list(self._running.values()):
            if used_us < kill_us:
                self.stop(attempt, Outcome.LOST)
            else:
                self._end(attempt, Outcome.LOST)
        if used_us < kill_us:
            self._world.schedule.after(kill_us - used_us, self._look, renewed_us)

    def _used_us(self) -> int:
        used_us = self._world.schedule.now_us - self._renewed_us
        if self._worker.shape.is_local:
            used_us -= self._world.coordinator.down_us() - self._down_us
        return used_us

    @property
    def has_lease(self) -> bool:
        return self._renewed_us > 0 and self._used_us() < self._world.settings.stop_after_ms * 1000

    # ------------------------------------------------------------------ starting

    def start(self, attempt: SimAttempt) -> bool:
        """Takes it when there is room. False: not now."""
        wanted = min(attempt.plan.task.traits.slots, self._worker.shape.slots)
        if not self.has_lease or self._slots_taken + wanted > self._worker.shape.slots:
            return False
        self._slots_taken += wanted
        attempt.state = HANDED
        self._running[attempt.attempt_id] = attempt
        self._world.schedule.after(self._worker.rng.randrange(MS, 30 * MS), self._spawn, attempt)
        return True

    def _spawn(self, attempt: SimAttempt) -> None:
        if attempt.attempt_id not in self._running:
            return
        if not self.has_lease:
            self._free(attempt)
            self._worker.perform(self._return, attempt)
            return
        if attempt.run.outcome is Outcome.NOT_STARTED:
            self._end(attempt, Outcome.NOT_STARTED)
            return
        assign, task = attempt.assign, attempt.plan.task
        attempt.process = Process(assign.session_id, task.task_id, attempt.attempt_id, assign.fence,
                                  task.traits, task.needs, task.files, self._worker.name)  # fmt: skip
        attempt.ran, attempt.started_at_us = True, self._world.wall_us()
        self._world.trace.add(self._world.schedule.now_us, "process begins", self._worker.name,
                              assign.session_id, task.task_id, attempt.attempt_id, assign.fence)  # fmt: skip
        self._world.processes.begin(attempt.process, self._worker.shape.slots, self._worker.shape.labels)
        attempt_lockers.begin(self._world, attempt)
        self._worker.perform(self._worker.started, attempt)
        self._world.schedule.after(attempt.run.duration_us, self._end, attempt, attempt.run.outcome)

    def _return(self, attempt: SimAttempt) -> None:
        """Without a lease nothing starts; it waits for the next one."""
        attempt.state = WAITING
        if attempt.revoke_asked or attempt.disowned or attempt.stop_as is not None:
            self._worker.given_back(attempt)
        else:
            self._worker.waiting.insert(0, attempt)

    # ------------------------------------------------------------------ ending

    def take_back(self, attempt: SimAttempt) -> None:
        if attempt.attempt_id in self._running and attempt.process is None:
            self._free(attempt)
            self._worker.perform(self._worker.given_back, attempt)

    def stop(self, attempt: SimAttempt, outcome: Outcome) -> None:
        """SIGTERM; SIGKILL after the grace."""
        if attempt.process is None:
            self.take_back(attempt)
            return
        rng = self._worker.rng
        grace_us = _LONGEST_GRACE_US if attempt.run.stubborn else rng.randrange(MS, 2 * SECOND)
        self._world.schedule.after(grace_us, self._end, attempt, outcome)

    def kill_all(self) -> None:
        for attempt in list(self._running.values()):
            self._end(attempt, Outcome.LOST)

    @property
    def is_empty(self) -> bool:
        return not self._running

    def _free(self, attempt: SimAttempt) -> None:
        del self._running[attempt.attempt_id]
        self._slots_taken -= min(attempt.plan.task.traits.slots, self._worker.shape.slots)

    def _end(self, attempt: SimAttempt, outcome: Outcome) -> None:
        if attempt.attempt_id not in self._running:
            return
        self._free(attempt)
        if attempt.process is not None:
            self._world.processes.end(attempt.process)
            self._world.trace.add(self._world.schedule.now_us, "process ends", self._worker.name,
                                  attempt.assign.session_id, attempt.plan.task.task_id, outcome)  # fmt: skip
        self._worker.perform(self._worker.ended, attempt, outcome)
