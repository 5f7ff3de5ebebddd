"""The command that adds tasks to a session: submit."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from buildrunner_parallel.durations import format_duration

from . import submit_options as told
from .command import command
from .invocation import Invocation
from .options import SessionArgument
from .phrases import error_phrase, number_of
from .places import check_task, is_local, load_local_plan, submitter

if TYPE_CHECKING:
    from buildrunner_parallel.plan import PlanTask

    from .lines import Lines

app = typer.Typer()


@command(app, "submit")
@told.with_task_options
def submit(
    run: Invocation,
    options: told.TaskOptions,
    session_id: SessionArgument,
    words: told.Words = None,
    task_id: told.Id = "",
    needs: told.Needs = None,
    worker: told.Worker = "",
    handler: told.Handler = "",
    payload: told.PayloadFile = None,
    plan: told.PlanFile = "",
    commands: told.CommandsFile = "",
    arguments: told.ArgsFile = "",
    null: told.Null = False,
) -> None:
    """Add a task, or many, to a session.

    One is a command or a handler; many come from a plan or from lines.
    """
    lines = _asked_lines(commands, arguments, words, null)
    _require_one(words if lines is None else ["lines"], handler, plan, payload)
    if plan:
        options.refuse("is for single tasks and for lines; a plan has `defaults` for all its tasks")
        if task_id or needs or worker:
            raise typer.BadParameter("a plan says it for each task", param_hint="--id, --needs, --worker")
        return _submit_plan(run, session_id, plan)
    common = replace(options.task(), needs=tuple(needs or ()), worker=worker or None)
    if lines is not None:
        return _submit_lines(run, session_id, lines, common, task_id)
    data, content_type = _payload(payload)
    task = replace(
        common,
        task_id=task_id,
        argv=tuple(words or ()),
        handler=handler or None,
        payload=data,
        content_type=content_type,
    )
    return _submit_task(run, session_id, task)


def _asked_lines(commands: str, arguments: str, words: list[str] | None, null: bool) -> Lines | None:
    """Without --args the words are one command, whatever braces are in them."""
    from .lines import asked_lines

    return asked_lines(commands, arguments, words if arguments or commands else None, null)


def _require_one(words: list[str] | None, handler: str, plan: str, payload: Path | None) -> None:
    if sum(map(bool, (words, handler, plan))) != 1:
        raise typer.BadParameter(
            "give one of: -- CMD ARGS, --handler NAME, --plan FILE, --commands FILE, --args FILE -- CMD {}"
        )
    if payload and not handler:
        raise typer.BadParameter("a payload goes to a handler: add --handler NAME")


def _submit_task(run: Invocation, session_id: str, task: PlanTask) -> None:
    from buildrunner_parallel.records import record_to_json

    if is_local(run):
        check_task(task)
    with run.existing() as client:
        (made,) = client.submit_tasks(session_id, [submitter(client).spec(task)])
    if run.settings.as_json:
        return run.out.document(task=record_to_json(made))
    if run.settings.quiet:
        return run.out.always(made.task_id)
    more = f", timeout {format_duration(task.timeout_s)}" if task.timeout_s else ""
    if made.is_over and made.error:
        # What it needs has failed already, for one.
        more = f": {error_phrase(made.error)}"
    return run.out.line(
        f"Task {made.task_id} submitted to session {made.session_id} ({made.status.value}{more})"
    )


def _submit_plan(run: Invocation, session_id: str, location: str) -> None:
    from buildrunner_parallel.records import record_to_json

    plan = load_local_plan(run, location)
    with run.existing() as client:
        session, count = client.submit_plan(
            submitter(client).specs(plan.tasks), session_id=session_id, seal=False, start=False
        )
        if run.settings.as_json:
            added = {task.task_id for task in plan.tasks}
            told_tasks = (task for task in client.iter_tasks(session.session_id) if task.task_id in added)
            return run.out.document(tasks=[record_to_json(task) for task in told_tasks])
    return run.out.line(f"{number_of(count, 'task')} submitted to session {session.session_id}")


def _submit_lines(run: Invocation, session_id: str, lines: Lines, common: PlanTask, prefix: str) -> None:
    from .lines import submit_lines

    with run.existing() as client:
        session, count = submit_lines(run, client, session_id, lines, common, prefix)
    if run.settings.as_json:
        return run.out.document(submitted={"session_id": session.session_id, "task_count": count})
    if not count:
        return run.out.line("Nothing to do: there are no lines")
    return run.out.line(f"{number_of(count, 'task')} submitted to session {session.session_id}")


def _payload(location: Path | None) -> tuple[bytes, str]:
    if location is None:
        return b"", ""
    data = sys.stdin.buffer.read() if str(location) == "-" else location.read_bytes()
    return data, "application/json" if location.suffix == ".json" else ""
