"""The command that prints the completion script of a shell."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .command import command
from .invocation import Invocation

app = typer.Typer()


class Shell(StrEnum):
    """Those that there are scripts for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@command(app, "completion")
def completion(
    run: Invocation,
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print a script that completes commands and ids in your shell.

    Tab then offers commands, options, the words that these take, files, and the ids of sessions, tasks,
    workers and locks. A coordinator is asked only where one runs, for a moment.
    """
    if run.settings.as_json:
        raise typer.BadParameter("a script for a shell is no JSON document", param_hint="--json")
    script = Path(__file__).parent / "completing" / "scripts" / f"br.{shell.value}"
    text = script.read_text(encoding="utf-8")
    sys.stdout.write(text)
