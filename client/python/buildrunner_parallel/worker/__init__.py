"""What runs tasks: the worker program, its supervisor process and its handler hosts.

Public names are loaded when they are first used: the supervisor process starts without paying for gRPC.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .embedded import EmbeddedWorker, EmbeddedWorkerError
    from .handler_context import HandlerContext
    from .handlers import HandlerLoadError, handler

_EXPORTS = {
    "EmbeddedWorker": "embedded",
    "EmbeddedWorkerError": "embedded",
    "HandlerContext": "handler_context",
    "HandlerLoadError": "handlers",
    "handler": "handlers",
}

__all__ = ["EmbeddedWorker", "EmbeddedWorkerError", "HandlerContext", "HandlerLoadError", "handler"]


def __getattr__(name: str) -> Any:
    """Loads a public name; raises AttributeError for any other."""
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
