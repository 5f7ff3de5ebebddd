"""The program's outermost layer: wrong usage becomes one line on standard error, like every other error."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from buildrunner_parallel.text import one_line

from . import exit_codes
from .plain_values import TakesPlainValues
from .render import complain
from .sections import in_sections

# Beside the names of commands and what they do.
_MARGIN = 4

# How the library that checks values says it, and how we do.
_TOLD = (
    (re.compile(r"^Input should be a valid integer.*"), "expected a whole number"),
    (re.compile(r"^Input should be greater than or equal to (-?\d+)$"), r"expected at least \1"),
    (re.compile(r"^Input should be less than or equal to (-?\d+)$"), r"expected at most \1"),
)
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

    def invoke(self, ctx: Any) -> Any:
        """Runs the command. Ctrl+C before it has begun, as its module is loaded, would end without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            complain("Interrupted.")
            raise typer.Exit(exit_codes.INTERRUPTED) from None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands in sections, each with the first line of its help."""
        names = [name for name in self.list_commands(ctx) if self._is_shown(ctx, name)]
        width = max(map(len, names), default=0)
        for section, members in in_sections(names):
            with formatter.section(section):
                for name in members:
                    told = self._told(ctx, name, formatter.width - width - _MARGIN)
                    formatter.write(f"{'':{formatter.current_indent}}{name:<{width}}  {told}\n")

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The exit codes, one a line."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in exit_codes.MEANINGS.items()])

    def _is_shown(self, ctx: Any, name: str) -> bool:
        found = self.get_command(ctx, name)
        return found is not None and not found.hidden

    def _told(self, ctx: Any, name: str, room: int) -> str:
        found = self.get_command(ctx, name)
        return found.get_short_help_str(room) if found is not None else ""


def mend_error(error: Any, ctx: Any, given: Sequence[str]) -> None:
    """Says of which command it is, and of a value that is no number or out of range what was found."""
    if error.ctx is None:
        error.ctx = ctx
    for pattern, words in _TOLD:
        error.message, count = pattern.subn(words, error.message)
        found = _value_of(error.param, given) if count and getattr(error, "param", None) else None
        if found is not None:
            error.message += f", found {found!r}"


def _value_of(option: Any, given: Sequence[str]) -> str | None:
    """As it was typed: `--limit=x`, `--limit x`, `-l x` or `-lx`."""
    for at, word in enumerate(given):
        name, equals, value = word.partition("=")
        if name in option.opts and name.startswith("-"):
            return value if equals else next(iter(given[at + 1 :]), "")
        if len(word) > 2 and word[:2] in option.opts:
            return word[2:]
    return None


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
