"""What `--dry-run` shows: each task with what it would run. Reaches no coordinator and starts nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .invocation import Invocation

if TYPE_CHECKING:
    from buildrunner_parallel.specs import TaskSpec


def show_tasks(run: Invocation, specs: Iterable[TaskSpec]) -> None:
    """One line a task, as they come: id and command, a tab between them in a pipe."""
    from buildrunner_parallel.records import record_to_json

    for spec in specs:
        if run.settings.as_json:
            # The values of passed variables are often secrets.
            names = {"passed_env": sorted(spec.passed_env)}
            run.out.document(task={**record_to_json(spec), **names})
        elif run.settings.quiet:
            run.out.always(spec.task_id)
        elif run.out.is_terminal:
            run.out.line(f"{spec.task_id}  {command_text(spec)}")
        else:
            run.out.row((spec.task_id, command_text(spec)))


def command_text(spec: TaskSpec) -> str:
    """What a task runs, as one would type it."""
    return shlex.join(spec.argv) or spec.shell_line or f"handler {spec.handler}"
