"""The command that shows one task whole: show."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from buildrunner_parallel.durations import format_duration
from buildrunner_parallel.text import output_line, sanitize

from .attempts import show_attempts
from .command import command
from .invocation import Invocation
from .options import SessionArgument, TaskArgument
from .phrases import clock, error_phrase, size, task_state, wait_phrase
from .quoting import work_line
from .worktrees import kept_trees, session_branch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Patch, PathRequest, Payload, Task

    from .render import Cell

app = typer.Typer()

SHOWN_NAMES = 20
RESULT_LINES = 50


@command(app, "show")
def show(
    run: Invocation,
    session_id: SessionArgument,
    task_id: TaskArgument,
    result: Annotated[
        bool, typer.Option("--result", help="Write the result's bytes, and nothing else.")
    ] = False,
    patch: Annotated[
        bool, typer.Option("--patch", help="Write what it changed as a git patch, and nothing else.")
    ] = False,
) -> None:
    """Show one task: its conditions, attempts, resources and result.

    Each attempt comes with times, exit code or signal, CPU, memory, output, worker and pid.
    """
    from buildrunner_parallel.records import record_to_json

    if result and run.settings.as_json:
        raise typer.BadParameter("--json has the result already: say one of the two", param_hint="--result")
    if patch and (result or run.settings.as_json):
        raise typer.BadParameter("goes without --result and --json: say one of them", param_hint="--patch")
    with run.existing() as client:
        if patch:
            return _write_patch(run, client.get_patch(session_id, task_id))
        task = client.get_task(session_id, task_id)
        if result:
            return _write_result(run, task)
        task = _explained(client, task)
        trees = kept_trees(client, task)
    if run.settings.as_json:
        return run.out.document(task=record_to_json(task))
    if run.settings.quiet:
        return run.out.always(task.summary.status.value)
    run.out.facts(_facts(task))
    show_attempts(run.out, task, trees)
    _show_result(run, task)
    place = (task.summary.session_id, task.summary.task_id)
    if task.attempts:
        run.out.hint(f"Its output:      {run.command_line('logs', *place)}")
    if any(attempt.patch_bytes for attempt in task.attempts):
        run.out.hint(f"What it changed: {run.command_line('show', *place, '--patch')}")
    if branch := _to_merge(task):
        run.out.hint(f"To merge it:     git merge {branch}")
    return run.out.hint(f"What happened:   {run.command_line('story', *place)}")


def _explained(client: Client, task: Task) -> Task:
    """With the reason why it does not run; a task by itself tells of locks and pauses only."""
    summary = task.summary
    if summary.wait is not None or summary.status.value not in ("blocked", "queued"):
        return task
    explained = client.explain_tasks(summary.session_id, summary.task_id)
    waits = explained[0].waits if explained else ()
    return replace(task, summary=replace(summary, wait=waits[0])) if waits else task


def _facts(task: Task) -> dict[str, Cell]:
    summary = task.summary
    facts: dict[str, Cell] = {
        "task": summary.task_id,
        "session": summary.session_id,
        "status": task_state(summary),
        "command": work_line(task.spec, summary.title),
        **_conditions(task),
        "submitted": clock(summary.submitted_at),
        "started": clock(summary.started_at),
        "ended": clock(summary.ended_at),
        "progress": _progress(task),
        "waiting": wait_phrase(summary.wait) if summary.wait and not summary.is_over else "",
        "error": error_phrase(summary.error),
    }
    return {name: value for name, value in facts.items() if value}


def _conditions(task: Task) -> dict[str, Cell]:
    """What it was submitted with, as far as it says more than the defaults."""
    spec = task.spec
    return {
        "directory": _directory(task),
        "needs": _names(spec.needs),
        "locks": _names([_lock_phrase(file) for file in spec.files]),
        "audit": spec.audit if spec.audit != "auto" else "",
        "isolated": ("worktree, merged when it succeeds" if spec.merge else "worktree")
        if spec.isolation == "worktree"
        else "",
        "labels": _names(spec.labels),
        "wanted worker": spec.worker_id,
        "slots": str(spec.slots) if spec.slots > 1 else "",
        "priority": str(spec.priority) if spec.priority else "",
        "environment": _names(sorted([*spec.env, *spec.passed_env])),
        "timeout": format_duration(spec.timeout_s) if spec.timeout_s else "",
        "grace": format_duration(spec.grace_s) if spec.grace_s is not None else "",
        "retries": f"{spec.retries}, {min(task.failures, spec.retries)} used" if spec.retries else "",
        "crashes": str(task.crashes) if task.crashes else "",
    }


def _names(names: Sequence[str]) -> str:
    """Some names of many; values are left out, since those of an environment may be secret."""
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more


def _directory(task: Task) -> str:
    spec = task.spec
    if spec.cwd.startswith("/"):
        return spec.cwd
    return "/".join(part for part in (spec.worktree, spec.cwd) if part)


def _lock_phrase(file: PathRequest) -> str:
    return f"{file.path} (shared)" if file.mode == "shared" else file.path


def _progress(task: Task) -> str:
    summary = task.summary
    if summary.is_over or not (summary.progress_percent or summary.progress_message):
        return ""
    return f"{summary.progress_percent:.0f}% {summary.progress_message}".strip()


# ---------------------------------------------------------------- the result


def _result(task: Task) -> Payload | None:
    """Of the last attempt that has one."""
    return next((attempt.result for attempt in reversed(task.attempts) if attempt.result), None)


def _to_merge(task: Task) -> str:
    """The branch that has the work of its last attempt: the session's once it is on that."""
    last = task.attempts[-1] if task.attempts else None
    if last is None or not last.branch:
        return ""
    return session_branch(task.summary.session_id) if last.merged else last.branch


def _write_patch(run: Invocation, patch: Patch) -> None:
    """As it is in a pipe, for `git apply`; what was cut off is told beside it."""
    if patch.dropped_bytes:
        typer.echo(f"Attempt {patch.attempt}: {size(patch.dropped_bytes)} at the end were not kept", err=True)
    if run.out.is_terminal:
        for line in patch.patch.decode("utf-8", "replace").splitlines():
            run.out.always(output_line(line))
        return
    _write_bytes(patch.patch)


def _write_bytes(data: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _write_result(run: Invocation, task: Task) -> None:
    """Raises NotFoundError when there is none: an empty file would look like an empty result."""
    from buildrunner_parallel.errors import NotFoundError

    result = _result(task)
    if result is None:
        raise NotFoundError(
            f"Task {sanitize(task.summary.task_id)} has no result; it is {task.summary.status.value}."
        )
    if run.out.is_terminal:
        return _show_alone(run, result)
    return _write_bytes(result.data)


def _show_alone(run: Invocation, result: Payload) -> None:
    """On a terminal, which is kept from bytes that would steer it."""
    text = _as_text(result.data)
    if text is None:
        return run.out.always(f"not text: {size(len(result.data))}; let it go into a file or a pipe")
    for line in text.splitlines():
        run.out.always(output_line(line))
    return None


def _show_result(run: Invocation, task: Task) -> None:
    """Its beginning, and how to get all of it."""
    result = _result(task)
    if result is None or not result.data:
        return
    kind = result.content_type or "application/octet-stream"
    text = _as_text(result.data)
    run.out.line()
    run.out.line(f"result ({kind}, {size(len(result.data))})" + (", not text" if text is None else ":"))
    lines = (text or "").splitlines()
    for line in lines[:RESULT_LINES]:
        run.out.line(f"  {output_line(line)}")
    if text is None or len(lines) > RESULT_LINES:
        whole = run.command_line("show", task.summary.session_id, task.summary.task_id, "--result")
        run.out.line(f"  all of it: {whole} > FILE")


def _as_text(data: bytes) -> str | None:
    """The data as text, whatever its type is called; None when it is none."""
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None
