"""The plan file: loaded, validated, resolved into plain frozen records. No gRPC, no coordinator."""

from __future__ import annotations

from .errors import PlanError, Problem
from .load import load_plan
from .model import FailurePolicy, Plan, PlanFile, PlanTask

__all__ = ["FailurePolicy", "Plan", "PlanError", "PlanFile", "PlanTask", "Problem", "load_plan"]
