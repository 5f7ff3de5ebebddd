"""The calls of WorkerService that are not a worker's own, as methods of both clients."""

from __future__ import annotations

from collections.abc import Sequence

from .calls import Call, Page, Pages, Scope, new_request_id, read_list, read_page, read_record
from .convert_specs import number_of
from .records import Pool, Worker
from .v1 import types_pb2
from .v1 import worker_service_pb2 as wire


def list_workers(
    self: Scope, *, statuses: Sequence[str] = (), pool: str | None = None, limit: int | None = None
) -> Pages[Worker]:
    """In order of registration; all of them, or at most `limit`; with `pool` its external workers only."""
    numbers = [number_of(types_pb2.WorkerStatus, status) for status in statuses]

    def fetch(page_size: int, page_token: str) -> Call[Page[Worker]]:
        request = wire.ListWorkersRequest(
            statuses=numbers, page_size=page_size, page_token=page_token, pool=pool
        )
        return Call(lambda stubs: stubs.workers.ListWorkers, request, read_page(Worker, "workers"))

    return Pages(fetch, limit)


def get_worker(self: Scope, worker_id: str) -> Call[Worker]:
    """One worker by id or unique prefix. Raises NotFoundError, AmbiguousIdError."""
    request = wire.GetWorkerRequest(worker_id=worker_id)
    return Call(lambda stubs: stubs.workers.GetWorker, request, read_record(Worker, "worker"))


def drain_worker(self: Scope, worker_id: str, *, reason: str = "") -> Call[Worker]:
    """No new tasks; running ones finish; then the worker leaves."""
    request = wire.DrainWorkerRequest(request_id=new_request_id(), worker_id=worker_id, reason=reason)
    return Call(lambda stubs: stubs.workers.DrainWorker, request, read_record(Worker, "worker"))


def set_pool(
    self: Scope,
    wanted: int,
    *,
    session_id: str = "",
    slots: int = 1,
    labels: Sequence[str] = (),
    handler_modules: Sequence[str] = (),
) -> Call[Pool]:
    """How many workers the local keeper runs: for every session, or for `session_id` alone."""
    pool = types_pb2.Pool(
        session_id=session_id, wanted=wanted, slots=slots, labels=labels, handler_modules=handler_modules
    )
    request = wire.SetPoolRequest(request_id=new_request_id(), pool=pool)
    return Call(lambda stubs: stubs.workers.SetPool, request, read_record(Pool, "pool"))


def list_pools(self: Scope) -> Call[list[Pool]]:
    """The pools of all machines."""
    request = wire.ListPoolsRequest()
    return Call(lambda stubs: stubs.workers.ListPools, request, read_list(Pool, "pools"))


def report_worker_death(
    self: Scope, worker_id: str, *, host: str, pid: int, processes_gone: bool, reason: str = ""
) -> Call[int]:
    """For keepers: the worker's process is gone. Returns how many live attempts it had.

    `processes_gone` only when somebody has looked and found no process of its tasks.
    """
    request = wire.ReportWorkerDeathRequest(
        worker_id=worker_id, host=host, pid=pid, processes_gone=processes_gone, reason=reason
    )
    return Call(
        lambda stubs: stubs.workers.ReportWorkerDeath, request, lambda answer: int(answer.lost_attempts)
    )
