"""Workers and pools: hellos and orders to commands, views and rows to messages."""

from __future__ import annotations

import json
from collections.abc import Iterable

from buildrunner_coordinator.domain.changes import MetaRow, PoolRow
from buildrunner_coordinator.domain.commands import Held, ListWorkers, Register, SetPool, UpdateWorker
from buildrunner_coordinator.domain.model import Kinds, Settings
from buildrunner_coordinator.domain.replies import Registered, WorkerView
from buildrunner_coordinator.rpc.convert.basics import (
    check_name,
    check_object,
    check_range,
    invalid,
    microseconds,
    page_size,
    page_start,
    timestamp,
)
from buildrunner_coordinator.rpc.convert.enums import WORKER_STATUS
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1 import worker_service_pb2 as pb

MAX_SLOTS = 1024
MAX_CREDIT = 100_000
MAX_NAMES = 1000
MAX_POOL = 1000
MAX_MESSAGE_BYTES = 4 << 20
MAX_LEASE_MS = 7 * 86_400_000
MAX_ADDED = 1_000_000


def register_command(hello: pb.Hello, seed: int, *, polls: bool = False) -> Register:
    slots = check_range(hello.slots, 0, MAX_SLOTS, "number of slots") or 1
    return Register(
        seed=seed,
        worker_id=check_name(hello.worker_id, "worker's id"),
        host=check_name(hello.host, "host"),
        pid=hello.pid,
        version=check_name(hello.version, "version"),
        slots=slots,
        labels=_names(hello.labels, "label"),
        kinds=_kinds(hello.kinds),
        session_id=check_name(hello.session_id, "session's id"),
        pool=check_name(hello.pool, "pool's name"),
        metadata_json=check_object(hello.metadata_json, "worker's metadata"),
        capabilities=_names(hello.capabilities, "capability"),
        workspace_id=check_name(hello.workspace_id, "workspace's id"),
        held=held_attempts(hello.held),
        credit=check_range(hello.credit, 0, MAX_CREDIT, "credit") or (0 if polls else slots),
        store_id=hello.store_id,
        lease_ms=_own_lease(hello.lease_ms, hello.kinds),
        polls=polls,
    )


def _own_lease(lease_ms: int, kinds: types.WorkerKinds) -> int:
    if lease_ms and not kinds.external:
        raise invalid("Only an external worker has a lease of its own: leave lease_ms out.")
    return check_range(lease_ms, 0, MAX_LEASE_MS, "lease in milliseconds")


def update_command(request: pb.UpdateWorkerRequest) -> UpdateWorker:
    metadata = request.metadata_json if request.HasField("metadata_json") else None
    lease_ms = request.lease_ms if request.HasField("lease_ms") else None
    heard = request.last_heartbeat_at if request.HasField("last_heartbeat_at") else None
    return UpdateWorker(
        request.worker_id,
        None if metadata is None else check_object(metadata, "worker's metadata"),
        WORKER_STATUS.domain(request.status),
        None if lease_ms is None else check_range(lease_ms, 0, MAX_LEASE_MS, "lease in milliseconds"),
        0 if heard is None else max(1, microseconds(heard)),
        check_range(request.add_succeeded, 0, MAX_ADDED, "number of tasks"),
        check_range(request.add_failed, 0, MAX_ADDED, "number of tasks"),
    )


def _names(names: Iterable[str], what: str) -> tuple[str, ...]:
    found = tuple(sorted({check_name(name, what, required=True) for name in names}))
    if len(found) > MAX_NAMES:
        raise invalid(f"More than {MAX_NAMES} names of the kind: {what}.")
    return found


def _kinds(kinds: types.WorkerKinds) -> Kinds:
    return Kinds(kinds.commands, _names(kinds.handlers, "handler's name"), kinds.external)


def held_attempts(held: Iterable[pb.HeldAttempt]) -> tuple[Held, ...]:
    return tuple(
        Held(one.attempt_id, one.fence, one.started, one.ended, one.pid, one.started_at_us) for one in held
    )


def welcome_message(
    registered: Registered, session_id: str, meta: MetaRow, settings: Settings, version: str
) -> pb.Welcome:
    return pb.Welcome(
        worker_id=registered.worker_id,
        generation=registered.generation,
        store_id=meta.store_id,
        epoch=meta.epoch,
        heartbeat_interval_ms=settings.heartbeat_interval_ms,
        lease_ms=settings.lease_ms,
        stop_after_ms=settings.stop_after_ms,
        kill_after_ms=settings.kill_after_ms,
        max_message_bytes=MAX_MESSAGE_BYTES,
        output_head_bytes=settings.output_head_bytes,
        output_tail_bytes=settings.output_tail_bytes,
        version=version,
        report_repeat_ms=settings.report_repeat_ms,
        session_id=session_id,
        workspace_id=meta.workspace_id,
    )


def worker_message(view: WorkerView) -> types.Worker:
    worker = view.worker
    return types.Worker(
        worker_id=worker.worker_id,
        status=WORKER_STATUS.wire(worker.status),
        draining=worker.draining,
        host=worker.host,
        pid=worker.pid,
        version=worker.version,
        slots=worker.slots,
        labels=worker.labels,
        kinds=types.WorkerKinds(
            commands=worker.kinds.commands, handlers=worker.kinds.handlers, external=worker.kinds.external
        ),
        pool=worker.pool,
        session_id=worker.session_id,
        tasks=[
            types.TaskRef(session_id=s, task_id=t, attempt=number, attempt_id=attempt_id, fence=fence)
            for (s, t, number, fence), attempt_id in zip(view.tasks, view.attempt_ids, strict=True)
        ],
        tasks_succeeded=worker.succeeded,
        tasks_failed=worker.failed,
        registered_at=timestamp(worker.registered_at_us),
        last_heartbeat_at=timestamp(worker.heartbeat_at_us),
        metadata_json=worker.metadata_json,
        capabilities=worker.capabilities,
        revision=worker.revision,
        connected=worker.connected,
        slots_taken=worker.slots_taken,
        lease_ms=worker.lease_ms,
    )


def list_command(request: pb.ListWorkersRequest) -> ListWorkers:
    return ListWorkers(
        statuses=WORKER_STATUS.known(request.statuses),
        after=page_start(request.page_token),
        limit=page_size(request.page_size, 1000),
        pool=request.pool if request.HasField("pool") else None,
    )


def pool_message(row: PoolRow) -> types.Pool:
    return types.Pool(
        session_id=row.session_id,
        host=row.host,
        wanted=row.wanted,
        slots=row.slots,
        labels=json.loads(row.labels_json),
        handler_modules=json.loads(row.handler_modules_json),
        revision=row.revision,
    )


def pool_command(pool: types.Pool) -> SetPool:
    modules = [check_name(name, "handler module", required=True) for name in pool.handler_modules]
    return SetPool(
        session_id=pool.session_id,
        host=check_name(pool.host, "host"),
        wanted=check_range(pool.wanted, 0, MAX_POOL, "number of workers"),
        slots=check_range(pool.slots, 0, MAX_SLOTS, "number of slots") or 1,
        labels=_names(pool.labels, "label"),
        handler_modules=tuple(dict.fromkeys(modules)),
    )
