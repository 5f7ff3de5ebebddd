"""The options of `submit`, one name each, and those of them that `start` gives to all tasks of lines."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from buildrunner_parallel.bounds import MOST_SLOTS

from .options import duration_option

if TYPE_CHECKING:
    from buildrunner_parallel.plan import PlanFile as LockedPath
    from buildrunner_parallel.plan import PlanTask

_MANY = "May be repeated."

Words = Annotated[list[str] | None, typer.Argument(metavar="-- CMD ARGS...", help="Program and arguments.")]
Id = Annotated[
    str,
    typer.Option(
        "--id", metavar="ID", help="Task id; made up if left out. Of many lines: ID-1, ID-2 and so on."
    ),
]
Needs = Annotated[
    list[str] | None, typer.Option("--needs", metavar="ID", help=f"Must succeed first. {_MANY}")
]
Worker = Annotated[str, typer.Option("--worker", metavar="ID", help="Only this worker.")]
Handler = Annotated[str, typer.Option("--handler", metavar="NAME", help="Run a worker's handler.")]
PayloadFile = Annotated[
    Path | None,
    typer.Option("--payload", metavar="FILE", allow_dash=True, help="What the handler gets; - is stdin."),
]
PlanFile = Annotated[str, typer.Option("--plan", metavar="FILE", help="Add the tasks of a plan file.")]
CommandsFile = Annotated[
    str, typer.Option("--commands", metavar="FILE", help="Every line is a task for the shell; - is stdin.")
]
ArgsFile = Annotated[
    str,
    typer.Option(
        "--args", metavar="FILE", help="Every line takes the place of {} in CMD, a task each; - is stdin."
    ),
]
Null = Annotated[
    bool, typer.Option("--null", "-0", help="Lines of --commands or --args end with NUL, as find -print0.")
]

Files = Annotated[
    list[str] | None, typer.Option("--file", metavar="PATH[:shared]", help=f"Lock this path. {_MANY}")
]
Env = Annotated[list[str] | None, typer.Option("--env", metavar="K=V", help=f"Set a variable. {_MANY}")]
Cwd = Annotated[str, typer.Option("--cwd", metavar="DIR", help="Where it runs; here if left out.")]
Timeout = Annotated[float | None, duration_option("--timeout", "Stop it after this long.")]
Grace = Annotated[float | None, duration_option("--grace", "Between SIGTERM and SIGKILL.")]
Retries = Annotated[int, typer.Option("--retries", min=0, max=1000, metavar="N", help="Try again so often.")]
Priority = Annotated[
    int, typer.Option("--priority", min=-1000, max=1000, metavar="N", help="Higher goes first.")
]
Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="L", help=f"The worker must have it. {_MANY}")
]
Slots = Annotated[
    int, typer.Option("--slots", min=1, max=MOST_SLOTS, metavar="N", help="Slots that it takes.")
]
PassEnv = Annotated[
    list[str] | None, typer.Option("--pass-env", metavar="GLOB", help=f"Pass variables of yours on. {_MANY}")
]
Audit = Annotated[
    str, typer.Option("--audit", metavar="WHEN", help="Compare what it changes with --file: on, off, auto.")
]
Isolate = Annotated[
    str, typer.Option("--isolate", metavar="HOW", help="worktree: a git worktree and branch of its own.")
]
Merge = Annotated[bool, typer.Option("--merge", help="With --isolate: merge its branch into the session's.")]
_AUDITS = {"auto": None, "on": True, "off": False}


@dataclass(frozen=True)
class TaskOptions:
    """What tasks may have besides their command; every field is an option."""

    files: Files = None
    env: Env = None
    cwd: Cwd = ""
    timeout: Timeout = None
    grace: Grace = None
    retries: Retries = 0
    priority: Priority = 0
    labels: Labels = None
    slots: Slots = 1
    pass_env: PassEnv = None
    audit: Audit = "auto"
    isolate: Isolate = "none"
    merge: Merge = False

    def task(self) -> PlanTask:
        """A task with these options, without an id and without anything to run."""
        from buildrunner_parallel.plan import PlanTask

        self.check()
        return PlanTask(
            "",
            index=0,
            files=tuple(_file(text) for text in self.files or ()),
            timeout_s=self.timeout or None,
            grace_s=self.grace,
            retries=self.retries,
            labels=tuple(self.labels or ()),
            priority=self.priority,
            slots=self.slots,
            cwd=self.cwd or None,
            env=dict(_variable(text) for text in self.env or ()),
            pass_env=tuple(self.pass_env or ()),
            audit=_AUDITS[self.audit],
            isolate=self.isolate,
            merge=self.merge,
        )

    def check(self) -> None:
        """Raises the usage error for words that are none, and for what does not go together."""
        if self.audit not in _AUDITS:
            raise typer.BadParameter(f"expected on, off or auto, found {self.audit!r}", param_hint="--audit")
        if self.isolate not in ("worktree", "none"):
            words = f"expected worktree or none, found {self.isolate!r}"
            raise typer.BadParameter(words, param_hint="--isolate")
        if self.merge and self.isolate != "worktree":
            raise typer.BadParameter("needs --isolate worktree", param_hint="--merge")

    def refuse(self, reason: str) -> None:
        """Raises the usage error for the first option that was given, if any was."""
        for option in fields(self):
            if getattr(self, option.name) != option.default:
                raise typer.BadParameter(reason, param_hint=_told_as()[option.name])


def _told_as() -> dict[str, str]:
    hints = typing.get_type_hints(TaskOptions, include_extras=True)
    # In Annotated, typer keeps an option's first name where a default would otherwise stand.
    return {name: str(hint.__metadata__[0].default) for name, hint in hints.items()}


def with_task_options(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of TaskOptions in place of its parameter `options`."""
    hints = typing.get_type_hints(function, include_extras=True)
    added = typing.get_type_hints(TaskOptions, include_extras=True)
    parameters = [
        parameter.replace(annotation=hints.get(parameter.name, Any))
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "options"
    ]
    keyword = inspect.Parameter.KEYWORD_ONLY
    for option in fields(TaskOptions):
        hint = added[option.name]
        parameters.append(inspect.Parameter(option.name, keyword, default=option.default, annotation=hint))

    @functools.wraps(function)
    def run(*arguments: Any, **values: Any) -> None:
        options = TaskOptions(**{option.name: values.pop(option.name) for option in fields(TaskOptions)})
        function(*arguments, options=options, **values)

    del run.__wrapped__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _file(text: str) -> LockedPath:
    from buildrunner_parallel.plan import PlanFile

    if not text.removesuffix(":shared"):
        raise typer.BadParameter(f"expected PATH or PATH:shared, found {text!r}", param_hint="--file")
    return PlanFile(text.removesuffix(":shared"), "shared" if text.endswith(":shared") else "exclusive")


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"expected K=V, found {text!r}", param_hint="--env")
    return name, value
