"""Waiting for workers to come and to leave; says after whom it looks, and what goes on when it is left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Pool, Worker

    from .invocation import Invocation

_POLL_S = 0.2


def workers_of(client: Client, pool: Pool) -> list[Worker]:
    """The living workers that the keeper runs for the pool; those that somebody started by hand are not."""
    from buildrunner_parallel.keeper.plan import is_kept

    return [
        worker
        for worker in client.list_workers()
        if is_kept(worker) and worker.session_id == pool.session_id and worker.status.value != "offline"
    ]


def await_pool(run: Invocation, client: Client, pool: Pool, timeout_s: float | None) -> list[Worker]:
    """Waits until exactly the wanted workers are there. Raises DeadlineError after `timeout_s` seconds."""
    run.come_back = "The order stands."

    def settled(workers: Sequence[Worker]) -> bool:
        return len(workers) == pool.wanted and not any(worker.draining for worker in workers)

    def pending(workers: Sequence[Worker]) -> str:
        up = sum(not worker.draining for worker in workers)
        leaving = len(workers) - up
        return f"{up} of {pool.wanted} workers are up" + (f", {leaving} still leaving" if leaving else "")

    return _await(lambda: workers_of(client, pool), settled, pending, timeout_s)


def await_departure(
    run: Invocation, client: Client, told: Sequence[Worker], timeout_s: float | None
) -> list[Worker]:
    """Waits until the workers have left or are offline; `told` once more. Raises DeadlineError."""
    run.come_back = "They leave all the same, once they are done."
    ids = {worker.worker_id for worker in told}

    def staying() -> list[Worker]:
        return [
            worker
            for worker in client.list_workers()
            if worker.worker_id in ids and worker.status.value != "offline"
        ]

    def pending(workers: Sequence[Worker]) -> str:
        return f"{', '.join(worker.worker_id for worker in workers)} still at work"

    _await(staying, lambda workers: not workers, pending, timeout_s)
    return list(told)


def _await(
    look: Callable[[], list[Worker]],
    is_enough: Callable[[Sequence[Worker]], bool],
    pending: Callable[[Sequence[Worker]], str],
    timeout_s: float | None,
) -> list[Worker]:
    from buildrunner_parallel.errors import DeadlineError

    deadline_s = float("inf") if timeout_s is None else time.monotonic() + timeout_s
    while not is_enough(workers := look()):
        if time.monotonic() >= deadline_s:
            raise DeadlineError(f"{pending(workers)}; the order stands", reason="TIMEOUT")
        time.sleep(_POLL_S)
    return workers
