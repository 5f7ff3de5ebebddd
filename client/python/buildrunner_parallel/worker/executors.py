"""Where attempts go: commands to the supervisor, handlers to the pool, never more than the worker's slots.

Commands queue a few deep in the supervisor, so that the next starts without a word from here; as soon as both
kinds are in hand the queueing stops, for only one side sees the slots of each.
"""

from __future__ import annotations

from . import supervisor_messages as say
from .attempt import Attempt
from .framing import Message
from .handler_pool import HandlerPool
from .host_link import HandlerJob
from .task_environment import identity_of, own_environment, working_directory

_AHEAD = 24
_MS = 1_000_000


class SlotExecutor:
    """Implements attempt_book.Executor. `requests` collects what is to be sent to the supervisor."""

    def __init__(self, slots: int, directory: str) -> None:
        self._slots = slots
        self._directory = directory
        self._command_weight = 0
        self._reserved: dict[str, int] = {}
        self.requests: list[Message] = []
        self.pool: HandlerPool | None = None

    def reserve(self, attempt: Attempt) -> bool:
        """Whether it could run at once; while it is prepared, others count it as if it did."""
        handler_weight = self.pool.slots_used if self.pool is not None else 0
        taken = self._command_weight + handler_weight + sum(self._reserved.values())
        weight = self._weight(attempt)
        if taken + weight > self._slots:
            return False
        self._reserved[attempt.attempt_id] = weight
        return True

    def release(self, attempt: Attempt) -> None:
        """It is prepared, or will not be."""
        self._reserved.pop(attempt.attempt_id, None)

    def start(self, attempt: Attempt) -> bool:
        """Hands the attempt on if there is room for it."""
        handler_weight = self.pool.slots_used if self.pool is not None else 0
        if attempt.is_handler:
            assert self.pool is not None, "handlers are offered only with a pool"
            return self.pool.feed(self._job(attempt), self._slots - self._command_weight - handler_weight)
        limit = self._slots - handler_weight if handler_weight else self._slots + _AHEAD
        weight = self._weight(attempt)
        if self._command_weight + weight > limit:
            return False
        self._command_weight += weight
        self.requests.append(self._run(attempt, weight))
        return True

    def _weight(self, attempt: Attempt) -> int:
        return min(attempt.slots, self._slots)

    def _run(self, attempt: Attempt, weight: int) -> Message:
        spec = attempt.assignment.spec
        command = spec.command
        argv = ["/bin/sh", "-c", command.shell_line] if command.shell_line else list(command.argv)
        directory = working_directory(spec.directory, self._directory)
        env = own_environment(attempt.assignment)
        if attempt.ground is not None:
            directory = attempt.ground.directory
            env |= attempt.ground.environment
        limits = (spec.timeout_ms * _MS, attempt.grace_ms * _MS)
        mark = f"BR_FENCE={attempt.fence}"
        return (say.RUN, attempt.attempt_id, argv, directory, env, weight, *limits, mark)

    def _job(self, attempt: Attempt) -> HandlerJob:
        assignment = attempt.assignment
        spec = assignment.spec
        work = spec.handler
        data, content_type = (
            (work.payload.data, work.payload.content_type) if work.HasField("payload") else (b"", "")
        )
        env: dict[str, str] = {}
        for part in (spec.passed_environment, spec.environment):
            if part:
                env.update(part)
        has_directory = spec.HasField("directory")
        directory = working_directory(spec.directory, self._directory) if has_directory else self._directory
        if attempt.ground is not None:
            directory = attempt.ground.directory
            env |= attempt.ground.environment
        return HandlerJob(
            attempt.attempt_id,
            work.name,
            data,
            content_type,
            identity_of(assignment),
            directory,
            env,
            self._weight(attempt),
            spec.timeout_ms * _MS,
            attempt.grace_ms * _MS,
        )

    def stop(self, attempt: Attempt, grace_ns: int, cause: str) -> None:
        """SIGTERM, grace, SIGKILL; what has not started comes back as REVOKED."""
        if attempt.is_handler and self.pool is not None:
            self.pool.cancel(attempt.attempt_id, grace_ns, cause)
        else:
            self.requests.append((say.CANCEL, attempt.attempt_id, grace_ns, cause))

    def take_back(self, attempt: Attempt) -> None:
        """REVOKED if it has not started, else STARTED comes or has come."""
        if attempt.is_handler and self.pool is not None:
            self.pool.revoke(attempt.attempt_id)
        else:
            self.requests.append((say.REVOKE, attempt.attempt_id))

    def over(self, attempt: Attempt) -> None:
        """Its slots are free."""
        if not attempt.is_handler:
            self._command_weight -= self._weight(attempt)

    def pause_output(self, attempt: Attempt, paused: bool) -> None:
        """What it prints stays in its pipes, or its handler host waits on its socket."""
        if attempt.is_handler and self.pool is not None:
            self.pool.pause(attempt.attempt_id, paused=paused)
        else:
            self.requests.append((say.PAUSE if paused else say.RESUME, attempt.attempt_id))
