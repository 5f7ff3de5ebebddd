"""Path locks as they are shown."""

from __future__ import annotations

from collections.abc import Sequence

from buildrunner_coordinator.domain.commands import AcquireLocks, PreviewLocks, ReleaseLocks
from buildrunner_coordinator.domain.model import PathRequest, Time
from buildrunner_coordinator.domain.replies import Acquired, LockConflict, LockPage, LockView, WaiterView
from buildrunner_coordinator.rpc.convert.basics import check_name, check_range, invalid, page_token, timestamp
from buildrunner_coordinator.rpc.convert.enums import LOCK_KIND, LOCK_MODE
from buildrunner_coordinator.rpc.convert.specs import path_requests
from buildrunner_coordinator.rpc.convert.tasks import holder_message
from buildrunner_parallel.v1 import lock_service_pb2 as pb
from buildrunner_parallel.v1 import types_pb2 as types

MAX_PATHS = 10_000
MIN_LEASE_MS = 1_000
MAX_LEASE_MS = 3_600_000
MAX_WAIT_MS = 366 * 86_400_000


def lock_message(view: LockView, workspace_id: str, now: Time) -> types.PathLock:
    """`now` turns core time into what clocks on walls say."""
    freed_at_us = view.freed_us - now.us + now.wall_us if view.freed_us else 0
    return types.PathLock(
        lock_id=view.lock_id,
        workspace_id=workspace_id,
        path=view.path,
        mode=LOCK_MODE.wire(view.mode),
        kind=LOCK_KIND.wire(view.kind),
        holder=holder_message(view.holder),
        fence=view.fence,
        acquired_at=timestamp(view.acquired_at_us),
        lease_ends_at=timestamp(view.lease_us - now.us + now.wall_us if view.lease_us else 0),
        freed_at=timestamp(freed_at_us),
        grant_id=view.holder.grant_id,
    )


def request_message(request: PathRequest) -> types.PathRequest:
    return types.PathRequest(
        path=request.path, mode=LOCK_MODE.wire(request.mode), kind=LOCK_KIND.wire(request.kind)
    )


def waiter_message(view: WaiterView) -> pb.LockWaiter:
    paths = [request_message(request) for request in view.files]
    return pb.LockWaiter(
        waiter=holder_message(view.holder),
        paths=paths,
        waited_ms=view.waited_us // 1000,
        position=view.position,
        conflicts=[conflict_message(one) for one in view.conflicts],
    )


def conflict_message(one: LockConflict) -> types.LockConflict:
    return types.LockConflict(
        asked_path=one.asked.path,
        asked_mode=LOCK_MODE.wire(one.asked.mode),
        held_path=one.held.path,
        held_mode=LOCK_MODE.wire(one.held.mode),
        held_kind=LOCK_KIND.wire(one.held.kind),
        holder=holder_message(one.holder),
        held_ms=one.held_us // 1000,
        queue_position=one.position,
        silent_ms=one.silent_us // 1000,
        lock_id=one.lock_id,
    )


def page_message(page: LockPage, start: int, size: int, workspace_id: str, now: Time) -> pb.ListLocksResponse:
    """`size` locks and waiters from the `start`th on, locks before waiters."""
    end = start + size
    before = len(page.locks)
    waiters = page.waiters[max(0, start - before) : max(0, end - before)]
    return pb.ListLocksResponse(
        locks=[lock_message(lock, workspace_id, now) for lock in page.locks[start:end]],
        waiters=[waiter_message(waiter) for waiter in waiters],
        next_page_token=page_token(end) if end < before + len(page.waiters) else "",
    )


def acquire_command(request: pb.AcquireLocksRequest, waiter_id: str, host: str) -> AcquireLocks:
    """Raises Refusal (INVALID)."""
    lease_ms = request.lease_ms if request.HasField("lease_ms") else 0
    if request.HasField("lease_ms"):
        check_range(lease_ms, MIN_LEASE_MS, MAX_LEASE_MS, "lease in milliseconds")
    # As the protocol says, any negative wait has no end.
    wait_ms = check_range(max(request.wait_ms, -1), -1, MAX_WAIT_MS, "wait in milliseconds")
    return AcquireLocks(
        request.session_id,
        locked_paths(request.paths),
        waiter_id,
        wait_ms=wait_ms,
        lease_ms=lease_ms,
        attempt_id=check_name(request.attempt_id, "attempt's id"),
        fence=request.fence,
        held_grant_id=check_name(request.held_grant_id, "grant's id"),
        held_fence=request.held_fence,
        host=host,
    )


def acquired_message(reply: Acquired, workspace_id: str, now: Time) -> pb.AcquireLocksResponse:
    return pb.AcquireLocksResponse(
        grant_id=reply.grant_id,
        fence=reply.fence,
        locks=[lock_message(one, workspace_id, now) for one in reply.locks],
        lease_ms=reply.lease_ms,
        waited_ms=reply.waited_us // 1000,
        already_held=reply.already_held,
    )


def release_command(request: pb.ReleaseLocksRequest) -> ReleaseLocks:
    """Raises Refusal (INVALID)."""
    return ReleaseLocks(
        request.session_id,
        locked_paths(request.paths),
        check_name(request.grant_id, "grant's id"),
        request.fence,
    )


def preview_command(request: pb.PreviewLocksRequest) -> PreviewLocks:
    """Raises Refusal (INVALID)."""
    return PreviewLocks(
        locked_paths(request.paths),
        request.session_id,
        check_name(request.attempt_id, "attempt's id"),
        check_name(request.grant_id, "grant's id"),
        request.fence,
    )


def locked_paths(requests: Sequence[types.PathRequest]) -> tuple[PathRequest, ...]:
    """As those of tasks; there are at most MAX_PATHS. Raises Refusal (INVALID)."""
    if len(requests) > MAX_PATHS:
        raise invalid(
            f"{len(requests)} paths are more than the {MAX_PATHS} of one request. Lock a directory."
        )
    return path_requests(requests)
