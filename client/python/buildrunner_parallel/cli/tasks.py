"""Commands about tasks: tasks, show."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from buildrunner_parallel.durations import format_duration
from buildrunner_parallel.text import output_line

from .command import command
from .invocation import Invocation
from .options import OptionalSession, SessionArgument, TaskArgument, TaskState, limit_option
from .phrases import clock, error_phrase, remark, size, span, status_cell, task_state, utc_now, wait_phrase
from .render import Cell

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Attempt, Session, Task, TaskSummary

app = typer.Typer()


@command(app, "tasks")
def tasks(
    run: Invocation,
    session_id: OptionalSession = "last",
    state: Annotated[TaskState | None, typer.Option("--state", "-s", help="Only these.")] = None,
    limit: Annotated[int, limit_option("At most so many.")] = 100,
) -> None:
    """List the tasks of a session."""
    from buildrunner_parallel.records import TaskStatus, record_to_json

    with run.reader() as client:
        if client is None and session_id == "last":
            return run.out.document(tasks=[]) if run.settings.as_json else run.out.line("No sessions")
        if client is None:
            run.existing()
            return None
        session = client.get_session(session_id)
        statuses = (TaskStatus(state.value),) if state else ()
        found = client.list_tasks(session.session_id, statuses=statuses, limit=limit)
    if run.settings.as_json:
        return run.out.document(session_id=session.session_id, tasks=[record_to_json(task) for task in found])
    if not found:
        return run.out.line(f"No {state.value} tasks" if state else "No tasks")
    run.out.table(("task", "status", ">tries", ">took", "worker", "~remark"), [_row(task) for task in found])
    return _more(run, session, state, len(found))


def _row(task: TaskSummary) -> tuple[Cell, ...]:
    now = None if task.is_over or task.status.value == "queued" else utc_now()
    took = span(task.started_at, task.ended_at, now)
    return (task.task_id, task_state(task), str(task.attempt), took, task.worker_id, remark(task))


def _more(run: Invocation, session: Session, state: TaskState | None, shown: int) -> None:
    total = getattr(session.counts, state.value) if state else session.counts.total
    if total > shown:
        run.out.hint(f"{total - shown} more; --limit {total} shows all")


@command(app, "show")
def show(run: Invocation, session_id: SessionArgument, task_id: TaskArgument) -> None:
    """Show one task: its attempts, times, exit codes, host, resources and result."""
    from buildrunner_parallel.records import record_to_json

    with run.existing() as client:
        task = _explained(client, client.get_task(session_id, task_id))
    if run.settings.as_json:
        return run.out.document(task=record_to_json(task))
    run.out.facts(_facts(task))
    if task.attempts:
        columns = (">try", "outcome", ">exit", ">took", ">cpu", ">memory", "worker", "~host", ">pid")
        run.out.line()
        run.out.table(columns, [_attempt_row(attempt) for attempt in task.attempts])
    told_above = len(task.attempts) == 1 and task.attempts[0].error == task.summary.error
    for attempt in task.attempts:
        if attempt.error and not told_above:
            run.out.line(f"attempt {attempt.number}: {error_phrase(attempt.error)}")
        for warning in attempt.warnings:
            run.out.line(f"attempt {attempt.number}: warning: {warning}", "yellow")
    _show_result(run, task)
    run.out.hint(f"Its output: {run.command_line('logs', task.summary.session_id, task.summary.task_id)}")
    return None


def _explained(client: Client, task: Task) -> Task:
    """With the reason why it does not run; a task by itself tells of locks and pauses only."""
    summary = task.summary
    if summary.wait is not None or summary.status.value not in ("blocked", "queued"):
        return task
    explained = client.explain_tasks(summary.session_id, summary.task_id)
    waits = explained[0].waits if explained else ()
    return replace(task, summary=replace(summary, wait=waits[0])) if waits else task


def _facts(task: Task) -> dict[str, Cell]:
    summary, spec = task.summary, task.spec
    facts: dict[str, Cell | None] = {
        "task": summary.task_id,
        "session": summary.session_id,
        "status": task_state(summary),
        "command": _work(task),
        "directory": "/".join(part for part in (spec.worktree, spec.cwd) if part)
        if not spec.cwd.startswith("/")
        else spec.cwd,
        "needs": ", ".join(spec.needs),
        "locks": ", ".join(_lock_phrase(file.path, file.mode) for file in spec.files),
        "labels": ", ".join(spec.labels),
        "wanted worker": spec.worker_id,
        "timeout": format_duration(spec.timeout_s) if spec.timeout_s else "",
        "retries": f"{spec.retries}, {min(task.failures, spec.retries)} used" if spec.retries else "",
        "priority": str(spec.priority) if spec.priority else "",
        "crashes": str(task.crashes) if task.crashes else "",
        "submitted": clock(summary.submitted_at),
        "started": clock(summary.started_at),
        "ended": clock(summary.ended_at),
        "waiting": wait_phrase(summary.wait) if summary.wait and not summary.is_over else "",
        "error": error_phrase(summary.error),
    }
    return {name: value for name, value in facts.items() if value}


def _lock_phrase(path: str, mode: str) -> str:
    return f"{path} (shared)" if mode == "shared" else path


def _work(task: Task) -> str:
    spec = task.spec
    if spec.argv:
        return shlex.join(spec.argv)
    return spec.shell_line or (f"handler {spec.handler}" if spec.handler else task.summary.title)


def _attempt_row(attempt: Attempt) -> tuple[Cell, ...]:
    usage = attempt.usage
    cpu = format_duration((usage.user_cpu_us + usage.system_cpu_us) / 1e6) if usage else ""
    ending = "" if attempt.exit_code is None else str(attempt.exit_code)
    now = utc_now() if attempt.outcome is None else None
    return (
        str(attempt.number),
        status_cell(attempt.outcome.value if attempt.outcome else "running"),
        f"signal {attempt.signal}" if attempt.signal else ending,
        span(attempt.started_at, attempt.ended_at, now),
        cpu,
        size(usage.max_rss_bytes) if usage and usage.max_rss_bytes else "",
        attempt.worker_id,
        attempt.host,
        str(attempt.pid or ""),
    )


def _show_result(run: Invocation, task: Task) -> None:
    result = task.attempts[-1].result if task.attempts else None
    if result is None or not result.data:
        return
    kind = result.content_type or "application/octet-stream"
    text = _as_text(result.data)
    run.out.line()
    run.out.line(f"result ({kind}, {size(len(result.data))})" + (":" if text else ", not text"))
    for line in (text or "").splitlines():
        run.out.line(f"  {output_line(line)}")


def _as_text(data: bytes) -> str | None:
    """The data as text, whatever its type is called; None when it is none."""
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None
