"""Path locks as they are shown."""

from __future__ import annotations

from buildrunner_coordinator.domain.model import PathRequest, Time
from buildrunner_coordinator.domain.replies import LockPage, LockView, WaiterView
from buildrunner_coordinator.rpc.convert.basics import timestamp
from buildrunner_coordinator.rpc.convert.enums import LOCK_KIND, LOCK_MODE
from buildrunner_coordinator.rpc.convert.tasks import holder_message
from buildrunner_parallel.v1 import lock_service_pb2 as pb
from buildrunner_parallel.v1 import types_pb2 as types


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
        freed_at=timestamp(freed_at_us),
    )


def request_message(request: PathRequest) -> types.PathRequest:
    return types.PathRequest(
        path=request.path, mode=LOCK_MODE.wire(request.mode), kind=LOCK_KIND.wire(request.kind)
    )


def waiter_message(view: WaiterView) -> pb.LockWaiter:
    paths = [request_message(request) for request in view.files]
    asked = view.files[0].path if view.files else ""
    return pb.LockWaiter(
        waiter=holder_message(view.holder),
        paths=paths,
        waited_ms=view.waited_us // 1000,
        position=view.position,
        conflicts=[types.LockConflict(asked_path=asked, held_path=path) for path in view.blocked_by],
    )


def page_message(page: LockPage, workspace_id: str, now: Time) -> pb.ListLocksResponse:
    return pb.ListLocksResponse(
        locks=[lock_message(lock, workspace_id, now) for lock in page.locks],
        waiters=[waiter_message(waiter) for waiter in page.waiters],
    )
