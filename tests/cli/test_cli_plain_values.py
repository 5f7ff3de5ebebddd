"""Values that are taken without typer come out as it gives them, and what is wrong is told in its words."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Optional

import pytest
import typer
from typer.core import TyperCommand
from typer.testing import CliRunner

from buildrunner_parallel.cli.options import duration_option
from buildrunner_parallel.cli.plain_values import PlainCommand


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


def _upper(value):
    return value and value.upper()


REQUIRED = object()
X = typer.Option("-x")
FROM_1 = typer.Option("-x", min=1, max=5)
# How the one parameter is declared, and its default.
OPTIONS: dict[str, tuple[Any, Any]] = {
    "text": (Annotated[str, X], "d"),
    "text or nothing": (Annotated[str | None, X], None),
    "optional text": (Annotated[Optional[str], X], None),  # noqa: UP045
    "needed text": (Annotated[str, X], REQUIRED),
    "text with a callback": (Annotated[str | None, typer.Option("-x", callback=_upper)], None),
    "switch": (Annotated[bool, X], False),
    "switch or nothing": (Annotated[bool | None, X], None),
    "number": (Annotated[int, X], 7),
    "number in a range": (Annotated[int | None, FROM_1], None),
    "number with a wrong default": (Annotated[int, FROM_1], 0),
    "fraction": (Annotated[float, X], 1.5),
    "choice": (Annotated[Colour | None, X], None),
    "choice with a default": (Annotated[Colour, X], Colour.RED),
    "choices": (Annotated[list[Colour] | None, X], None),
    "texts": (Annotated[list[str] | None, X], None),
    "duration": (Annotated[float | None, duration_option("-x", "Told.")], None),
    "path": (Annotated[Path | None, typer.Option("-x", exists=True)], None),
}
ARGUMENTS: dict[str, tuple[Any, Any]] = {
    "undescribed text": (str, REQUIRED),
    "needed number": (Annotated[int, typer.Argument(min=1)], REQUIRED),
    "words": (list[str], REQUIRED),
    "words or nothing": (Annotated[list[str] | None, typer.Argument()], None),
    "numbers": (Annotated[list[int] | None, typer.Argument(min=2)], None),
}
VALUES = ["", "a", "red", "RED", "3", "03", "+3", " 3", "0", "-1", "6", "3.0", "1_0", "٣", "true", "10m",
          "1e3", "/", "/none", "9" * 30, "\x00", "é\udcff"]  # fmt: skip
WORDS = [[], *([value] for value in VALUES), ["3", "red"], ["--", "-x"], ["--help"], ["--nothing"]]
GIVEN = [*(["-x", value] for value in VALUES), ["-x"], ["-x", "red", "-x", "blue"], ["-x", "3", "-x", "4"]]


def outcome(kind, declared, arguments):
    annotation, default = declared

    def function(x):
        typer.echo(f"{type(x).__name__} {x!r}")

    function.__annotations__ = {"x": annotation}
    function.__defaults__ = () if default is REQUIRED else (default,)
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(cls=kind)(function)
    result = CliRunner().invoke(app, arguments, prog_name="x")
    return result.exit_code, result.output, repr(result.exception)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_gets_what_typer_gives_it(name):
    for arguments in [*WORDS, *GIVEN]:
        plain, typers = (outcome(kind, OPTIONS[name], arguments) for kind in (PlainCommand, TyperCommand))
        assert plain == typers, arguments


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_argument_gets_what_typer_gives_it(name):
    for arguments in WORDS:
        plain, typers = (outcome(kind, ARGUMENTS[name], arguments) for kind in (PlainCommand, TyperCommand))
        assert plain == typers, arguments
