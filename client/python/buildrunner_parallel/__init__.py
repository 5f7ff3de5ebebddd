"""BuildRunner parallel for Python: the client of the coordinator and what is built on it.

Names are loaded when they are first used. Importing this package alone loads neither gRPC nor anything else,
so that `br --help` stays quick and the coordinator can share the stubs in `v1`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Public name -> the module below this package that defines it.
_EXPORTS = {
    "AsyncClient": "aio",
    "BuildRunnerError": "errors",
    "Client": "client",
    "FailurePolicy": "specs",
    "PathRequest": "specs",
    "Payload": "specs",
    "TaskFailedError": "errors",
    "TaskResult": "task_results",
    "TaskSpec": "specs",
    "parallel_app": "cli.app",
}
# Modules that are public as such.
_MODULES = ("errors", "records")

__all__ = [*_EXPORTS, *_MODULES]


def __getattr__(name: str) -> Any:
    """Loads a public name; raises AttributeError for any other."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
