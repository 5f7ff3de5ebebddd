"""How `lock` reads its words: where the command begins, and whether `--wait` has a value.

`--` parts the paths from the command, so it must survive the parser, and a word behind `--wait` is its value
only where it reads as a duration: anything else is a path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import typer

from buildrunner_parallel.durations import parse_duration

from .help_page import ShownCommand

if TYPE_CHECKING:
    from buildrunner_parallel.calls_locks import Wait

WAIT = "--wait"
END_OF_PATHS = "--"
# No word of a command line can be this one.
_WITHOUT_END = "\0"


class LockCommand(ShownCommand):
    """The command whose words are read so."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        at = args.index(END_OF_PATHS) if END_OF_PATHS in args else len(args)
        tail = [END_OF_PATHS, *args[at:]] if at < len(args) else []
        return super().parse_args(ctx, [*_with_values(args[:at]), *tail])


def _with_values(words: Sequence[str]) -> Iterator[str]:
    """`--wait 30s` and `--wait` as `--wait=...`, which has one meaning."""
    taken = False
    for word, behind in pairwise((*words, "")):
        if taken:
            taken = False
        elif word == WAIT:
            taken = _is_duration(behind)
            yield f"{WAIT}={behind if taken else _WITHOUT_END}"
        else:
            yield word


def _is_duration(word: str) -> bool:
    try:
        parse_duration(word)
    except ValueError:
        return False
    return True


def parse_wait(value: str | None) -> Wait:
    """Seconds, True without an end, None for not at all. Raises BadParameter."""
    if value is None or value == _WITHOUT_END:
        return value is not None or None
    try:
        return parse_duration(value)
    except ValueError as error:
        raise typer.BadParameter(f"{error}, found {value!r}", param_hint=WAIT) from None


def parted(words: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """The paths, and the command if there is one. Raises BadParameter for an empty one of either."""
    at = words.index(END_OF_PATHS) if END_OF_PATHS in words else len(words)
    paths, command = list(words[:at]), list(words[at + 1 :])
    if not paths:
        raise typer.BadParameter("name at least one, in front of `-- CMD`", param_hint="PATH")
    if at < len(words) and not command:
        raise typer.BadParameter("there is nothing to run behind `--`", param_hint="CMD")
    return paths, command or None
