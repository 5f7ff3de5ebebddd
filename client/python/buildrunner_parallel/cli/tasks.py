"""The command that lists tasks: tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .command import command
from .invocation import Invocation
from .options import OptionalSession, TaskState, limit_option, words_help
from .phrases import remark, span, task_state, utc_now
from .render import Cell

if TYPE_CHECKING:
    from buildrunner_parallel.records import Session, TaskSummary

app = typer.Typer()


@command(app, "tasks")
def tasks(
    run: Invocation,
    session_id: OptionalSession = "last",
    state: Annotated[
        TaskState | None, typer.Option("--state", "-s", metavar="STATE", help=words_help(TaskState))
    ] = None,
    limit: Annotated[int, limit_option("At most so many.")] = 100,
) -> None:
    """List the tasks of a session."""
    from buildrunner_parallel.errors import NotFoundError
    from buildrunner_parallel.records import TaskStatus, record_to_json

    with run.reader() as client:
        if client is None and session_id != "last":
            run.existing()
            return None
        try:
            session = client.get_session(session_id) if client else None
        except NotFoundError:
            if session_id != "last":
                raise
            session = None
        if client is None or session is None:
            return (
                run.out.document(session_id=None, tasks=[])
                if run.settings.as_json
                else run.out.line("No sessions")
            )
        statuses = (TaskStatus(state.value),) if state else ()
        found = client.list_tasks(session.session_id, statuses=statuses, limit=limit)
    if run.settings.as_json:
        return run.out.document(session_id=session.session_id, tasks=[record_to_json(task) for task in found])
    if not found:
        return run.out.line(f"No {state.value} tasks" if state else "No tasks")
    columns = ("task", "status", "?2>tries", "?1>took", "?3worker", "~remark")
    run.out.table(columns, [_row(task) for task in found])
    return _more(run, session, state, len(found))


def _row(task: TaskSummary) -> tuple[Cell, ...]:
    now = None if task.is_over or task.status.value == "queued" else utc_now()
    took = span(task.started_at, task.ended_at, now)
    return (task.task_id, task_state(task), str(task.attempt), took, task.worker_id, remark(task))


def _more(run: Invocation, session: Session, state: TaskState | None, shown: int) -> None:
    total = getattr(session.counts, state.value) if state else session.counts.total
    if total > shown:
        run.out.hint(f"{total - shown} more; --limit {total} shows all")
