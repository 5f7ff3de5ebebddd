"""The command that adds tasks to a session: submit."""

from __future__ import annotations

import os
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
from .phrases import number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.plan import Plan, PlanFile, PlanTask
    from buildrunner_parallel.records import TaskSummary

    from .submission import Submitter

app = typer.Typer()

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@command(app, "submit")
def submit(
    run: Invocation,
    session_id: SessionArgument,
    words: told.Words = None,
    task_id: told.Id = "",
    needs: told.Needs = None,
    files: told.Files = None,
    env: told.Env = None,
    cwd: told.Cwd = "",
    timeout: told.Timeout = None,
    grace: told.Grace = None,
    retries: told.Retries = 0,
    priority: told.Priority = 0,
    labels: told.Labels = None,
    slots: told.Slots = 1,
    worker: told.Worker = "",
    pass_env: told.PassEnv = None,
    handler: told.Handler = "",
    payload: told.PayloadFile = None,
    plan: told.PlanFile = "",
) -> None:
    """Add a task to a session, or with --plan many."""
    from buildrunner_parallel.plan import PlanTask

    _require_one(words, handler, plan, payload)
    if plan:
        return _submit_plan(run, session_id, plan)
    data, content_type = _payload(payload)
    task = PlanTask(
        task_id,
        index=0,
        argv=tuple(words or ()),
        handler=handler or None,
        payload=data,
        content_type=content_type,
        needs=_all(needs),
        files=tuple(_file(text) for text in files or ()),
        timeout_s=timeout or None,
        grace_s=grace,
        env=dict(_variable(text) for text in env or ()),
    )
    options = {"retries": retries, "priority": priority, "slots": slots, "labels": _all(labels)}
    places = {"cwd": cwd or None, "worker": worker or None, "pass_env": _all(pass_env)}
    return _submit_task(run, session_id, replace(task, **options, **places))  # type: ignore[arg-type]


def _require_one(words: list[str] | None, handler: str, plan: str, payload: Path | None) -> None:
    if sum(map(bool, (words, handler, plan))) != 1:
        raise typer.BadParameter("give one of: -- CMD ARGS, --handler NAME, --plan FILE")
    if payload and not handler:
        raise typer.BadParameter("a payload goes to a handler: add --handler NAME")


def _all(values: list[str] | None) -> tuple[str, ...]:
    return tuple(values or ())


def _submit_task(run: Invocation, session_id: str, task: PlanTask) -> None:
    from buildrunner_parallel.plan import Plan
    from buildrunner_parallel.records import record_to_json

    if is_local(run):
        _check(Plan((task,)))
    with run.existing() as client:
        (made,) = client.submit_tasks(session_id, [submitter(client).spec(task)])
    if run.settings.as_json:
        return run.out.document(task=record_to_json(made))
    if run.settings.quiet:
        return run.out.always(made.task_id)
    limit = f", timeout {format_duration(task.timeout_s)}" if task.timeout_s else ""
    return run.out.line(
        f"Task {made.task_id} submitted to session {made.session_id} ({made.status.value}{limit})"
    )


def _submit_plan(run: Invocation, session_id: str, location: str) -> None:
    from buildrunner_parallel.plan import load_plan
    from buildrunner_parallel.records import record_to_json

    plan = load_plan(location, check_machine=is_local(run))
    with run.existing() as client:
        made: Sequence[TaskSummary] = client.submit_tasks(session_id, submitter(client).specs(plan.tasks))
    if run.settings.as_json:
        return run.out.document(tasks=[record_to_json(task) for task in made])
    return run.out.line(f"{number_of(len(made), 'task')} submitted to session {made[0].session_id}")


def submitter(client: Client) -> Submitter:
    """Where this process submits from, as the client's workspace sees it."""
    from .submission import Submitter

    worktree = client.workspace.worktree if client.workspace else None
    return Submitter(Path.cwd(), worktree, os.environ)


def is_local(run: Invocation) -> bool:
    """Whether the workers can be expected to see this machine's programs and directories."""
    from buildrunner_parallel.discovery import explicit_address

    address = explicit_address(run.settings.coordinator) or "unix:"
    return address.startswith("unix:") or address.rpartition(":")[0] in _LOOPBACK


def _check(plan: Plan) -> None:
    from buildrunner_parallel.errors import InvalidRequestError
    from buildrunner_parallel.plan.machine import Machine

    for problem in Machine(Path.cwd(), os.environ).problems(plan):
        raise InvalidRequestError(f"{problem.message[:1].upper()}{problem.message[1:]}.")


def _payload(location: Path | None) -> tuple[bytes, str]:
    if location is None:
        return b"", ""
    data = sys.stdin.buffer.read() if str(location) == "-" else location.read_bytes()
    return data, "application/json" if location.suffix == ".json" else ""


def _file(text: str) -> PlanFile:
    from buildrunner_parallel.plan import PlanFile

    if not text.removesuffix(":shared"):
        raise typer.BadParameter(f"expected PATH or PATH:shared, found {text!r}", param_hint="--file")
    return PlanFile(text.removesuffix(":shared"), "shared" if text.endswith(":shared") else "exclusive")


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"expected K=V, found {text!r}", param_hint="--env")
    return name, value
