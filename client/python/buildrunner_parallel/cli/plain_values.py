"""Values that need no conversion, or a trivial one, are taken here; all others are left to typer.

Typer loads pydantic to convert anything at all, even an option that was not given, and that takes longer than
all else of a short command. What is taken here comes out as typer would give it; whatever is in doubt, and
all that is wrong, goes to typer, which has the words for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_origin

from typer.core import TyperCommand

Read = Callable[[Any], Any]
"""Gives a value in its declared type; raises ValueError when it is not plain."""


class TakesPlainValues:
    """Mixed into a command or group of typer: plain values are taken as they are."""

    params: list[Any]
    callback: Callable[..., Any] | None

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        declared = inspect.signature(self.callback, eval_str=True).parameters if self.callback else {}
        for parameter in self.params:
            if parameter.name in declared:
                _take_plainly(parameter, reader(declared[parameter.name].annotation))

    def get_help_option(self, ctx: Any) -> Any:
        """The option `--help`, which typer adds itself."""
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None and "process_value" not in vars(option):
            _take_plainly(option, _switch)
        return option


class PlainCommand(TakesPlainValues, TyperCommand):
    """A command that takes plain values as they are."""


def _take_plainly(parameter: Any, read: Read) -> None:
    leave_to_typer = parameter.process_value
    takes_several = parameter.multiple or parameter.nargs == -1

    def process_value(ctx: Any, value: Any) -> Any:
        if value is None or value in ((), []):
            if parameter.required and not ctx.resilient_parsing:
                return leave_to_typer(ctx, value)
            plain = () if takes_several else None
        else:
            try:
                plain = tuple(map(read, value)) if takes_several else read(value)
            except ValueError:
                return leave_to_typer(ctx, value)
        return plain if parameter.callback is None else parameter.callback(ctx, parameter, plain)

    # Should a later typer call this by another name, it is only as slow as it was.
    parameter.process_value = process_value


def reader(annotation: Any) -> Read:
    """What takes the values of a parameter that is declared so, each of them where it takes several."""
    declared = declared_type(annotation)
    info = annotation.__metadata__[0] if hasattr(annotation, "__metadata__") else None
    parser = getattr(info, "parser", None)
    if parser is not None:
        return parser  # type: ignore[no-any-return]
    if declared is str:
        return _text
    if declared is bool:
        return _switch
    if declared is int:
        return _number_reader(getattr(info, "min", None), getattr(info, "max", None))
    if isinstance(declared, type) and issubclass(declared, Enum):
        return declared
    return _nothing


def declared_type(annotation: Any) -> Any:
    """The type of a parameter's value, of each of them where it takes several."""
    declared = annotation.__origin__ if hasattr(annotation, "__metadata__") else annotation
    if NoneType in get_args(declared):
        declared = get_args(declared)[0]
    return get_args(declared)[0] if get_origin(declared) is list else declared


def _nothing(value: Any) -> Any:
    raise ValueError


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError
    return value


def _switch(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError
    return value


def _number_reader(least: float | None, most: float | None) -> Read:
    def number(value: Any) -> int:
        if type(value) is str and value.isascii() and value.isdecimal():
            value = int(value)
        if (
            type(value) is not int
            or (least is not None and value < least)
            or (most is not None and value > most)
        ):
            raise ValueError
        return value

    return number
