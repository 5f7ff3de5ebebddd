"""Staying with a session until its end: the dashboard of --watch, the progress bar of --wait and `wait`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from . import exit_codes
from .ending import show_end
from .failures import tell_failure, tell_failures
from .invocation import Invocation
from .phrases import counts_phrase
from .progress import progress

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.dashboard.fold import Model
    from buildrunner_parallel.dashboard.live import Screen
    from buildrunner_parallel.records import Session, Task


def watch_session(run: Invocation, client: Client, session: Session) -> None:
    """Shows the session live until it is over, then its summary; exits 0, 6 or 7."""
    from buildrunner_parallel.dashboard.live import follow
    from buildrunner_parallel.dashboard.summary import summarize
    from buildrunner_parallel.records import record_to_json

    from .phrases import utc_now

    _prepare_to_leave(run, session)
    watcher = client.watch(session_ids=(session.session_id,), ended_tasks=True)
    try:
        model, ended = follow(
            watcher, session.session_id, _screen(run), lambda: client.get_session(session.session_id)
        )
    finally:
        watcher.close()
    if run.settings.as_json:
        run.out.document(session=record_to_json(ended))
    else:
        _complete(client, model, ended)
        show_end(run, client, summarize(model, ended, utc_now()))
    raise typer.Exit(exit_codes.of_session(ended.status.value))


def _complete(client: Client, model: Model, ended: Session) -> None:
    """Fetches tasks that the feed did not tell of: those that had ended when the watch came back."""
    if len(model.tasks) < ended.counts.total:
        model.add_tasks(client.list_tasks(ended.session_id))


def _screen(run: Invocation) -> Screen:
    from buildrunner_parallel.dashboard.live import JsonScreen, LineScreen, TerminalScreen

    if run.settings.as_json:
        return JsonScreen(run.out.streamed_document)
    if run.out.is_terminal and not run.settings.quiet:
        return TerminalScreen(run.out.console)
    return LineScreen(run.out.streamed_line)


def await_session(run: Invocation, client: Client, session: Session, timeout_s: float | None = None) -> None:
    """Waits until the session is over, with a bar on terminals; says what failed; exits 0, 6 or 7."""
    from buildrunner_parallel.records import record_to_json

    _prepare_to_leave(run, session)
    with progress(run, session) as on_change:
        ended = client.wait_session(session.session_id, timeout_s=timeout_s, on_change=on_change)
    if run.settings.as_json:
        run.out.document(session=record_to_json(ended))
    else:
        run.out.sentence(
            f"Session {ended.session_id} ({ended.name}) {ended.status.value}: {counts_phrase(ended.counts)}"
        )
        if ended.counts.failed:
            tell_failures(run, client, ended)
    raise typer.Exit(exit_codes.of_session(ended.status.value))


def await_task(
    run: Invocation, client: Client, session_id: str, task_id: str, timeout_s: float | None
) -> None:
    """Waits until the task is over; says its error; exits 0, 6 or 7."""
    from buildrunner_parallel.records import record_to_json

    run.come_back = f"The task goes on; come back with: {run.command_line('wait', session_id, task_id)}"
    task: Task = client.wait_task(session_id, task_id, timeout_s=timeout_s)
    summary = task.summary
    if run.settings.as_json:
        run.out.document(task=record_to_json(task))
    else:
        run.out.line(f"Task {summary.task_id} {summary.status.value}")
        if exit_codes.of_task(summary.status.value) != exit_codes.DONE and summary.error:
            tell_failure(client, summary)
    raise typer.Exit(exit_codes.of_task(summary.status.value))


def _prepare_to_leave(run: Invocation, session: Session) -> None:
    back = run.command_line("wait", session.session_id)
    run.come_back = f"The session goes on; come back with: {back}"
