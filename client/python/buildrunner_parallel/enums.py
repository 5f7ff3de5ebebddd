"""The words of the protocol's enums, in lower case. No behaviour.

A value that a newer coordinator made up becomes `unknown`, which is a member of every enum here but is
not listed when one iterates over it.
"""

from __future__ import annotations

import enum
from typing import Self

UNKNOWN = "unknown"


class WireEnum(enum.StrEnum):
    """A word for each value of a protocol enum; `CLASS("unknown")` always works."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if value != UNKNOWN:
            return None
        member = str.__new__(cls, UNKNOWN)
        member._name_ = "UNKNOWN"
        member._value_ = UNKNOWN
        # Kept where Enum looks first, so that it is made once and compares by identity.
        cls._value2member_map_.setdefault(UNKNOWN, member)
        return member


class SessionStatus(WireEnum):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SessionDriver(WireEnum):
    TASKS = "tasks"
    OWNER = "owner"


class FailureAction(WireEnum):
    CONTINUE = "continue"
    FINISH_RUNNING = "finish-running"
    STOP_NOW = "stop-now"


class TaskStatus(WireEnum):
    BLOCKED = "blocked"
    QUEUED = "queued"
    ASSIGNED = "assigned"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class Outcome(WireEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    NOT_STARTED = "not_started"
    LOST = "lost"
    REVOKED = "revoked"
    LOCK_LOST = "lock_lost"


class WaitKind(WireEnum):
    NEEDS = "needs"
    LOCKS = "locks"
    NO_WORKER = "no_worker"
    NO_SLOT = "no_slot"
    SESSION = "session"
    BACKOFF = "backoff"
    MAX_PARALLEL = "max_parallel"
    LOCK_DELAY = "lock_delay"
    SHARE = "share"


class WorkerStatus(WireEnum):
    IDLE = "idle"
    BUSY = "busy"
    OFFLINE = "offline"
    ERROR = "error"


class LockMode(WireEnum):
    EXCLUSIVE = "exclusive"
    SHARED = "shared"


class LockKind(WireEnum):
    AUTO = "auto"
    FILE = "file"
    TREE = "tree"
    GLOB = "glob"
    RESOURCE = "resource"


class AuditMode(WireEnum):
    AUTO = "auto"
    ON = "on"
    OFF = "off"


class IsolationMode(WireEnum):
    SHARED = "shared"
    WORKTREE = "worktree"


class OutputChannel(WireEnum):
    STDOUT = "stdout"
    STDERR = "stderr"


class EntityKind(WireEnum):
    SESSION = "session"
    TASK = "task"
    WORKER = "worker"
    LOCK = "lock"
    POOL = "pool"
