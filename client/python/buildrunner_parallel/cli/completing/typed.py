"""What a command line means up to the word that is being completed. Pure: words in, a place out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

END_OF_OPTIONS = "--"


@dataclass(slots=True)
class Typed:
    """The place of the next word.

    `path` are the names of the commands that lead there, `values` what was given for parameters on the way,
    `parameter` is the option whose value comes next, else the argument that does, else None. `end` counts the
    words up to the `--` that ends the options, with it; 0 without one.
    """

    command: Any
    path: list[str] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)
    parameter: Any = None
    is_option: bool = False
    end: int = 0

    def value(self, name: str) -> str:
        """The last value that was given for a parameter; empty without one."""
        return self.values.get(name, [""])[-1]


def understand(group: Any, words: Sequence[str]) -> Typed | None:
    """Where the word behind `words` stands; None behind a command that there is not."""
    typed = Typed(group)
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if typed.is_option:
            _give(typed, typed.parameter, word)
            typed.parameter, typed.is_option = None, False
        elif word == END_OF_OPTIONS and not typed.end:
            typed.end = at
        elif word.startswith("-") and len(word) > 1 and not typed.end:
            _take_option(typed, word)
        elif not hasattr(typed.command, "commands"):
            _give(typed, _argument(typed), word)
        elif word in typed.command.commands:
            typed.command = typed.command.commands[word]
            typed.path.append(word)
            typed.end = 0
        else:
            return None
    if not typed.is_option:
        typed.parameter = _argument(typed)
    return typed


def options(command: Any) -> Iterable[Any]:
    """The options of a command that people are told of, but `--help`."""
    return (one for one in command.params if one.param_type_name == "option" and not one.hidden)


def named(command: Any, name: str) -> Any:
    """The option that is called so; None when there is none."""
    return next((one for one in options(command) if name in (*one.opts, *one.secondary_opts)), None)


def takes_value(option: Any) -> bool:
    """Whether the next word is its value for sure: not for switches, nor where the value may be left out."""
    return not option.is_flag and not (option.metavar or "").startswith("[")


def _take_option(typed: Typed, word: str) -> None:
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        option = named(typed.command, name)
        if option is not None and equals:
            _give(typed, option, value)
        else:
            _expect(typed, option)
        return
    for at, letter in enumerate(word[1:], 2):
        option = named(typed.command, f"-{letter}")
        if option is None:
            return
        if takes_value(option) and word[at:]:
            _give(typed, option, word[at:])
            return
        _expect(typed, option)


def _expect(typed: Typed, option: Any) -> None:
    if option is None:
        return
    if takes_value(option):
        typed.parameter, typed.is_option = option, True
    else:
        typed.values.setdefault(option.name, [])


def _give(typed: Typed, parameter: Any, value: str) -> None:
    if parameter is not None:
        typed.values.setdefault(parameter.name, []).append(value)


def _argument(typed: Typed) -> Any:
    """The argument that the next word would be: the first that has no value yet, or takes any number."""
    for one in typed.command.params:
        if one.param_type_name == "argument" and (one.nargs == -1 or one.name not in typed.values):
            return one
    return None
