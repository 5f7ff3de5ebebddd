"""The worker part of the client: lists, drains, pools, and what a keeper reports."""

from __future__ import annotations

from collections.abc import Sequence

from .client_base import ClientBase, new_request_id, pages
from .convert import all_from_wire, from_wire
from .convert_specs import number_of
from .records import Pool, Worker
from .v1 import types_pb2
from .v1 import worker_service_pb2 as wire


class WorkerCalls(ClientBase):
    """Everything about workers that is not the worker's own."""

    def list_workers(self, *, statuses: Sequence[str] = (), limit: int | None = None) -> list[Worker]:
        """In order of registration; all of them, or at most `limit`."""
        numbers = [number_of(types_pb2.WorkerStatus, status) for status in statuses]

        def fetch(page_size: int, page_token: str) -> tuple[list[Worker], str]:
            request = wire.ListWorkersRequest(statuses=numbers, page_size=page_size, page_token=page_token)
            answer = self._call(lambda stubs: stubs.workers.ListWorkers, request)
            return list(all_from_wire(Worker, answer.workers)), answer.next_page_token

        return list(pages(fetch, limit))

    def get_worker(self, worker_id: str) -> Worker:
        """One worker by id or unique prefix. Raises NotFoundError, AmbiguousIdError."""
        request = wire.GetWorkerRequest(worker_id=worker_id)
        return from_wire(Worker, self._call(lambda stubs: stubs.workers.GetWorker, request).worker)

    def drain_worker(self, worker_id: str, *, reason: str = "") -> Worker:
        """No new tasks; running ones finish; then the worker leaves."""
        request = wire.DrainWorkerRequest(request_id=new_request_id(), worker_id=worker_id, reason=reason)
        return from_wire(Worker, self._call(lambda stubs: stubs.workers.DrainWorker, request).worker)

    def set_pool(
        self,
        wanted: int,
        *,
        session_id: str = "",
        slots: int = 1,
        labels: Sequence[str] = (),
        handler_modules: Sequence[str] = (),
    ) -> Pool:
        """How many workers the local keeper runs: for every session, or for `session_id` alone."""
        pool = types_pb2.Pool(
            session_id=session_id,
            wanted=wanted,
            slots=slots,
            labels=labels,
            handler_modules=handler_modules,
        )
        request = wire.SetPoolRequest(request_id=new_request_id(), pool=pool)
        return from_wire(Pool, self._call(lambda stubs: stubs.workers.SetPool, request).pool)

    def list_pools(self) -> list[Pool]:
        """The pools of all machines."""
        answer = self._call(lambda stubs: stubs.workers.ListPools, wire.ListPoolsRequest())
        return list(all_from_wire(Pool, answer.pools))

    def report_worker_death(
        self, worker_id: str, *, host: str, pid: int, processes_gone: bool, reason: str = ""
    ) -> int:
        """For keepers: the worker's process is gone. Returns how many live attempts it had.

        `processes_gone` only when somebody has looked and found no process of its tasks.
        """
        request = wire.ReportWorkerDeathRequest(
            worker_id=worker_id, host=host, pid=pid, processes_gone=processes_gone, reason=reason
        )
        return int(self._call(lambda stubs: stubs.workers.ReportWorkerDeath, request).lost_attempts)
