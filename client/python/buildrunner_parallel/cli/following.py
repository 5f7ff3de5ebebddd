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
from .standstill import standstill_told

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.dashboard.summary import EndSummary
    from buildrunner_parallel.records import Session, Task


# Of sessions with more tasks those are listed at the end that did not succeed.
LISTED_TASKS = 20_000
_NOT_WELL = ("failed", "cancelled", "skipped")


def watch_session(run: Invocation, client: Client, session: Session) -> None:
    """Shows the session live until it is over, then its summary; exits 0, 6 or 7."""
    from buildrunner_parallel.records import record_to_json

    _prepare_to_leave(run, session)
    if run.out.is_terminal and not run.settings.quiet:
        ended = _show(run, client, session)
    else:
        ended = _tell(run, client, session)
    if run.settings.as_json:
        run.out.document(session=record_to_json(ended))
    else:
        show_end(run, client, _summary(client, ended))
    raise typer.Exit(exit_codes.of_session(ended.status.value))


def _show(run: Invocation, client: Client, session: Session) -> Session:
    """On the dashboard. Whoever leaves it before the end has interrupted the wait."""
    from .dashboard import show

    ended = show(run, client, session_id=session.session_id, until_end=True)
    if ended is None:
        raise KeyboardInterrupt
    return ended


def _tell(run: Invocation, client: Client, session: Session) -> Session:
    """In a pipe: a line, or a JSON object, a change."""
    from buildrunner_parallel.dashboard.stream import JsonTeller, LineTeller, follow

    as_json = run.settings.as_json
    teller = JsonTeller(run.out.streamed_document) if as_json else LineTeller(run.out.streamed_line)
    watcher = client.watch(session_ids=(session.session_id,), ended_tasks=True)
    try:
        with standstill_told(run, client, session.session_id):
            return follow(watcher, session.session_id, teller, lambda: client.get_session(session.session_id))
    finally:
        watcher.close()


def _summary(client: Client, ended: Session) -> EndSummary:
    from buildrunner_parallel.dashboard.summary import summarize

    from .phrases import utc_now

    session_id = ended.session_id
    if ended.counts.total > LISTED_TASKS:
        tasks = client.list_tasks(session_id, statuses=_NOT_WELL, limit=LISTED_TASKS)
        return summarize(ended, tasks, None, utc_now())
    attempts = client.iter_attempts(session_id, with_results=False)
    return summarize(ended, client.list_tasks(session_id), attempts, utc_now())


def await_session(run: Invocation, client: Client, session: Session, timeout_s: float | None = None) -> None:
    """Waits until the session is over, with a bar on terminals; says what failed; exits 0, 6 or 7."""
    from buildrunner_parallel.records import record_to_json

    _prepare_to_leave(run, session)
    with progress(run, session) as on_change, standstill_told(run, client, session.session_id):
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
    with standstill_told(run, client, session_id, task_id):
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
