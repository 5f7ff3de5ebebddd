"""The program's outermost layer: wrong usage becomes one line on standard error, like every other error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from buildrunner_parallel.text import one_line

from . import exit_codes
from .plain_values import TakesPlainValues
from .render import complain

# How the library that checks values begins its sentences.
_PREFIX = "Value error, "


class OneLineGroup(TakesPlainValues, TyperGroup):
    """A group of commands that tells of wrong usage in one line; exits as exit_codes.py says."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs the program; with `standalone_mode` it ends the process."""
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.Abort:
            # Ctrl+C or the end of input at a question.
            complain("Interrupted; nothing was changed.")
            code = exit_codes.INTERRUPTED
        except Exception as error:
            # Only errors of usage: they can say themselves what they are.
            if not standalone_mode or not hasattr(error, "format_message"):
                raise
            code = _show(error)
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else exit_codes.DONE)
        return code


def _show(error: Any) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return exit_codes.USAGE
    context = getattr(error, "ctx", None)
    told = one_line(error.format_message()).replace(_PREFIX, "").rstrip(".")
    if context is None:
        complain(told)
    else:
        complain(f"{context.command_path}: {told} (see {context.command_path} --help)")
    return int(error.exit_code)
