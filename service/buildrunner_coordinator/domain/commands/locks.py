"""Commands about path locks by hand and by program. Tasks get theirs from placement."""

from __future__ import annotations

from dataclasses import dataclass

from buildrunner_coordinator.domain.model import PathRequest


@dataclass(slots=True)
class AcquireLocks:
    """Replies Acquired; with a wait and paths that are taken Queued, and later an answer to `waiter_id`.

    Refuses with LOCK_CONFLICT naming every conflict, or DEADLOCK naming the circle.
    """

    session_id: str
    files: tuple[PathRequest, ...]
    waiter_id: str
    """Fresh: names the one who waits, and becomes the id of the grant."""
    wait_ms: int = 0
    """0 tries once, negative waits without an end."""
    lease_ms: int = 0
    """0: none, the session's own grant."""
    attempt_id: str = ""
    fence: int = 0
    """Of the attempt."""
    held_grant_id: str = ""
    held_fence: int = 0
    host: str = ""
    client_id: str = ""
    request_id: str = ""
    digest: bytes = b""


@dataclass(slots=True)
class LeaveQueue:
    """Replies None. Whoever waits, or was granted what it was not told of yet, is not there any more."""

    waiter_id: str


@dataclass(slots=True)
class ReleaseLocks:
    """Replies list[LockView], what was freed."""

    session_id: str
    files: tuple[PathRequest, ...] = ()
    """Empty: all of the grant, or all that the session itself holds."""
    grant_id: str = ""
    fence: int = 0


@dataclass(slots=True)
class RenewLease:
    """Replies int, the lease in milliseconds."""

    grant_id: str
    fence: int


@dataclass(slots=True)
class ForceRelease:
    """Replies LockView, the lock as it was. An attempt is stopped first and frees it at its end."""

    lock_id: str
    reason: str


@dataclass(slots=True)
class PreviewLocks:
    """Replies list[LockConflict]: what is in the way of whoever asks. Refuses a stale fence (STALE)."""

    files: tuple[PathRequest, ...]
    session_id: str = ""
    attempt_id: str = ""
    grant_id: str = ""
    fence: int = 0


@dataclass(slots=True)
class FoldCase:
    """Replies None. A checkout of the workspace ignores case: from now on path keys do too."""
