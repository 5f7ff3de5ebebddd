"""One attempt in the hands of a simulated worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import Outcome

if TYPE_CHECKING:
    from buildrunner_coordinator.domain.replies import Assign
    from tests.sim.plans import TaskPlan
    from tests.sim.processes import Process
    from tests.sim.workers import SimWorker

WAITING, HANDED, RUNNING, OVER = "waiting", "handed", "running", "over"
INLINE_BYTES = 40


class SimAttempt:
    def __init__(self, assign: Assign, plan: TaskPlan) -> None:
        self.assign = assign
        self.attempt_id = assign.attempt_id
        self.plan = plan
        self.run = plan.run(assign.number)
        self.state = WAITING
        self.revoke_asked = False
        self.disowned = False
        self.stop_as: Outcome | None = None
        self.process: Process | None = None
        self.ran = False
        self.started_at_us = 0
        self.report: c.Finished | None = None
        self.reported = False
        self.acknowledged_bytes = 0

    @property
    def is_handed(self) -> bool:
        return self.state == HANDED

    def held(self) -> c.Held:
        over = self.state == OVER
        return c.Held(
            self.attempt_id, self.assign.fence, self.ran, over, 1 if self.ran else 0, self.started_at_us
        )

    def started_word(self, worker: SimWorker) -> c.Started:
        return c.Started(
            worker.worker_id, self.attempt_id, self.assign.fence, worker.pid + 1, self.started_at_us
        )

    def make_report(self, worker: SimWorker, outcome: Outcome) -> c.Finished:
        chunks = self._chunks() if self.ran else ()
        size = sum(self.run.output_sizes) if self.ran else 0
        return c.Finished(
            worker.worker_id, self.attempt_id, self.assign.fence, outcome,
            exit_code=None if outcome is not Outcome.SUCCEEDED else 0, pid=1 if self.ran else 0,
            started_at_us=self.started_at_us,
            output=chunks if size <= INLINE_BYTES else (), output_bytes=size,
            worker_fault=outcome is Outcome.NOT_STARTED and self.run.worker_fault,
        )  # fmt: skip

    def unacknowledged_output(self) -> tuple[c.Chunk, ...]:
        if self.report is None or self.report.output_bytes <= INLINE_BYTES:
            return ()
        return tuple(one for one in self._chunks() if one.offset + len(one.data) > self.acknowledged_bytes)

    def _chunks(self) -> tuple[c.Chunk, ...]:
        chunks, offset = [], 0
        for size in self.run.output_sizes:
            chunks.append(c.Chunk(offset, 1, b"x" * size))
            offset += size
        return tuple(chunks)
