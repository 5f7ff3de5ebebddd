"""One attempt in the worker's hands, from its assignment until the coordinator has acknowledged its report.

Plain data.
"""

from __future__ import annotations

from dataclasses import dataclass

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2

from .ground import Ground
from .output_buffer import OutputBuffer

# WAITING here, PREPARING (see groundwork), HANDED to the supervisor or a handler host, RUNNING, OVER (its
# report may wait for output, or for what is looked at when it is over).
WAITING = 0
PREPARING = 4
HANDED = 1
RUNNING = 2
OVER = 3

DEFAULT_GRACE_MS = 10_000


@dataclass(slots=True, eq=False)
class Attempt:
    """`revoke_asked`: the coordinator waits for an answer. `is_disowned`: stop it, and report nothing."""

    assignment: worker_service_pb2.Assignment
    attempt_id: str
    fence: int
    slots: int
    is_handler: bool
    state: int = WAITING
    is_prepared: bool = False
    ground: Ground | None = None
    pid: int = 0
    slot: int = 0
    started_at_us: int = 0
    output: OutputBuffer | None = None
    is_paused: bool = False
    report: worker_service_pb2.TaskReport | None = None
    sent_at_s: float = 0.0
    cancel_outcome: types_pb2.Outcome.ValueType | None = None
    cancel_reason: str = ""
    revoke_asked: bool = False
    is_disowned: bool = False

    @property
    def timeout_ms(self) -> int:
        """Running time allowed; 0 is no limit."""
        return self.assignment.spec.timeout_ms

    @property
    def grace_ms(self) -> int:
        """Between SIGTERM and SIGKILL."""
        spec = self.assignment.spec
        return spec.grace_ms if spec.HasField("grace_ms") else DEFAULT_GRACE_MS


def take(assignment: worker_service_pb2.Assignment) -> Attempt:
    """A new attempt, not started."""
    spec = assignment.spec
    return Attempt(
        assignment,
        assignment.attempt_id,
        assignment.fence,
        max(spec.slots, 1),
        spec.WhichOneof("work") == "handler",
    )


def held(attempt: Attempt) -> worker_service_pb2.HeldAttempt:
    """As hello and heartbeats name it."""
    return worker_service_pb2.HeldAttempt(
        attempt_id=attempt.attempt_id,
        fence=attempt.fence,
        started=bool(attempt.started_at_us),
        ended=attempt.state == OVER,
        pid=attempt.pid,
        started_at_us=attempt.started_at_us,
    )
