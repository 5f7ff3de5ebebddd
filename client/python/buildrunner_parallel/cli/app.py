"""The program: `br` with its group `parallel`, and `br-parallel`, which is the group alone.

Commands live one file a noun, and are loaded when called; this puts them together. `parallel_app` can
be mounted by another `br`.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.main import get_command

from .command import CoordinatorOption, JsonOption, NoColorOption, QuietOption, TokenFileOption, settings_of
from .command_table import GUARD, PARALLEL
from .exit_codes import DONE, INTERRUPTED, REFUSED
from .invocation import program_name
from .lazy_command import add_lazily
from .render import complain, is_output_fault, output_fault, silence_stdout
from .usage import OneLineGroup

COMPLETE_VARIABLE = "_BR_COMPLETE"
DISTRIBUTION = "buildrunner-parallel"

_STYLE = {
    "add_completion": False,
    "cls": OneLineGroup,
    "no_args_is_help": True,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}

parallel_app = typer.Typer(
    name="parallel",
    help="Run many build tasks side by side.",
    **_STYLE,  # type: ignore[arg-type]
)
br_app = typer.Typer(name="br", help="BuildRunner.", **_STYLE)  # type: ignore[arg-type]
guard_app = typer.Typer(help="Git hooks that look at path locks before a commit.", **_STYLE)  # type: ignore[arg-type]


def _version(wanted: bool | None) -> None:
    if wanted:
        typer.echo(f"{DISTRIBUTION} {version()}")
        raise typer.Exit


def version() -> str:
    """The installed version, or `unknown` when run from a bare checkout."""
    # Imported here: it takes as long as all the rest of a help page.
    from importlib import metadata

    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"


VersionOption = Annotated[
    bool | None,
    typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit."),
]


@br_app.callback()
@parallel_app.callback()
def options(
    ctx: typer.Context,
    coordinator: CoordinatorOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = None,
    no_color: NoColorOption = None,
    quiet: QuietOption = None,
    version: VersionOption = None,
) -> None:
    """Options that every command takes, before or after its name."""
    ctx.obj = settings_of(ctx).with_options(coordinator, token_file, as_json, no_color, quiet)


add_lazily(parallel_app, PARALLEL)
add_lazily(guard_app, GUARD)
parallel_app.add_typer(guard_app, name="guard")
br_app.add_typer(parallel_app, name="parallel")


def main() -> None:
    """The console script `br`."""
    _run(br_app, "br", "parallel")


def main_parallel() -> None:
    """The console script `br-parallel`."""
    _run(parallel_app, "br-parallel", "")


def _collect_garbage_rarely() -> None:
    """Hardly anything that a short program loads is garbage, and looking for it is a sixth of its time."""
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)


def _replace_closed_streams() -> None:
    """A stream that the caller closed (`>&-`) is None: it becomes the null device, as an empty one would be.

    In the order of their numbers, so that each gets its own and no socket ever takes its place.
    """
    for name, flags, mode in (
        ("stdin", os.O_RDONLY, "r"),
        ("stdout", os.O_WRONLY, "w"),
        ("stderr", os.O_WRONLY, "w"),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))


def _run(app: typer.Typer, name: str, group: str) -> None:
    from .invocation import Settings

    _collect_garbage_rarely()
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    shell = os.environ.get(COMPLETE_VARIABLE)
    if shell:
        _complete(app, shell)
    try:
        if sys.argv[1:] == ["--version"]:
            # Asked for by editors and prompts all the time: not worth loading what converts options.
            print(DISTRIBUTION, version(), flush=True)
            return
        app(prog_name=name if group else Path(name).name, obj=Settings(program=program_name(name, group)))
    except KeyboardInterrupt:
        complain("Interrupted.")
        _end_at_once_from_now_on()
        sys.exit(INTERRUPTED)
    except OSError as error:
        # Of what is shown before any command runs: help pages, the version.
        silence_stdout()
        if isinstance(error, BrokenPipeError):
            sys.exit(DONE)
        if not is_output_fault(error):
            raise
        complain(output_fault(error))
        sys.exit(REFUSED)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _end_at_once_from_now_on()
        raise


def _complete(app: typer.Typer, shell: str) -> NoReturn:
    """Answers a shell that asks what could be typed next; nothing else is done then."""
    from .completing.shells import complete

    complete(get_command(app), shell, sys.argv[1:])


def _end_at_once_from_now_on() -> None:
    """Whoever presses Ctrl+C again means it: no tidying up that the first has begun may hold them up."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
