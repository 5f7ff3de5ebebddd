"""Runs the schema over a document and says in our own words what did not fit."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError

from .errors import Path, Problem, describe
from .schema import FileSpec, Options, PlanSpec, TaskSpec

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def validate(value: Any) -> tuple[PlanSpec | None, list[Problem]]:
    """The plan's form if `value` has it, else the problems."""
    if not isinstance(value, dict):
        return None, [Problem((), f"expected a plan with a list of tasks, found {describe(value)}")]
    try:
        return PlanSpec.model_validate(value), []
    except ValidationError as error:
        return None, [_problem(value, dict(item)) for item in error.errors(include_url=False)]


def _problem(document: Any, error: dict[str, Any]) -> Problem:
    path: Path = tuple(part for part in error["loc"] if part != "[key]")
    return Problem(path, _message(document, path, error))


def _message(document: Any, path: Path, error: dict[str, Any]) -> str:
    kind, context, found = error["type"], error.get("ctx", {}), error["input"]
    if kind == "plan":
        return str(error["msg"])
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "missing":
        return "is required and missing"
    return f"expected {_expected(kind, context)}, found {describe(found)}"


def _expected(kind: str, context: dict[str, Any]) -> str:
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = context.get("ge", context.get("le"))
        return f"a number of at {'least' if 'ge' in context else 'most'} {bound}"
    if kind == "too_short":
        return "at least one entry"
    return "something else"


def _unknown_key(path: Path) -> str:
    known = list(_model_at(path[:-1]).model_fields)
    near = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.6)
    return "unknown key" + (f', did you mean "{near[0]}"?' if near else f"; known are {', '.join(known)}")


def _model_at(path: Path) -> type[BaseModel]:
    if "files" in path:
        return FileSpec
    if path and path[0] == "defaults":
        return Options
    return TaskSpec if path and path[0] == "tasks" else PlanSpec
