"""Commands about how many workers there are: scale and drain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from buildrunner_parallel.bounds import MOST_SLOTS, MOST_WORKERS

from .command import command
from .invocation import Invocation
from .options import TimeoutOption
from .phrases import number_of
from .pool_waiting import await_departure, await_pool, workers_of
from .remedies import keeper_runs
from .render import complain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Pool, Worker

app = typer.Typer()


@command(app, "scale")
def scale(
    run: Invocation,
    wanted: Annotated[
        int, typer.Argument(metavar="N", min=0, max=MOST_WORKERS, help="How many worker processes.")
    ],
    session_id: Annotated[
        str, typer.Option("--session", metavar="ID", help="The workers of this session; else those of all.")
    ] = "",
    slots: Annotated[
        int | None,
        typer.Option(
            "--slots",
            min=1,
            max=MOST_SLOTS,
            metavar="N",
            help="Tasks at once for each.",
            show_default="as before, 1 at first",
        ),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="L", help="What tasks may ask for; '' for none. May be repeated."),
    ] = None,
    handlers: Annotated[
        list[str] | None,
        typer.Option("--handlers", metavar="MODULE", help="Module with handlers; '' for none."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until so many are up and the others gone.")] = False,
    timeout: TimeoutOption = None,
) -> None:
    """Set how many worker processes there are.

    They run on the coordinator's machine. For more, new ones are started; for fewer, idle ones leave first
    and busy ones finish what they run. What is not said (slots, labels, handlers) stays as it was; workers
    that differ from what is said are replaced.
    """
    from buildrunner_parallel.records import record_to_json

    if timeout is not None and not wait:
        raise typer.BadParameter("only together with --wait", param_hint="--timeout")
    with run.client() as client:
        pool = _order(client, wanted, session_id, slots, labels, handlers)
        _warn_without_keeper(run, client)
        workers = await_pool(run, client, pool, timeout) if wait else workers_of(client, pool)
    if run.settings.as_json:
        return run.out.document(pool=record_to_json(pool), workers=[record_to_json(one) for one in workers])
    return run.out.sentence(_phrase(pool, workers))


def _order(
    client: Client,
    wanted: int,
    session_id: str,
    slots: int | None,
    labels: Sequence[str] | None,
    handlers: Sequence[str] | None,
) -> Pool:
    """Sets the pool; what is None stays as it is."""
    from buildrunner_parallel.records import Pool

    session_id = client.get_session(session_id).session_id if session_id else ""
    present = (pool for pool in client.list_pools() if pool.session_id == session_id)
    before = next(present, Pool(session_id, slots=1))
    return client.set_pool(
        wanted,
        session_id=session_id,
        slots=slots or before.slots,
        labels=_names(labels, before.labels),
        handler_modules=_names(handlers, before.handler_modules),
    )


def _warn_without_keeper(run: Invocation, client: Client) -> None:
    if keeper_runs(run, client) is False:
        complain(
            "No keeper runs beside this coordinator, so nobody starts workers for now: give `serve` the "
            f"option --keeper, or run {run.command_line('worker')}"
        )


def _names(given: Sequence[str] | None, before: Sequence[str]) -> list[str]:
    return list(before) if given is None else [name for name in given if name]


def _phrase(pool: Pool, workers: Sequence[Worker]) -> str:
    """Such as `4 workers wanted for all sessions: 2 up, 2 starting`."""
    whom = f"session {pool.session_id}" if pool.session_id else "all sessions"
    up = sum(not worker.draining for worker in workers)
    leaving = len(workers) - up + max(0, up - pool.wanted)
    parts = [f"{min(up, pool.wanted)} up"]
    if up < pool.wanted:
        parts.append(f"{pool.wanted - up} starting")
    if leaving:
        parts.append(f"{leaving} leaving, busy ones once they are done")
    return f"{number_of(pool.wanted, 'worker')} wanted for {whom}: {', '.join(parts)}"


@command(app, "drain")
def drain(
    run: Invocation,
    worker_ids: Annotated[
        list[str] | None, typer.Argument(metavar="WORKER...", help="Worker ids, or unique prefixes of them.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every worker there is.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until they have left.")] = False,
    timeout: TimeoutOption = None,
) -> None:
    """Have workers finish what they run, take nothing new, and leave."""
    from buildrunner_parallel.records import record_to_json

    if bool(worker_ids) == every:
        raise typer.BadParameter("name workers, or say --all", param_hint="WORKER")
    if timeout is not None and not wait:
        raise typer.BadParameter("only together with --wait", param_hint="--timeout")
    with run.existing() as client:
        # All are looked up before the first is told, so that a mistyped one changes nothing.
        before = _present(client) if every else [client.get_worker(one) for one in worker_ids or ()]
        before = list({worker.worker_id: worker for worker in before}.values())
        told = [_drained(client, worker) for worker in before]
        pools = {pool.session_id: pool for pool in client.list_pools()}
        if wait:
            told = await_departure(run, client, told, timeout)
    if run.settings.as_json:
        return run.out.document(workers=[record_to_json(worker) for worker in told])
    if not before:
        return run.out.line("Nothing to do: no workers")
    for worker_before, worker in zip(before, told, strict=True):
        run.out.sentence(_departure(worker_before, worker, waited=wait))
    return _tell_of_replacements(run, told, pools)


def _present(client: Client) -> list[Worker]:
    return [worker for worker in client.list_workers() if worker.status.value != "offline"]


def _drained(client: Client, worker: Worker) -> Worker:
    return client.drain_worker(worker.worker_id, reason="drained from the command line")


def _departure(before: Worker, worker: Worker, *, waited: bool) -> str:
    name = f"Worker {worker.worker_id}"
    if waited:
        return f"{name} has left"
    if worker.status.value == "offline":
        return f"{name} is offline: it gets nothing more, should it come back"
    doing = f"finishes {number_of(len(worker.tasks), 'task')}, then leaves" if worker.tasks else "leaves"
    return f"{name} is draining already: it {doing}" if before.draining else f"{name} {doing}"


def _tell_of_replacements(run: Invocation, told: Sequence[Worker], pools: dict[str, Pool]) -> None:
    """Drained workers of a pool are replaced: its wanted number stays."""
    from buildrunner_parallel.keeper.plan import is_kept

    for session_id, pool in pools.items():
        gone = sum(is_kept(worker) and worker.session_id == session_id for worker in told)
        if not gone or not pool.wanted:
            continue
        where = ("--session", session_id) if session_id else ()
        fewer = run.command_line("scale", str(max(0, pool.wanted - gone)), *where)
        whose = f"session {session_id}" if session_id else "all sessions"
        stay = "stays" if pool.wanted == 1 else "stay"
        others = "another takes its place" if gone == 1 else "others take their places"
        run.out.sentence(f"{number_of(pool.wanted, 'worker')} {stay} wanted for {whose}: {others}.")
        run.out.line(f"For fewer: {fewer}")
