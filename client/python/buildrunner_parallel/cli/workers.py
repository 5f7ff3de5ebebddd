"""Commands about workers: workers, and worker, which is one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from buildrunner_parallel.bounds import MOST_SLOTS

from .command import command
from .invocation import Invocation
from .options import WorkerState, limit_option, words_help
from .phrases import age, status_cell, utc_now
from .processes import become_module

if TYPE_CHECKING:
    from datetime import datetime

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Summary, Worker

    from .render import Cell

app = typer.Typer()


@command(app, "workers")
def workers(
    run: Invocation,
    status: Annotated[
        WorkerState | None, typer.Option("--status", "-s", metavar="STATUS", help=words_help(WorkerState))
    ] = None,
    limit: Annotated[int, limit_option("At most so many.")] = 50,
) -> None:
    """List workers, and how busy they are in all."""
    from buildrunner_parallel.records import Summary, WorkerStatus, record_to_json

    statuses = (WorkerStatus(status.value),) if status else ()
    with run.reader() as client:
        found = client.list_workers(statuses=statuses, limit=limit) if client else []
        summary = client.summary() if client else Summary()
    if run.settings.as_json:
        return run.out.document(
            workers=[record_to_json(worker) for worker in found], statistics=statistics(summary)
        )
    if not found:
        run.out.line(f"No {status.value} workers" if status else "No workers")
    else:
        now = utc_now()
        columns = (
            "worker", "~status", "?6host", "?7>pid", "?1>slots", "~runs", "?5>done", "?4>failed", "?2seen",
            "?3serves",
        )  # fmt: skip
        run.out.table(columns, [_row(worker, now) for worker in found])
    return run.out.sentence(workers_line(summary))


def _row(worker: Worker, now: datetime) -> tuple[Cell, ...]:
    return (
        worker.worker_id,
        status_cell(worker.status.value, " (draining)" if worker.draining else ""),
        worker.host,
        str(worker.pid or ""),
        slots_cell(worker),
        ", ".join(task.task_id for task in worker.tasks),
        str(worker.tasks_succeeded),
        str(worker.tasks_failed),
        age(worker.last_heartbeat_at, now),
        worker.session_id or "all",
    )


def slots_cell(worker: Worker) -> str:
    """Slots at work of all, such as `1/2`; `1/1 +1` when tasks for one more were sent ahead."""
    ahead = worker.slots_taken - worker.slots
    return f"{min(worker.slots_taken, worker.slots)}/{worker.slots}" + (f" +{ahead}" if ahead > 0 else "")


def utilization_percent(summary: Summary) -> float:
    """Busy of total workers."""
    return 100.0 * summary.workers_busy / summary.workers_total if summary.workers_total else 0.0


def workers_line(summary: Summary) -> str:
    """The counts of workers in one line."""
    return (
        f"Workers: {summary.workers_idle} idle / {summary.workers_busy} busy"
        f" / {summary.workers_offline} offline"
        f" (Total: {summary.workers_total}, Utilization: {utilization_percent(summary):.1f}%)"
    )


def statistics(summary: Summary) -> dict[str, object]:
    """The same for JSON."""
    return {
        "total": summary.workers_total,
        "idle": summary.workers_idle,
        "busy": summary.workers_busy,
        "offline": summary.workers_offline,
        "error": summary.workers_error,
        "utilization_percent": round(utilization_percent(summary), 1),
    }


@command(app, "worker")
def worker(
    run: Invocation,
    slots: Annotated[
        int, typer.Option("--slots", min=1, max=MOST_SLOTS, metavar="N", help="Tasks at once.")
    ] = 1,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="L", help="What tasks may ask for. May be repeated."),
    ] = None,
    handlers: Annotated[
        list[str] | None,
        typer.Option("--handlers", metavar="MODULE", help="Module with handlers. May be repeated."),
    ] = None,
    session_id: Annotated[
        str, typer.Option("--session", metavar="ID", help="Serve this session alone.")
    ] = "",
) -> None:
    """Run one worker in the foreground, on any machine.

    After SIGTERM or Ctrl+C it takes no new task, finishes what it runs, and leaves; a second signal stops
    that.
    """
    with run.client() as client:
        address, token_file = client.address, _token_file(run, client)
        state_directory = _state_directory(run, client)
        session_id = client.get_session(session_id).session_id if session_id else ""
    arguments = ["--coordinator", address, "--slots", str(slots)]
    if token_file:
        arguments += ["--token-file", token_file]
    for label in labels or ():
        arguments += ["--label", label]
    for module in handlers or ():
        arguments += ["--handlers", module]
    if session_id:
        arguments += ["--session", session_id]
    if state_directory:
        arguments += ["--state-dir", state_directory]
    become_module("buildrunner_parallel.worker", arguments)


def _state_directory(run: Invocation, client: Client) -> str:
    """The local coordinator's state, which tells the worker whether anybody could take its tasks."""
    return str(client.workspace.state_dir) if client.workspace and is_own(run) else ""


def is_own(run: Invocation) -> bool:
    """Whether the coordinator is the workspace's own, and not one that was named."""
    from buildrunner_parallel.discovery import explicit_address

    return explicit_address(run.settings.coordinator) is None


def _token_file(run: Invocation, client: Client) -> str:
    """The token's file: the one given, else the workspace's own unless the environment has the token."""
    if run.settings.token_file:
        return str(run.settings.token_file.absolute())
    if os.environ.get("BR_TOKEN") or not client.workspace:
        return ""
    own = client.workspace.state_dir / "token"
    return str(own) if own.exists() else ""
