"""The calls of LockService, as methods of both clients: paths taken by hand or by a program, and the state of
all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

from .calls import Call, Scope, Steps, new_request_id, read_list, read_record
from .convert import all_from_wire, from_wire
from .convert_specs import milliseconds, path_request_to_wire
from .durations import EXPECTED, parse_duration
from .errors import InvalidRequestError
from .lock_holding import asker_for
from .lock_paths import PathItem, PathLike, escaped, path_items, path_request
from .records import Grant, LockConflict, LockListing, LockReport, PathLock
from .specs import PathRequest
from .v1 import lock_service_pb2 as wire
from .v1 import types_pb2

Duration: TypeAlias = "str | float"
Wait: TypeAlias = "Duration | bool | None"

_FOREVER_MS = -1
# A deadline that a wait without an end does not see; gRPC's own pings find a coordinator that is gone.
_FOREVER_S = 365 * 86400.0
# For the answer to a wait that is over, as any call has.
_ANSWER_S = 30.0
_PAGE_SIZE = 1000


class HasSessionId(Protocol):
    """A record of a session, or a block that runs one."""

    @property
    def session_id(self) -> str: ...


SessionName: TypeAlias = "str | HasSessionId"


def acquire_locks(
    self: Scope,
    session: SessionName,
    paths: Iterable[PathItem],
    *,
    mode: str = "exclusive",
    wait: Wait = None,
    lease: Duration | None = None,
) -> Call[Grant]:
    """Takes all of `paths` or none, for the session itself: until they are released or it ends.

    Each of `paths` is a path relative to the current directory, `(path, mode)`, or a mapping with `path`,
    `literal` (no wildcards) or `glob`, and perhaps `mode`; `res:NAME` is a name without a file. `mode` is
    exclusive or shared. `wait` None tries once, True waits without an end, else for so long ("30s", or
    seconds). With a `lease` it is a grant of its own that ends so long after its last renewal: see `lock`,
    which renews it. Within a task its attempt takes them.

    Raises LockConflictError with every conflict, DeadlockError when waiting would close a circle,
    InvalidRequestError, NotFoundError, WrongStateError (the session has ended), StaleError (the attempt has).
    """
    return acquire_call(acquire_request(self, session, paths, mode=mode, wait=wait, lease=lease))


def acquire_request(
    scope: Scope,
    session: SessionName,
    paths: Iterable[PathItem],
    *,
    mode: str = "exclusive",
    wait: Wait = None,
    lease: Duration | None = None,
) -> wire.AcquireLocksRequest:
    """The message of `acquire_locks` and of a block that holds paths."""
    session_id = session_id_of(session)
    asker = asker_for(session_id)
    request = wire.AcquireLocksRequest(
        request_id=new_request_id(),
        session_id=session_id,
        paths=_paths(scope, paths, mode),
        wait_ms=_wait_ms(wait),
        lease_ms=None if lease is None else _duration_ms("lease", lease),
        attempt_id=asker.attempt_id,
        fence=asker.fence,
    )
    if lease is not None:
        # What has no lease is the session's own, and not part of what a block holds.
        request.held_grant_id = asker.held_grant_id
        request.held_fence = asker.held_fence
    return request


def acquire_call(request: wire.AcquireLocksRequest) -> Call[Grant]:
    """Stays open for as long as it waits; the same request id finds its place again behind a restart."""
    waits_s = _FOREVER_S if request.wait_ms < 0 else request.wait_ms / 1000
    return Call(
        lambda stubs: stubs.locks.AcquireLocks,
        request,
        lambda answer: _grant(answer, request.session_id),
        timeout_s=waits_s + _ANSWER_S if waits_s else None,
        waits=waits_s > 0,
    )


def release_locks(
    self: Scope,
    session: SessionName,
    paths: Iterable[PathItem] = (),
    *,
    grant_id: str = "",
    fence: int = 0,
) -> Call[list[PathLock]]:
    """Gives back `paths`, or without any all that the session itself holds; returns what was freed.

    With `grant_id` and its `fence`: those of that grant, or all of it. No effect on an ended session. Raises
    NotFoundError for a path that it does not hold, StaleError for a fence that is not that of the grant.
    """
    request = wire.ReleaseLocksRequest(
        request_id=new_request_id(),
        session_id=session_id_of(session),
        paths=_paths(self, paths, "exclusive"),
        grant_id=grant_id,
        fence=fence,
    )
    return Call(lambda stubs: stubs.locks.ReleaseLocks, request, read_list(PathLock, "released"))


def renew_lease(self: Scope, grant: Grant) -> Call[float]:
    """Begins the lease of `grant` anew; returns its length in seconds. Raises StaleError when it is lost."""
    request = wire.RenewLeaseRequest(grant_id=grant.grant_id, fence=grant.fence)
    return Call(lambda stubs: stubs.locks.RenewLease, request, lambda answer: answer.lease_ms / 1000)


def list_locks(self: Scope, path: PathLike = "", *, session: SessionName = "") -> Steps[LockListing]:
    """What is held and who waits: everything, or what overlaps with `path`, or what is of `session`."""
    asked = path_request(self._lock_paths(), path) if path else None
    locks: list[PathLock] = []
    waiters: list[Any] = []
    token, more = "", True
    while more:
        request = wire.ListLocksRequest(
            path="" if asked is None else _as_text(asked),
            session_id=session_id_of(session),
            page_size=_PAGE_SIZE,
            page_token=token,
        )
        page: LockListing
        page, token = yield from Call(
            lambda stubs: stubs.locks.ListLocks,
            request,
            lambda answer: (from_wire(LockListing, answer), answer.next_page_token),
        )
        locks += page.locks
        waiters += page.waiters
        more = bool(token)
    return LockListing(tuple(locks), tuple(waiters))


def force_release(self: Scope, lock_id: str, reason: str) -> Call[PathLock]:
    """Takes a lock away from its holder, `reason` is kept with it; returns the lock as it was.

    A task that holds it is stopped first, and fails. Raises NotFoundError, InvalidRequestError.
    """
    request = wire.ForceReleaseRequest(request_id=new_request_id(), lock_id=lock_id, reason=reason)
    return Call(lambda stubs: stubs.locks.ForceRelease, request, read_record(PathLock, "lock"))


def preview_locks(
    self: Scope, paths: Iterable[PathItem], *, session: SessionName = "", mode: str = "exclusive"
) -> Call[list[LockConflict]]:
    """Who would be in the way, without asking for anything. What `session` holds is not, nor what the task
    or the block holds that this is called in. Raises StaleError when that is not theirs any more."""
    session_id = session_id_of(session)
    asker = asker_for(session_id)
    request = wire.PreviewLocksRequest(
        paths=_paths(self, paths, mode),
        session_id=session_id,
        attempt_id=asker.attempt_id,
        grant_id=asker.held_grant_id,
        fence=asker.fence or asker.held_fence,
    )
    return Call(lambda stubs: stubs.locks.PreviewLocks, request, read_list(LockConflict, "conflicts"))


def lock_statistics(
    self: Scope, *, session: SessionName = "", since: Duration | None = None, limit: int = 20
) -> Call[LockReport]:
    """Which paths were waited for, by whom and how long: of all that is kept, or of the last `since` ("1h",
    or seconds); at most `limit` paths and sessions, those waited for longest first."""
    request = wire.GetLockStatisticsRequest(
        session_id=session_id_of(session),
        since_ms=0 if since is None else _duration_ms("since", since),
        limit=limit,
    )
    return Call(
        lambda stubs: stubs.locks.GetLockStatistics, request, lambda answer: from_wire(LockReport, answer)
    )


def session_id_of(session: SessionName) -> str:
    """The id in a record or block; an id is itself. Raises InvalidRequestError for anything else."""
    found = session if isinstance(session, str) else getattr(session, "session_id", None)
    if not isinstance(found, str):
        raise InvalidRequestError(f"expected a session or its id, found {session!r}", reason="INVALID")
    return found


def _paths(scope: Scope, paths: Iterable[PathItem], mode: str) -> list[types_pb2.PathRequest]:
    items = path_items(paths)
    # Where this process is, and in which repository, matters for those alone.
    places = scope._lock_paths() if items else None
    return [path_request_to_wire(path_request(places, item, mode)) for item in items if places is not None]


def _as_text(request: PathRequest) -> str:
    """A path as ListLocks reads it: by its text alone."""
    text = request.path if request.kind in ("glob", "resource") else escaped(request.path)
    return f"{text}/" if request.kind == "tree" else text


def _wait_ms(wait: Wait) -> int:
    if wait is None or wait is False:
        return 0
    return _FOREVER_MS if wait is True else _duration_ms("wait", wait)


def _duration_ms(name: str, value: Duration) -> int:
    try:
        return milliseconds(parse_duration(value))
    except (ValueError, TypeError, AttributeError):
        raise InvalidRequestError(f"{name}: expected {EXPECTED}, found {value!r}", reason="INVALID") from None


def _grant(answer: wire.AcquireLocksResponse, session_id: str) -> Grant:
    locks = all_from_wire(PathLock, answer.locks)
    whole = next((lock.holder.session_id for lock in locks if lock.holder.session_id), session_id)
    return Grant(
        answer.grant_id,
        answer.fence,
        locks,
        whole,
        answer.lease_ms,
        answer.waited_ms,
        answer.already_held,
    )
