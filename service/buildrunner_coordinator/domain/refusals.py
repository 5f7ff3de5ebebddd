"""What the core says no with.

A refusal is an answer, not a bug: handlers raise it before they have changed anything, `Core.apply`
hands it to the caller.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from buildrunner_coordinator.domain.replies import LockConflict


class Reason(StrEnum):
    """Why; each has one gRPC status in `rpc/status.py`."""

    INVALID = "INVALID"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    TASK_NOT_FOUND = "TASK_NOT_FOUND"
    WORKER_NOT_FOUND = "WORKER_NOT_FOUND"
    WORKSPACE_NOT_FOUND = "WORKSPACE_NOT_FOUND"
    AMBIGUOUS_ID = "AMBIGUOUS_ID"
    WRONG_STATE = "WRONG_STATE"
    SESSION_CLOSED = "SESSION_CLOSED"
    TASK_EXISTS = "TASK_EXISTS"
    UNKNOWN_NEED = "UNKNOWN_NEED"
    CYCLE = "CYCLE"
    LIMIT = "LIMIT"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    DRAINING = "DRAINING"
    STALE = "STALE"
    LOCK_CONFLICT = "LOCK_CONFLICT"
    DEADLOCK = "DEADLOCK"
    LOCK_NOT_FOUND = "LOCK_NOT_FOUND"
    LOCK_NOT_HELD = "LOCK_NOT_HELD"
    NO_PATCH = "NO_PATCH"
    UNSUPPORTED = "UNSUPPORTED"


class Refusal(Exception):
    """A command that was understood and not carried out.

    `message` says what was wrong and what to do next; `details` are names for programs, `conflicts` who is in
    the way when it is about path locks.
    """

    def __init__(self, reason: Reason, message: str, **details: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.details = details
        self.conflicts: tuple[LockConflict, ...] = ()

    def about(self, conflicts: Iterable[LockConflict]) -> Refusal:
        """The same refusal, naming who is in the way of a request for paths."""
        self.conflicts = tuple(conflicts)
        return self

    def __repr__(self) -> str:
        return f"Refusal({self.reason}, {self.message!r})"
