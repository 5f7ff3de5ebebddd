"""Python functions that tasks can name: how users register them, and how they are found.

    from buildrunner_parallel.worker.handlers import HandlerCall, handler

    @handler("thumbnails")
    def make_thumbnail(call: HandlerCall) -> bytes: ...

The module is named with `--handlers MODULE`. It is imported by handler hosts only, never by the worker's
runtime.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

OCTETS = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
NO_OPERATION = "br.noop"
RESULT_LIMIT_BYTES = 1 << 20


class Result(NamedTuple):
    """Bytes with a media type of the handler's own choice."""

    data: bytes
    content_type: str = OCTETS


class HandlerCall(NamedTuple):
    """One task, as its handler sees it. `report_progress(percent, message)` takes 0 to 100 and one line."""

    payload: bytes
    content_type: str
    session_id: str
    session_name: str
    task_id: str
    attempt: int
    fence: int
    environment: Mapping[str, str]
    report_progress: Callable[[float, str], None]

    def json(self) -> Any:
        """The payload, parsed; raises ValueError when it is not JSON."""
        return json.loads(self.payload)


Handler = Callable[[HandlerCall], object]

_registry: dict[str, Handler] = {}


class HandlerLoadError(Exception):
    """A handler module cannot be imported, or two handlers have one name."""


def handler(name: str) -> Callable[[Handler], Handler]:
    """Registers the decorated function under `name`.

    What it returns becomes the task's result: nothing for None, bytes as they are, text as UTF-8, a Result
    with its own media type, anything else as JSON. An exception fails the task. Raises HandlerLoadError for
    a name that another function has already.
    """

    def register(function: Handler) -> Handler:
        present = _registry.setdefault(name, function)
        if (present.__module__, present.__qualname__) != (function.__module__, function.__qualname__):
            raise HandlerLoadError(f"two handlers are named {name!r}")
        _registry[name] = function
        return function

    return register


def load(modules: Iterable[str]) -> dict[str, Handler]:
    """Imports the modules and returns all handlers by name; raises HandlerLoadError with one line."""
    for module in modules:
        try:
            importlib.import_module(module)
        except HandlerLoadError:
            raise
        except Exception as error:  # whatever user code raises while it is imported is its load error
            raise HandlerLoadError(f"cannot load handlers from {module!r}: {describe(error)}") from error
    return dict(_registry)


def to_result(value: object) -> tuple[bytes | None, str]:
    """Bytes and media type of what a handler returned.

    Raises TypeError when it cannot be JSON, ValueError when it is larger than RESULT_LIMIT_BYTES.
    """
    if value is None:
        return None, ""
    data, content_type = _encoded(value)
    if len(data) > RESULT_LIMIT_BYTES:
        raise ValueError(f"a result of {len(data)} bytes is larger than {RESULT_LIMIT_BYTES}")
    return data, content_type


def _encoded(value: object) -> tuple[bytes, str]:
    if isinstance(value, Result):
        return bytes(value.data), value.content_type
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value), OCTETS
    if isinstance(value, str):
        return value.encode(), TEXT
    return json.dumps(value).encode(), JSON


def describe(error: BaseException) -> str:
    """One line, as the last one of a traceback."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@handler(NO_OPERATION)
def no_operation(call: HandlerCall) -> None:
    """Does nothing, for measurements of everything around it."""
