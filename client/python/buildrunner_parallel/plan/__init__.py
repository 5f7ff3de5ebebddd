"""The plan file: loaded, validated, resolved into plain frozen records. No gRPC, no coordinator.

What reads files is loaded when it is first used: commands that make one task by hand need the records only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import PlanError, Problem
from .model import FailurePolicy, Plan, PlanFile, PlanTask

if TYPE_CHECKING:
    from .load import load_plan

__all__ = ["FailurePolicy", "Plan", "PlanError", "PlanFile", "PlanTask", "Problem", "load_plan"]


def __getattr__(name: str) -> Any:
    """Loads `load_plan`; raises AttributeError for any other name."""
    if name != "load_plan":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .load import load_plan

    return load_plan
