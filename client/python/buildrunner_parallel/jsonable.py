"""Records as JSON documents: the shape that `--json` promises. Pure functions, no I/O.

States are lower-case words, times RFC 3339 in UTC, bytes text where they are text and base64 where not.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

# Properties that a reader of the document would otherwise compute by hand.
DERIVED = {"Session": ("total_tasks", "progress_percent"), "TaskCounts": ("total", "done")}


def record_to_json(record: Any) -> dict[str, Any]:
    """The JSON object of one record; a task's summary stands among its own fields."""
    document: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        document[field.name] = value_to_json(getattr(record, field.name))
    for name in DERIVED.get(type(record).__name__, ()):
        document[name] = getattr(record, name)
    if isinstance(document.get("summary"), dict) and "task_id" in document["summary"]:
        document = {**document.pop("summary"), **document}
    if isinstance(getattr(record, "data", None), bytes):
        document.pop("data")
        document.update(bytes_to_json(record.data))
    return document


def value_to_json(value: Any) -> Any:
    """Any value of a record: enums, times, bytes, tuples and records within it included."""
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, datetime):
        return time_to_json(value)
    if isinstance(value, bytes):
        return bytes_to_json(value)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: value_to_json(item) for name, item in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(key): value_to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [value_to_json(item) for item in value]
    return record_to_json(value)


def time_to_json(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds where there are any: `2026-11-23T18:59:00.25Z`."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def bytes_to_json(data: bytes) -> dict[str, str]:
    """`{"text": …}` when the bytes are UTF-8, else `{"base64": …}`."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}
