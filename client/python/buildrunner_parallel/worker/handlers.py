"""Python functions that tasks can name: how they are registered, what they get, what becomes of their result.

    from buildrunner_parallel.worker import HandlerContext, handler

    @handler("thumbnail")
    def make_thumbnail(context: HandlerContext, source: str, width: int = 200) -> bytes: ...

docs/handlers.md is the guide. Handlers run in handler hosts only, never in the worker's runtime; finding and
loading their modules is in handler_modules.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from buildrunner_parallel.errors import BuildRunnerError
from buildrunner_parallel.specs import Payload

from .handler_context import HandlerContext, wire_text

OCTETS = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
NO_OPERATION = "br.noop"
RESULT_LIMIT_BYTES = 1 << 20

_RESERVED_PREFIX = "br."
_LONGEST_NAME_BYTES = 256

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


class HandlerLoadError(BuildRunnerError):
    """A handler cannot be registered, or its module cannot be imported; the message is one line."""


class Handler(NamedTuple):
    """A registered function; `wants_arguments` when it takes more than its context."""

    function: Callable[..., object]
    wants_arguments: bool

    def call(self, context: HandlerContext) -> object:
        """What the function returns, an awaitable if it is an async one; raises whatever it raises."""
        if not self.wants_arguments:
            return self.function(context)
        arguments = context.json() if context.payload else {}
        if not isinstance(arguments, dict):
            raise TypeError("the payload must be a JSON object, for this handler takes arguments by name")
        return self.function(context, **arguments)


_registry: dict[str, Handler] = {}


def handler(name: str) -> Callable[[FunctionT], FunctionT]:
    """Registers the decorated function, `def` or `async def`, under `name` (at most 256 bytes).

    It is called with a HandlerContext. Further parameters are filled by name from the payload, which must be
    a JSON object then. What it returns becomes the task's result: nothing for None, bytes as they are, text
    as UTF-8, a Payload with its own media type, anything else as JSON. An exception fails the task. Raises
    HandlerLoadError for a name that is taken or reserved, and for a function that takes no context.
    """
    if not name or len(name.encode()) > _LONGEST_NAME_BYTES:
        raise HandlerLoadError(f"a handler's name has 1 to {_LONGEST_NAME_BYTES} bytes, not {name[:40]!r}")
    if name.startswith(_RESERVED_PREFIX):
        raise HandlerLoadError(f"{name!r} is no name for a handler: {_RESERVED_PREFIX}* is reserved")

    def register(function: FunctionT) -> FunctionT:
        _register(name, function)
        return function

    return register


def _register(name: str, function: Callable[..., object]) -> None:
    entry = Handler(function, _wants_arguments(name, function))
    present = _registry.setdefault(name, entry)
    if _identity(present.function) != _identity(function):
        raise HandlerLoadError(f"two handlers are named {name!r}")
    _registry[name] = entry


def _identity(function: Callable[..., object]) -> tuple[str, str]:
    """The same when a module is imported again."""
    return function.__module__, getattr(function, "__qualname__", repr(function))


def _wants_arguments(name: str, function: Callable[..., object]) -> bool:
    parameters = list(inspect.signature(function).parameters.values())
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    if not parameters or parameters[0].kind not in positional:
        raise HandlerLoadError(f"the handler {name!r} must take a context as its first parameter")
    return len(parameters) > 1


def registered() -> dict[str, Handler]:
    """All handlers of this process by name."""
    return dict(_registry)


def check_expected(expected: Iterable[str], found: Iterable[str]) -> None:
    """Raises HandlerLoadError when a program has handlers that its modules, loaded elsewhere, have not: tasks
    for these would wait for ever."""
    if missing := sorted(set(expected).difference(found)):
        names = ", ".join(map(repr, missing[:5]))
        raise HandlerLoadError(
            f"cannot load handlers: no other process can find {names}; define them at the top of a module, "
            'not within a function, nor below if __name__ == "__main__":'
        )


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
    if isinstance(value, Payload):
        return bytes(value.data), wire_text(value.content_type or OCTETS)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value), OCTETS
    if isinstance(value, str):
        return value.encode(), TEXT
    return json.dumps(value).encode(), JSON


def describe(error: BaseException) -> str:
    """One line, as the last one of a traceback."""
    try:
        text = wire_text(" ".join(str(error).split()))
    except Exception as trouble:
        # an error that cannot say what it is has failed its task all the same
        text = f"<no text: its __str__ raised {type(trouble).__name__}>"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def no_operation(_context: HandlerContext) -> Any:
    """Does nothing, for measurements of everything around it."""


_register(NO_OPERATION, no_operation)
