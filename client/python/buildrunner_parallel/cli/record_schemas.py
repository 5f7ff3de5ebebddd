"""JSON Schemas of records, read from the records themselves: the shape that `record_to_json` gives them.

Pure. Fields that a later version adds are allowed, since that is what the interface promises.
"""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import NoneType, UnionType
from typing import Any

from buildrunner_parallel import records
from buildrunner_parallel.enums import UNKNOWN, WireEnum
from buildrunner_parallel.jsonable import DERIVED

Schema = dict[str, Any]

TIME: Schema = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$",
    "description": "RFC 3339, in UTC.",
}
TEXT: Schema = {"type": "string", "description": "The bytes, where they are UTF-8."}
BASE64: Schema = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "The bytes, where they are not.",
}

_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    datetime: TIME,
    Any: {},
}
_DERIVED: Schema = {
    "total_tasks": {"type": "integer"},
    "progress_percent": {"type": "number", "minimum": 0, "maximum": 100},
    "total": {"type": "integer"},
    "done": {"type": "integer"},
}


class RecordSchemas:
    """Schemas of records for one document; what they refer to gathers in `definitions`."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}

    def reference(self, kind: type[Any]) -> Schema:
        """A reference to the schema of a record, which is defined if it is not yet."""
        name = kind.__name__
        if name not in self.definitions:
            # Put there before it is whole, in case that it refers to itself.
            self.definitions[name] = {}
            self.definitions[name] = self._record(kind)
        return {"$ref": f"#/$defs/{name}"}

    def _record(self, kind: type[Any]) -> Schema:
        properties = dict(self._properties(kind))
        required = [name for name in properties if name not in ("text", "base64")]
        schema: Schema = {"type": "object"}
        if said := _sentence(kind):
            schema["description"] = said
        schema |= {"required": required, "properties": properties}
        if "base64" in properties:
            schema["oneOf"] = [{"required": ["text"]}, {"required": ["base64"]}]
        return schema

    def _properties(self, kind: type[Any]) -> Iterator[tuple[str, Schema]]:
        for name, declared in typing.get_type_hints(kind).items():
            if name not in _field_names(kind):
                continue
            if name == "data" and declared is bytes:
                yield from (("text", TEXT), ("base64", BASE64))
            elif name == "summary" and declared is records.TaskSummary:
                # A task's summary stands among its own fields.
                yield from self._properties(records.TaskSummary)
            else:
                yield name, self.of_type(declared)
        yield from ((name, _DERIVED[name]) for name in DERIVED.get(kind.__name__, ()))

    def of_type(self, declared: Any) -> Schema:
        """The schema of a value that is declared so."""
        if declared in _PLAIN:
            return _PLAIN[declared]
        origin, arguments = typing.get_origin(declared), typing.get_args(declared)
        if origin in (typing.Union, UnionType):
            (one,) = (part for part in arguments if part is not NoneType)
            return or_null(self.of_type(one))
        if origin in (tuple, list, Sequence):
            return {"type": "array", "items": self.of_type(arguments[0])}
        if origin in (dict, Mapping):
            return {"type": "object", "additionalProperties": self.of_type(arguments[1])}
        if isinstance(declared, type) and issubclass(declared, enum.Enum):
            return words(declared)
        return self.reference(declared)


def words(kind: type[enum.Enum]) -> Schema:
    """The words of an enum; a newer coordinator may have one that this program does not know."""
    known = [member.value for member in kind]
    return {"enum": [*known, UNKNOWN] if issubclass(kind, WireEnum) else known}


def or_null(schema: Schema) -> Schema:
    """The schema, or nothing yet."""
    return {"anyOf": [schema, {"type": "null"}]}


def _field_names(kind: type[Any]) -> frozenset[str]:
    if dataclasses.is_dataclass(kind):
        return frozenset(field.name for field in dataclasses.fields(kind))
    return frozenset(kind._fields)


def _sentence(kind: type[Any]) -> str:
    """The first paragraph of what the record says of itself, without the marks of Python's documentation."""
    text = (kind.__doc__ or "").strip().partition("\n\n")[0]
    return " ".join(text.replace("`", "").split())
