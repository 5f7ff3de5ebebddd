"""Everything that the SDK raises; nothing here knows gRPC, so importing it is cheap.

    BuildRunnerError                       1
    ├── RefusedError                       1   the coordinator said no
    │   ├── InvalidRequestError            1   malformed, or refers to something impossible
    │   ├── WrongStateError                1   not in this state
    │   ├── LimitError                     1   too large, too many, too fast
    │   ├── UnsupportedError               1   this coordinator does not serve the call
    │   ├── LockConflictError (ValueError) 5   paths are held by somebody else
    │   │   └── DeadlockError              5   waiting would close a circle
    │   └── StaleError                     5   not, or no more, the holder
    │       └── LockLostError              5   what a block held went away while it ran
    ├── NotFoundError                      4
    │   └── AmbiguousIdError               4   a prefix of several ids
    ├── AuthenticationError                3
    ├── UnreachableError                   3
    │   ├── NoStateError                   3   nothing was ever started in this workspace
    │   └── CoordinatorStartError          3   the local coordinator did not come up
    ├── TaskFailedError                    6   a task that was waited for did not succeed
    └── DeadlineError (TimeoutError)     124   a wait of the caller's own ran out

The number is `exit_code`, what a command line program should end with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from .records import LockConflict
    from .task_results import TaskResult


class BuildRunnerError(Exception):
    """`message` says what was wrong and what to do next; `reason` is UPPER_SNAKE, or empty."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason

    def __str__(self) -> str:
        return self.message


class RefusedError(BuildRunnerError):
    """The coordinator understood the request and will not do it."""


class InvalidRequestError(RefusedError):
    """The request is malformed or asks for something that cannot be, such as a cycle."""


class WrongStateError(RefusedError):
    """The session, task or worker is not in a state that allows this; the message names the state."""


class LimitError(RefusedError):
    """A size, count or rate limit; the message names it."""


class UnsupportedError(RefusedError):
    """This coordinator does not serve the call."""


class LockConflictError(RefusedError, ValueError):
    """Paths are held by others; `conflicts` has one entry for each clash."""

    exit_code: ClassVar[int] = 5

    def __init__(
        self, message: str, *, reason: str = "LOCK_CONFLICT", conflicts: Sequence[LockConflict] = ()
    ) -> None:
        super().__init__(message, reason=reason)
        self.conflicts: list[LockConflict] = list(conflicts)


class DeadlockError(LockConflictError):
    """Waiting for these paths would close a circle of waiters."""


class StaleError(RefusedError):
    """The fence is not, or no more, that of the attempt or grant: somebody else may hold its paths."""

    exit_code: ClassVar[int] = 5


class LockLostError(StaleError):
    """What `grant_id` held was not held to the end: taken away, lapsed, or ended with its session. Others
    may have changed these paths meanwhile."""

    def __init__(self, message: str, *, reason: str = "LOCK_LOST", grant_id: str = "") -> None:
        super().__init__(message, reason=reason)
        self.grant_id = grant_id


class NotFoundError(BuildRunnerError):
    """There is no such session, task, worker or lock (any more)."""

    exit_code: ClassVar[int] = 4


class AmbiguousIdError(NotFoundError):
    """The given prefix fits several ids, listed in `candidates`."""

    def __init__(self, message: str, *, reason: str = "AMBIGUOUS_ID", candidates: Sequence[str] = ()) -> None:
        super().__init__(message, reason=reason)
        self.candidates: list[str] = list(candidates)


class AuthenticationError(BuildRunnerError):
    """The token is missing, unknown, or does not allow the call."""

    exit_code: ClassVar[int] = 3


class UnreachableError(BuildRunnerError):
    """No coordinator answers at `address`."""

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, reason: str = "", address: str = "") -> None:
        super().__init__(message, reason=reason)
        self.address = address


class NoStateError(UnreachableError):
    """Nothing was ever started in this workspace, and nothing was asked to be."""


class CoordinatorStartError(UnreachableError):
    """The local coordinator did not come up; `log_tail` has the last lines that it and its keeper wrote."""

    def __init__(self, message: str, *, reason: str = "", address: str = "", log_tail: str = "") -> None:
        super().__init__(message, reason=reason, address=address)
        self.log_tail = log_tail


class TaskFailedError(BuildRunnerError):
    """A task failed, was cancelled or skipped; `result` says how it ended."""

    exit_code: ClassVar[int] = 6

    def __init__(self, message: str, *, result: TaskResult) -> None:
        super().__init__(message, reason=f"TASK_{result.status.name}")
        self.result = result

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (self.message, self.result)


def _rebuilt(message: str, result: TaskResult) -> TaskFailedError:
    # Exceptions are pickled by their positional arguments alone.
    return TaskFailedError(message, result=result)


class DeadlineError(BuildRunnerError, TimeoutError):
    """The time that the caller gave for waiting ran out; what was waited for goes on."""

    exit_code: ClassVar[int] = 124
