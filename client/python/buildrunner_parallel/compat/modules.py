"""`core.parallel` and `core.orchestrator` for programs that import them; never installed as files."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

PARALLEL = "core.parallel"
ORCHESTRATOR = "core.orchestrator"


def install() -> None:
    """From now on `import core.parallel` gives these classes. A package `core` of the program's own stays
    what it is, and so does an Orchestrator that it has. Calling it again changes nothing."""
    compat = importlib.import_module(__package__ or "buildrunner_parallel.compat")
    # Before `core` is imported, which may itself import it.
    parallel = _module(PARALLEL, "Sessions, workers and a dashboard, kept by a coordinator.")
    for name in compat.__all__:
        if name not in ("install", "Orchestrator"):
            setattr(parallel, name, getattr(compat, name))
    parallel.__all__ = [name for name in compat.__all__ if hasattr(parallel, name)]  # type: ignore[attr-defined]
    core = _imported("core")
    if core is None:
        core = _module("core", "A place for core.parallel.")
        core.__path__ = []
    core.parallel = parallel  # type: ignore[attr-defined]
    orchestrator = _imported(ORCHESTRATOR)
    if orchestrator is None:
        orchestrator = _module(ORCHESTRATOR, "Running batches as tasks.")
        core.orchestrator = orchestrator  # type: ignore[attr-defined]
    if not hasattr(orchestrator, "Orchestrator"):
        orchestrator.Orchestrator = compat.Orchestrator  # type: ignore[attr-defined]


def _module(name: str, doc: str) -> ModuleType:
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__buildrunner_parallel__", False):
        return known
    made = ModuleType(name, doc)
    made.__buildrunner_parallel__ = True  # type: ignore[attr-defined]
    sys.modules[name] = made
    return made


def _imported(name: str) -> ModuleType | None:
    """The program's own module; None when it has none. What goes wrong inside of it is not hidden."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            return None
        raise
