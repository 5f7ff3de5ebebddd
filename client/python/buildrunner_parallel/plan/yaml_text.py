"""YAML text to plain values, event by event: no recursion, no object tags, no surprises of YAML 1.1.

Only `true` and `false` are booleans, so `audit: on` and `env: {A: no}` mean what they say. Duplicate keys,
tags of any application, self-containing aliases and alias bombs are refused. Knows nothing of plans.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from .errors import Path, Problem

MAX_DEPTH = 100
MAX_ALIASED_ITEMS = 2_000_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset((_TAG + "str", "!"))
_PLAIN_TAGS = frozenset(_TAG + name for name in ("int", "float", "bool", "null", "map", "seq"))
_CONSTANTS: dict[str, object] = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
}  # fmt: skip
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]{1,3})?|[eE][-+]?[0-9]{1,3})")


class YamlError(Exception):
    """A fault in the text; carries the `Problem`."""

    def __init__(self, message: str, line: int | None, path: Path = ()) -> None:
        super().__init__(message)
        self.problem = Problem(path, message, line)


@dataclass(slots=True)
class _Frame:
    """A collection that is being read: a mapping when `values` is a dict."""

    values: Any
    anchor: str | None
    key: Any = None
    has_key: bool = False
    merges: list[Any] = field(default_factory=list)
    size: int = 1
    lines: dict[str | int, int] = field(default_factory=dict)


def plain_value(text: str) -> object:
    """The value of an unquoted scalar: a whole or decimal number, true, false, nothing, or text.

    Numbers count only in the form that they would be printed in; `010`, `1:30` and `1_000` are text.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


class YamlReader:
    """Reads one document. With `with_lines`, `line_of` then answers for every path."""

    def __init__(self, with_lines: bool = False) -> None:
        self._with_lines = with_lines
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._plain: dict[str, object] = {}
        self._aliased_items = 0
        self._lines: dict[int, dict[str | int, int]] = {}
        self._documents = 0
        self.root: Any = None

    def read(self, text: str) -> Any:
        """The document's value. Raises YamlError with the line (1-based) of the fault."""
        try:
            loader = _LOADER(text)
            while True:
                event = loader.get_event()
                if event is None or isinstance(event, yaml.StreamEndEvent):
                    return self.root
                self._take(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = error.problem or error.context or "cannot be read"
            # At the end of the text the mark is on a line that is not there any more.
            last = text.rstrip().count("\n") + 1
            raise YamlError(f"not valid YAML: {what}", min(mark.line + 1, last) if mark else None) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else None
            raise YamlError(f"not valid YAML: {error.reason}", line) from None

    def line_of(self, path: Path) -> int | None:
        """The line (1-based) of the deepest part of `path` that the text has."""
        value: Any = self.root
        line = self._lines.get(0, {}).get("", None)
        for part in path:
            found = self._lines.get(id(value), {}).get(part)
            if found is None:
                break
            line, value = found, value[part]
        return line

    def _take(self, event: Any) -> None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._put(self._scalar(event), 1, event, event.anchor)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self._open(event)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self._close(event)
        elif kind is yaml.AliasEvent:
            self._alias(event)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                raise self._fault(event, "expected one document, found a second (after ---)")

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.tag is not None and event.tag not in _PLAIN_TAGS:
            if event.tag not in _TEXT_TAGS:
                raise self._fault(event, f"expected plain YAML, found the tag {event.tag}")
            return text
        if event.tag is None and not event.implicit[0]:
            return text
        known = self._plain
        if text not in known:
            known[text] = plain_value(text)
        return known[text]

    def _open(self, event: Any) -> None:
        if event.tag is not None and event.tag not in _PLAIN_TAGS:
            raise self._fault(event, f"expected plain YAML, found the tag {event.tag}")
        if len(self._stack) >= MAX_DEPTH:
            raise self._fault(event, f"nested more than {MAX_DEPTH} levels deep")
        values: Any = {} if type(event) is yaml.MappingStartEvent else []
        if self._stack:
            self._note_line(self._stack[-1], event)
        self._stack.append(_Frame(values, event.anchor))
        if event.anchor:
            self._anchors.pop(event.anchor, None)

    def _close(self, event: Any) -> None:
        frame = self._stack.pop()
        for merged in frame.merges:
            self._merge(frame, merged, event)
        if self._with_lines:
            self._lines[id(frame.values)] = frame.lines
        self._put(frame.values, frame.size, event, frame.anchor)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            held = any(frame.anchor == event.anchor for frame in self._stack)
            raise self._fault(
                event, f"the alias *{event.anchor} " + ("contains itself" if held else "is not defined")
            )
        value, size = self._anchors[event.anchor]
        self._aliased_items += size
        if self._aliased_items > MAX_ALIASED_ITEMS:
            raise self._fault(event, f"aliases expand to more than {MAX_ALIASED_ITEMS:,} items")
        self._put(value, size, event, None)

    def _put(self, value: Any, size: int, event: Any, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = (value, size)
        if not self._stack:
            self.root = value
            self._lines.setdefault(0, {})[""] = 1
            return
        frame = self._stack[-1]
        frame.size += size
        if isinstance(frame.values, list):
            self._note_line(frame, event)
            frame.values.append(value)
        elif frame.has_key:
            self._put_in_mapping(frame, value, event)
        else:
            self._put_key(frame, value, event)

    def _put_key(self, frame: _Frame, key: Any, event: Any) -> None:
        if not isinstance(key, str):
            raise self._fault(event, "expected a key that is text (put it in quotes)")
        if key in frame.values or (key == "<<" and frame.merges):
            raise self._fault(event, f'the key "{key}" is there twice', key)
        frame.key, frame.has_key = key, True
        if self._with_lines:
            frame.lines[key] = event.start_mark.line + 1

    def _put_in_mapping(self, frame: _Frame, value: Any, event: Any) -> None:
        frame.has_key = False
        if frame.key != "<<":
            frame.values[frame.key] = value
            return
        frame.merges = value if isinstance(value, list) else [value]
        if not frame.merges:
            raise self._fault(event, "expected a mapping, or a list of them, after <<")

    def _merge(self, frame: _Frame, merged: Any, event: Any) -> None:
        if not isinstance(merged, dict):
            raise self._fault(event, "expected a mapping, or a list of them, after <<")
        for key, value in merged.items():
            frame.values.setdefault(key, value)
            if self._with_lines and "<<" in frame.lines:
                frame.lines.setdefault(key, frame.lines["<<"])

    def _note_line(self, frame: _Frame, event: Any) -> None:
        if self._with_lines and isinstance(frame.values, list):
            frame.lines.setdefault(len(frame.values), event.start_mark.line + 1)

    def _fault(self, event: Any, message: str, *key: str) -> YamlError:
        path: list[str | int] = []
        for frame in self._stack:
            if isinstance(frame.values, list):
                path.append(len(frame.values))
            elif frame.has_key:
                path.append(frame.key)
        return YamlError(message, event.start_mark.line + 1, (*path, *key))
