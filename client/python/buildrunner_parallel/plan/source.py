"""From a file's bytes to plain values and back to their lines: YAML, JSON and TOML, told by the ending.

Knows formats and sizes, nothing of what a plan contains.
"""

from __future__ import annotations

import functools
import json
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, BinaryIO, NoReturn

from .errors import Path, PlanError, Problem
from .toml_lines import TomlLines, located_fault
from .yaml_text import YamlError, YamlReader

MAX_SIZE_BYTES = 64 * 1024 * 1024
STDIN = "-"
STDIN_NAME = "<stdin>"


@dataclass(frozen=True)
class Document:
    """What a plan file holds, and where."""

    source: str
    value: Any
    line_of: Callable[[Path], int | None]

    def refuse(self, problems: list[Problem]) -> NoReturn:
        """Raise the PlanError for `problems` (at least one), their lines filled in."""
        raise PlanError(
            self.source,
            [
                Problem(p.path, p.message, p.line if p.line is not None else self.line_of(p.path))
                for p in problems
            ],
        )


def read_document(location: str, stdin: BinaryIO | None = None) -> Document:
    """The document at `location`, a file name or `-` (YAML on `stdin`, default the program's own).

    Raises PlanError for a file that cannot be read, is larger than 64 MiB, is not UTF-8, has an unknown
    ending or is malformed.
    """
    source = STDIN_NAME if location == STDIN else location
    reader = _reader(source, location)
    text = _text(source, _bytes(source, location, stdin))
    return reader(source, text)


def _reader(source: str, location: str) -> Callable[[str, str], Document]:
    ending = ".yaml" if location == STDIN else FilePath(location).suffix.lower()
    if ending not in _READERS:
        found = f"the ending {ending}" if ending else "no ending"
        raise PlanError(
            source, [Problem((), f"expected a file ending in .yaml, .yml, .json or .toml, found {found}")]
        )
    return _READERS[ending]


def _bytes(source: str, location: str, stdin: BinaryIO | None) -> bytes:
    try:
        if location == STDIN:
            data = (stdin or sys.stdin.buffer).read(MAX_SIZE_BYTES + 1)
        else:
            with FilePath(location).open("rb") as file:
                data = file.read(MAX_SIZE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PlanError(source, [Problem((), f"cannot be read: {reason}")]) from None
    if len(data) > MAX_SIZE_BYTES:
        raise PlanError(source, [Problem((), "is larger than 64 MiB; split it, or submit it in parts")])
    return data


def _text(source: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PlanError(
            source, [Problem((), f"expected UTF-8, found byte 0x{data[error.start]:02x}", line)]
        ) from None


def _read_yaml(source: str, text: str) -> Document:
    try:
        value = YamlReader().read(text)
    except YamlError as error:
        raise PlanError(source, [error.problem]) from None
    return Document(source, value, _yaml_lines(text))


def _yaml_lines(text: str) -> Callable[[Path], int | None]:
    """Looks lines up by a second reading, made when the first one is asked for: only faulty plans pay."""
    reader: list[YamlReader] = []

    def line_of(path: Path) -> int | None:
        if not reader:
            second = YamlReader(with_lines=True)
            try:
                second.read(text)
            except YamlError:
                # JSON is read with this too, and not every JSON text is YAML: then there are no lines.
                return None
            reader.append(second)
        return reader[0].line_of(path)

    return line_of


class _DuplicateKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        raise _DuplicateKeyError(next(name for name in names if names.count(name) > 1))
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"expected a number, found {name}")


def _read_json(source: str, text: str) -> Document:
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        problem = Problem((), f"not valid JSON: {error.msg} at column {error.colno}", error.lineno)
        raise PlanError(source, [problem]) from None
    except _DuplicateKeyError as error:
        raise PlanError(source, [_duplicate_in_json(text, str(error))]) from None
    except RecursionError:
        raise PlanError(source, [Problem((), "nested too deep")]) from None
    except ValueError as error:
        raise PlanError(source, [Problem((), f"not valid JSON: {error}")]) from None
    return Document(source, value, _yaml_lines(text))


def _duplicate_in_json(text: str, key: str) -> Problem:
    try:
        YamlReader().read(text)
    except YamlError as error:
        if "twice" in error.problem.message:
            return error.problem
    return Problem((), f'the key "{key}" is there twice')


def _read_toml(source: str, text: str) -> Document:
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        fault, line = located_fault(str(error))
        raise PlanError(source, [Problem((), f"not valid TOML: {fault}", line)]) from None
    except RecursionError:
        raise PlanError(source, [Problem((), "nested too deep")]) from None
    return Document(source, value, _toml_lines(text))


def _toml_lines(text: str) -> Callable[[Path], int | None]:
    """Only faulty plans pay for the second look."""
    lines = functools.cache(lambda: TomlLines(text))
    return lambda path: lines().line_of(path)


_READERS: dict[str, Callable[[str, str], Document]] = {
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".json": _read_json,
    ".toml": _read_toml,
}
