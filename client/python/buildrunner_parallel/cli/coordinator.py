"""Commands about the coordinator itself: info, summary, serve, stop, backup."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from buildrunner_parallel.durations import format_duration

from .command import command
from .invocation import Invocation
from .options import duration_option
from .phrases import clock, counts, size
from .processes import become_module
from .render import Cell
from .stopping import stop_coordinator
from .workers import statistics, workers_line

if TYPE_CHECKING:
    from buildrunner_parallel.records import CoordinatorInfo, Summary

app = typer.Typer()


@command(app, "summary")
def summary(run: Invocation) -> None:
    """Show workers, sessions and tasks in three lines."""
    from buildrunner_parallel.records import Summary, record_to_json

    with run.reader() as client:
        totals = client.summary() if client else Summary()
    if run.settings.as_json:
        document = record_to_json(totals)
        return run.out.document(summary={**document, "workers": statistics(totals)})
    run.out.line("Parallel Orchestration Summary")
    run.out.line()
    for line in _summary_lines(totals):
        run.out.sentence(line)
    return None


def _summary_lines(totals: Summary) -> list[str]:
    tasks = totals.tasks
    queued = tasks.queued + tasks.blocked + tasks.assigned
    return [
        workers_line(totals),
        f"Sessions: {totals.sessions_active} active / {totals.sessions_total} total",
        f"Tasks: {tasks.succeeded} completed / {tasks.failed} failed / {queued} queued",
    ]


@command(app, "info")
def info(run: Invocation) -> None:
    """Describe the coordinator: version, address, data, uptime."""
    from buildrunner_parallel.records import record_to_json

    with run.reader() as client:
        if client is None:
            if run.settings.as_json:
                return run.out.document(coordinator=None)
            return run.out.line("No coordinator: nothing was started in this workspace yet")
        told = client.info()
    if run.settings.as_json:
        return run.out.document(coordinator=record_to_json(told))
    return run.out.facts(_facts(told))


def _facts(told: CoordinatorInfo) -> dict[str, Cell]:
    totals = told.summary
    return {
        "version": told.version,
        "address": told.address,
        "pid": str(told.pid),
        "host": told.host,
        "data": told.data_directory,
        "store": f"{told.store} ({told.store_id})",
        "workspace": " ".join(part for part in (told.workspace_root, told.workspace_id) if part),
        "started": clock(told.started_at),
        "uptime": format_duration(told.uptime_ms / 1000) + (", draining" if told.draining else ""),
        "epoch": str(told.epoch),
        "revision": str(told.revision),
        "sessions": f"{totals.sessions_active} active of {totals.sessions_total}",
        "workers": f"{totals.workers_busy} busy of {totals.workers_total}",
        "tasks": counts(totals.tasks),
        "locks": f"{totals.locks_held} held, {totals.lock_waiters} waiting",
    }


@command(app, "serve", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(
    run: Invocation,
    extra: Annotated[
        list[str] | None,
        typer.Argument(metavar="SETTINGS...", help="Of the coordinator, such as --retention 30d."),
    ] = None,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Serve on loopback TCP too.")
    ] = "",
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="State; else the workspace's.")
    ] = None,
) -> None:
    """Run the coordinator in the foreground, until SIGTERM or Ctrl+C.

    Everything else is handed on to the coordinator; `serve -- --help` lists its settings.
    """
    from buildrunner_parallel.workspace import find_workspace

    directory = data or find_workspace(Path.cwd()).state_dir
    arguments = ["--data", str(directory), *(("--listen", listen) if listen else ()), *(extra or ())]
    run.out.hint(
        f"The coordinator of {directory}; Ctrl+C ends it, its log is {directory / 'coordinator.log'}"
    )
    become_module("buildrunner_coordinator", arguments)


@command(app, "stop")
def stop(
    run: Invocation,
    drain: Annotated[bool, typer.Option("--drain", help="Let running tasks finish first.")] = False,
    timeout: Annotated[float | None, duration_option("--timeout", "With --drain: at most so long.")] = None,
) -> None:
    """Stop the coordinator, its keeper and the local workers."""
    stopped = stop_coordinator(run, drain, timeout or 0.0)
    if run.settings.as_json:
        return run.out.document(stopped=stopped)
    return run.out.line("Stopped" if stopped else "Nothing to stop: no coordinator runs here")


@command(app, "backup")
def backup(
    run: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; must not be there yet.")],
) -> None:
    """Write a consistent copy of the database."""
    if file.exists() or not file.parent.is_dir():
        fault = "is there already" if file.exists() else "cannot be made: there is no such directory"
        raise FileExistsError(1, f"{file} {fault}; name another file")
    with run.existing() as client:
        try:
            size_bytes = client.backup(file)
        except OSError as error:
            fault = f"{file} cannot be written: {error.strerror or error}; name another file"
            raise OSError(1, fault) from None
    if run.settings.as_json:
        return run.out.document(backup={"file": str(file), "size_bytes": size_bytes})
    return run.out.line(f"Wrote {file} ({size(size_bytes)})")
