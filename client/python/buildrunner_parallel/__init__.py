"""BuildRunner parallel for Python: the client of the coordinator and what is built on it.

Names are loaded when they are first used. Importing this package alone loads neither gRPC nor anything else,
so that `br --help` stays quick and the coordinator can share the stubs in `v1`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # For type checkers, to whom a name that comes through __getattr__ is of no known type.
    from . import errors as errors
    from . import records as records
    from .aio import AsyncClient as AsyncClient
    from .cli.app import parallel_app as parallel_app
    from .client import Client as Client
    from .errors import BuildRunnerError as BuildRunnerError
    from .errors import LockConflictError as LockConflictError
    from .errors import LockLostError as LockLostError
    from .errors import TaskFailedError as TaskFailedError
    from .specs import FailurePolicy as FailurePolicy
    from .specs import PathRequest as PathRequest
    from .specs import Payload as Payload
    from .specs import TaskSpec as TaskSpec
    from .task_results import TaskResult as TaskResult
    from .worker.embedded import EmbeddedWorker as EmbeddedWorker
    from .worker.handler_context import HandlerContext as HandlerContext
    from .worker.handlers import handler as handler

# Public name -> the module below this package that defines it.
_EXPORTS = {
    "AsyncClient": "aio",
    "BuildRunnerError": "errors",
    "Client": "client",
    "EmbeddedWorker": "worker.embedded",
    "FailurePolicy": "specs",
    "HandlerContext": "worker.handler_context",
    "LockConflictError": "errors",
    "LockLostError": "errors",
    "PathRequest": "specs",
    "Payload": "specs",
    "TaskFailedError": "errors",
    "TaskResult": "task_results",
    "TaskSpec": "specs",
    "handler": "worker.handlers",
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
