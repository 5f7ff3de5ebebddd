"""The states of sessions and workers, as words that compare with plain text."""

from __future__ import annotations

from enum import Enum


class SessionStatus(str, Enum):  # noqa: UP042 - programs rely on str(), which StrEnum changes
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WorkerStatus(str, Enum):  # noqa: UP042
    IDLE = "idle"
    BUSY = "busy"
    OFFLINE = "offline"
    ERROR = "error"
