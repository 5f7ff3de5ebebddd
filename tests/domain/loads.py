"""Work that takes its time, second by second, on a core of its own: for tests of who is served when."""

from __future__ import annotations

import random

from buildrunner_coordinator.domain import commands as c


class Load:
    """Runs what is placed for a drawn time each, and notes who was at work in every second."""

    def __init__(self, stage, *, seconds=(1, 1), seed=1):
        self.stage = stage
        self.rng = random.Random(seed)
        self.seconds = seconds
        self.running = []
        self.clock = 0
        self.history = []
        self.order = []
        self.begun = {}

    def take(self):
        for assign in self.stage.assigned():
            self.stage.start(assign)
            self.order.append((assign.session_id, assign.spec.decode()))
            self.begun[assign.session_id, assign.spec.decode()] = self.clock
            self.running.append((self.clock + self.rng.randint(*self.seconds), assign))

    def second(self):
        """One second passes; what is due ends, what follows begins."""
        self.take()
        core = self.stage.core
        self.history.append({one.session_id: one.slots_taken for one in core.sessions.values()})
        self.clock += 1
        due = [one for at, one in self.running if at <= self.clock]
        self.running = [(at, one) for at, one in self.running if at > self.clock]
        self.stage.wait(1)
        for assign in due:
            self.stage.finish(assign)
        for worker in list(core.workers):
            self.stage.do(c.Heartbeat(worker, 1, tuple(c.Held(a.attempt_id, a.fence, True) for _, a in
                                                      self.running if a.attempt_id in
                                                      core.workers[worker].attempts)))  # fmt: skip
        self.take()

    def over(self, session):
        return self.stage.core.sessions[session].is_over

    def until(self, session, most=1000):
        while not self.over(session):
            assert self.clock < most, "it never ends"
            self.second()


def many(task, count, prefix="t", **traits):
    return [task(f"{prefix}{i}", **traits) for i in range(count)]


def has_queued(stage, session):
    return any(one.status.value == "queued" for one in stage.core.tasks.get(session, {}).values())
