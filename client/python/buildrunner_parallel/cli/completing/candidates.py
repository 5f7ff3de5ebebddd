"""The candidates for one place of a command line, and what a shell must add of its own: files, programs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any

from buildrunner_parallel.cli import schema
from buildrunner_parallel.cli.plain_values import declared_type

from .kinds import SESSIONS_FOR, TASKS_FOR, Kind, kind_of
from .typed import Typed, named, options

if TYPE_CHECKING:
    from .ids import Candidate

VALUES = "values"
FILES = "files"
DIRECTORIES = "directories"
COMMAND = "command"
MOST = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """`kind` is one of the four words above; candidates go with VALUES alone."""

    kind: str = VALUES
    candidates: tuple[Candidate, ...] = ()


def answer(typed: Typed, beginning: str) -> Answer:
    """What could stand at the place `typed`, where `beginning` stands already."""
    if not (typed.is_option or typed.end) and beginning.startswith("-"):
        name, equals, value = beginning.partition("=")
        option = named(typed.command, name) if equals else None
        if option is not None:
            return _prefixed(f"{name}=", _of_parameter(typed, option, value), value)
        return _fitting(_option_names(typed), beginning)
    if hasattr(typed.command, "commands"):
        if typed.is_option:
            return _of_parameter(typed, typed.parameter, beginning)
        return _fitting(_commands(typed.command), beginning)
    return Answer() if typed.parameter is None else _of_parameter(typed, typed.parameter, beginning)


def _prefixed(prefix: str, found: Answer, beginning: str) -> Answer:
    if found.kind != VALUES:
        return found
    candidates = _fitting(found.candidates, beginning).candidates
    return Answer(VALUES, tuple((f"{prefix}{value}", told) for value, told in candidates))


def _fitting(candidates: Iterable[Candidate], beginning: str) -> Answer:
    return Answer(VALUES, tuple(islice((one for one in candidates if one[0].startswith(beginning)), MOST)))


def _commands(group: Any) -> Iterator[Candidate]:
    for name, command in group.commands.items():
        if not command.hidden:
            yield name, command.get_short_help_str(100)


def _option_names(typed: Typed) -> Iterator[Candidate]:
    for option in options(typed.command):
        if option.multiple or option.name not in typed.values:
            for name in (*option.opts, *option.secondary_opts):
                yield name, option.help or ""
    yield "--help", "Show this message and exit."


def _of_parameter(typed: Typed, parameter: Any, beginning: str) -> Answer:
    words = _words(typed.command, parameter)
    if words:
        return _fitting(((word, "") for word in words), beginning)
    kind = kind_of(typed.path, parameter.name)
    if isinstance(kind, dict):
        return _fitting(kind.items(), beginning)
    if kind is Kind.COMMAND or (typed.end and parameter.name == "words"):
        return Answer(COMMAND if typed.end else VALUES)
    if kind is Kind.SCHEMA:
        return _fitting(((name, "") for name in schema.NAMES), beginning)
    if kind is Kind.FILE:
        return Answer(FILES)
    if kind is Kind.DIRECTORY:
        return Answer(DIRECTORIES)
    return (
        Answer()
        if kind is Kind.FREE
        else _fitting(_unused(typed, parameter, _ids(typed, kind, beginning)), beginning)
    )


def _words(command: Any, parameter: Any) -> list[str]:
    """The words that a parameter may be, where they are few."""
    declared = inspect.signature(command.callback, eval_str=True).parameters.get(parameter.name)
    kind = None if declared is None else declared_type(declared.annotation)
    return [one.value for one in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []


def _unused(typed: Typed, parameter: Any, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """Without those that were given already, and those that would be read as options."""
    given = typed.values.get(parameter.name, ())
    return (one for one in candidates if one[0] not in given and (typed.end or not one[0].startswith("-")))


def _ids(typed: Typed, kind: Kind, beginning: str) -> Iterator[Candidate]:
    """Asks the coordinator; raises whatever comes of that."""
    from .ids import coordinator

    asked = coordinator(typed.value("coordinator"), typed.value("token_file"))
    command, session = typed.path[-1], typed.value("session_id") or typed.value("what")
    if kind is Kind.TASK:
        return asked.tasks(session or "last", TASKS_FOR.get(command, ()), beginning)
    if kind is Kind.WORKER:
        return asked.workers()
    if kind is Kind.LOCK:
        return asked.locks()
    if kind is Kind.GRANT:
        return asked.grants(session or "last")
    if kind is Kind.HELD_PATH:
        return asked.held_paths(session or "last")
    return _sessions_and_workers(asked, kind, SESSIONS_FOR.get(command, ()))


def _sessions_and_workers(asked: Any, kind: Kind, states: tuple[str, ...]) -> Iterator[Candidate]:
    yield from asked.sessions(states)
    if kind is Kind.SESSION_OR_WORKER:
        yield from asked.workers()
