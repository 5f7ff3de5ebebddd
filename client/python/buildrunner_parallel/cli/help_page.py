"""How a command's help is drawn: usage, options, exit codes that matter, examples. At most 80 columns wide.

Names of values and ranges are written for people; the examples are data of examples.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from .examples import EXAMPLES, PROGRAM, Example
from .exit_codes import OF_COMMAND
from .plain_values import PlainCommand
from .usage import mend_error

SHARED_NAMES = frozenset({"coordinator", "token_file", "as_json", "no_color", "quiet", "help"})
SHARED_TITLE = "Options of every command"

_TYPE = re.compile(r" <[^<>]*>$")
_MARKS = re.compile(r"\s*\[([^\[\]]*)\]$")
_BETWEEN = re.compile(r"(-?\d+)<=x<=(-?\d+)")
# A bound that nobody meets says nothing.
_ENDLESS = re.compile(r"(-?\d+)<=x<=\d{10,}")
_LEAST = re.compile(r"x>=(-?\d+)")

_KNOWN = {"argument": "required"}

Row = tuple[str, str]


class ShownCommand(PlainCommand):
    """A command with help of this kind."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # Only errors of usage, which can say what they are; some do not know of which command.
            if hasattr(error, "format_message"):
                mend_error(error, ctx, given)
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces = ["[OPTIONS]"] if self.rows(ctx, "option") else []
        return pieces + [_usage(one) for one in self.get_params(ctx) if one.param_type_name == "argument"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        options = self.rows(ctx, "option")
        own = [row for name, row in options if name not in SHARED_NAMES]
        shared = [row for name, row in options if name in SHARED_NAMES]
        arguments = [row for _, row in self.rows(ctx, "argument")]
        for title, rows in (("Arguments", arguments), ("Options", own), (SHARED_TITLE, shared)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        name, program = place(ctx.command_path)
        if codes := OF_COMMAND.get(name, {}):
            with formatter.section("Exit codes"):
                formatter.write_dl(list(codes.items()))
        if examples := EXAMPLES.get(name, ()):
            with formatter.section("Examples"):
                for line in example_lines(examples, program):
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")

    def rows(self, ctx: Any, kind: str) -> list[tuple[str, Row]]:
        """Parameters of a kind (`argument`, `option`) by name: how each is written, and what it means."""
        rows = []
        for one in self.get_params(ctx):
            record = one.get_help_record(ctx) if one.param_type_name == kind else None
            if record is not None:
                rows.append((one.name, (_named(one, record[0]), mended(record[1], kind))))
        return rows


def place(command_path: str) -> tuple[str, str]:
    """The command's name as EXAMPLES has it, and how the program before it is called."""
    words = command_path.split(" ")
    count = 2 if len(words) > 2 and " ".join(words[-2:]) in EXAMPLES else 1
    return " ".join(words[-count:]), " ".join(words[:-count])


def example_lines(examples: Sequence[Example], program: str = PROGRAM) -> Iterator[str]:
    """A remark and a line to type for each."""
    for example in examples:
        yield f"# {example.told}"
        yield example.line.replace(PROGRAM, program or PROGRAM)


def _usage(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _named(one: Any, record: str) -> str:
    return _TYPE.sub("", record) if one.param_type_name == "argument" or one.metavar else record


def mended(text: str, kind: str = "option") -> str:
    """A help text whose last marks are words: `[default: 20; x>=1]` becomes `(default 20; at least 1)`.

    That an argument is required is told by the usage line.
    """
    found = _MARKS.search(text)
    if found is None or not text.endswith("]"):
        return text
    marks = [_mark(mark) for mark in found.group(1).split("; ") if mark != _KNOWN.get(kind)]
    said = "; ".join(filter(None, marks))
    return text[: found.start()] + (f" ({said})" if said else "")


def _mark(mark: str) -> str:
    mark = _ENDLESS.sub(r"x>=\1", mark)
    if mark == "x>=0":
        return ""
    if mark.startswith("default: "):
        return f"default {mark.removeprefix('default: ').strip('()')}"
    return _LEAST.sub(r"at least \1", _BETWEEN.sub(r"\1 to \2", mark))
