"""Which line of a TOML text a key stands on; the standard library's reader does not tell.

For texts that have been read already, so only what tells keys from values is looked at. Knows nothing of
plans.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .errors import Path

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|\n|[\[\]{}]|'
    r'[^"\'#\n\[\]{}]+|.',
    re.DOTALL,
)
_NAME = re.compile(r"""\s*(?:"((?:\\.|[^"\\])*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(\.?)""")
_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", re.DOTALL)


class TomlLines:
    """Looks lines up by path."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        table: Path = ()
        for line, statement in _statements(text):
            if statement.startswith("["):
                table = self._open(statement)
                self._note(table, line)
            else:
                self._note(self._within(table, _names(statement)), line)

    def line_of(self, path: Path) -> int | None:
        """The line (1-based) of the deepest part of `path` that has a key or a heading of its own."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._lines:
                return self._lines[path[:length]]
        return None

    def _open(self, statement: str) -> Path:
        """The table that a heading begins; `[[tasks]]` is one more entry of a list."""
        is_entry = statement.startswith("[[")
        names = _names(statement.lstrip("["))
        if not is_entry:
            return self._within((), names)
        path = (*self._within((), names[:-1]), names[-1])
        self._counts[path] = self._counts.get(path, 0) + 1
        return (*path, self._counts[path] - 1)

    def _within(self, path: Path, names: list[str]) -> Path:
        """`names` below `path`; a list on the way means its last entry."""
        for name in names:
            path = (*path, name)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        return path

    def _note(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], line)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each heading and each `key = value`, whole, with the line it begins on."""
    line, begin, depth = 1, 1, 0
    parts: list[str] = []
    for match in _TOKEN.finditer(text):
        token = match.group()
        depth += (token in ("[", "{")) - (token in ("]", "}"))
        if token == "\n" and not depth:
            if parts:
                yield begin, "".join(parts).strip()
            parts = []
        elif not token.startswith("#") and (parts or token.strip()):
            begin = begin if parts else line + token[: len(token) - len(token.lstrip())].count("\n")
            parts.append(token)
        line += token.count("\n")
    if parts:
        yield begin, "".join(parts).strip()


def _names(text: str) -> list[str]:
    """The parts of a dotted key at the begin of `text`."""
    names: list[str] = []
    position = 0
    while match := _NAME.match(text, position):
        names.append(next(part for part in match.groups()[:3] if part is not None))
        position = match.end()
        if not match.group(4):
            break
    return names


def located_fault(message: str) -> tuple[str, int | None]:
    """A reader's `Invalid value (at line 4, column 7)` taken apart: what, and its line."""
    match = _PLACE.fullmatch(message)
    if match is None or match.group(2) is None:
        return message, None
    return match.group(1), int(match.group(2))
