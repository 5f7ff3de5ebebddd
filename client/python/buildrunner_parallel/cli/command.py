"""`command`: puts a function on the command line with the options that all share, and guards it.

The guard turns every error into one line on standard error and the right exit code; it is the only place
that decides what a user sees of an exception.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from buildrunner_parallel.text import one_line, output_line

from . import exit_codes
from .help_page import ShownCommand
from .invocation import Invocation, Settings
from .lock_phrases import conflict_lines
from .render import complain, complain_lines, is_output_fault, output_fault, silence_stdout

LOG_LINES = 10
_PANEL = "Everywhere"

CoordinatorOption = Annotated[
    str | None,
    typer.Option(
        "--coordinator",
        metavar="ADDRESS",
        help="unix:PATH or HOST:PORT; else $BR_COORDINATOR, else the workspace's own.",
        rich_help_panel=_PANEL,
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file", metavar="FILE", help="The token's file; else $BR_TOKEN.", rich_help_panel=_PANEL
    ),
]
JsonOption = Annotated[bool | None, typer.Option("--json", help="One JSON document.", rich_help_panel=_PANEL)]
NoColorOption = Annotated[
    bool | None, typer.Option("--no-color", help="No colour (also $NO_COLOR).", rich_help_panel=_PANEL)
]
QuietOption = Annotated[
    bool | None, typer.Option("--quiet", help="Ids only, or nothing.", rich_help_panel=_PANEL)
]

# All are None unless given.
SHARED: dict[str, Any] = {
    "coordinator": CoordinatorOption,
    "token_file": TokenFileOption,
    "as_json": JsonOption,
    "no_color": NoColorOption,
    "quiet": QuietOption,
}

Function = Callable[..., None]


def command(app: typer.Typer, name: str, **options: Any) -> Callable[[Function], Function]:
    """Registers a function under `name`. Its first parameter is the Invocation, the others are its own."""

    def register(function: Function) -> Function:
        @functools.wraps(function)
        def run(ctx: typer.Context, **values: Any) -> None:
            shared = {key: values.pop(key) for key in SHARED}
            invocation = Invocation(settings_of(ctx).with_options(**shared))
            guarded(invocation, lambda: function(invocation, **values))

        _dress(run, function)
        app.command(name, **{"cls": ShownCommand, **options})(run)
        return function

    return register


def settings_of(ctx: typer.Context) -> Settings:
    """What was said before the command's name."""
    return ctx.obj if isinstance(ctx.obj, Settings) else Settings()


def _dress(run: Function, function: Function) -> None:
    """Gives `run` the signature that typer reads: the context, the command's own options, the shared ones."""
    hints = typing.get_type_hints(function, include_extras=True)
    own = list(inspect.signature(function).parameters.values())[1:]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("ctx", keyword, annotation=typer.Context)]
    parameters += [parameter.replace(kind=keyword, annotation=hints[parameter.name]) for parameter in own]
    for name, annotation in SHARED.items():
        parameters.append(inspect.Parameter(name, keyword, default=None, annotation=annotation))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__  # type: ignore[attr-defined]


def guarded(invocation: Invocation, call: Callable[[], None]) -> None:
    """Runs `call`; every error ends as a line on standard error and a typer.Exit with its code."""
    try:
        call()
        sys.stdout.flush()
    except KeyboardInterrupt:
        complain(f"Interrupted. {invocation.come_back}".rstrip())
        raise typer.Exit(exit_codes.INTERRUPTED) from None
    except BrokenPipeError:
        silence_stdout()
        raise typer.Exit(exit_codes.DONE) from None
    except Exception as error:
        # The last barrier before the user; `_explain` re-raises what it does not know when asked to debug.
        raise typer.Exit(_explain(invocation, error)) from None


def _explain(run: Invocation, error: Exception) -> int:
    """Says what went wrong and returns the exit code. Exits and usage errors pass through."""
    if _is_typer_own(error):
        raise error
    from buildrunner_parallel.errors import BuildRunnerError

    if isinstance(error, BuildRunnerError):
        return _explain_ours(run, error)
    if type(error).__name__ == "PlanError":
        complain_lines(error.lines)  # type: ignore[attr-defined]
        return exit_codes.REFUSED
    if isinstance(error, OSError) and is_output_fault(error):
        silence_stdout()
        complain(f"{output_fault(error)} {run.come_back}".rstrip())
        return exit_codes.REFUSED
    if isinstance(error, OSError):
        told = error.strerror or one_line(str(error))
        complain(f"{error.filename} cannot be used: {told}" if error.filename else told)
        return exit_codes.REFUSED
    if os.environ.get("BR_DEBUG"):
        raise error
    complain(f"Internal error, {type(error).__name__}: {one_line(str(error), 300)} (BR_DEBUG=1 shows where)")
    return exit_codes.REFUSED


def _is_typer_own(error: Exception) -> bool:
    return isinstance(error, (typer.Exit, typer.Abort)) or hasattr(error, "format_message")


def _is_from_log(message: str, log_tail: str) -> bool:
    """Whether the message ends with what the log says: then the log would only say it again."""
    reason = message.partition("could not be started: ")[2]
    return bool(reason) and reason in log_tail


def _explain_ours(run: Invocation, error: Any) -> int:
    from buildrunner_parallel.errors import (
        AmbiguousIdError,
        CoordinatorStartError,
        LockConflictError,
        NoStateError,
    )

    if isinstance(error, NoStateError):
        complain("There are no sessions here: nothing was started in this workspace yet.")
        return exit_codes.NOT_FOUND
    complain(one_line(error.message))
    if isinstance(error, AmbiguousIdError) and not all(id_ in error.message for id_ in error.candidates):
        complain("It could be: " + ", ".join(error.candidates))
    if isinstance(error, LockConflictError):
        complain_lines(conflict_lines(run, error))
    if isinstance(error, CoordinatorStartError) and not _is_from_log(error.message, error.log_tail):
        complain_lines([f"  {line}" for line in error.log_tail.splitlines()[-LOG_LINES:]], output_line)
    return int(error.exit_code)
