"""The plan file's form: every key, its type and its range, as pydantic models.

Only the form; what the parts mean together (matrix, needs, cycles) is decided in `resolve`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from buildrunner_parallel.bounds import MOST_SLOTS, MOST_WORKERS
from buildrunner_parallel.durations import EXPECTED, parse_duration
from buildrunner_parallel.text import sanitize

from .errors import describe
from .model import FailurePolicy

MAX_NAME_BYTES = 256
MAX_COMMAND_BYTES = 128 * 1024
# What a coordinator takes.
MAX_PARALLEL = 1_000_000
MAX_PRIORITY = 1000
MAX_RETRIES = 1000
MAX_DURATION_S = 366 * 86_400


def _refused(expected: str, found: object) -> PydanticCustomError:
    return PydanticCustomError(
        "plan", "{message}", {"message": f"expected {expected}, found {describe(found)}"}
    )


def _duration(value: object) -> float:
    if not isinstance(value, (str, int, float)):
        raise _refused(EXPECTED, value)
    try:
        seconds = parse_duration(value)
    except ValueError:
        raise _refused(EXPECTED, value) from None
    if seconds > MAX_DURATION_S:
        raise _refused("a duration of at most 366 days", value)
    return seconds


def _positive_duration(value: object) -> float:
    seconds = _duration(value)
    if seconds <= 0:
        raise _refused("a duration of more than nothing", value)
    return seconds


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise _refused("text (put it in quotes)" if isinstance(value, (int, float)) else "text", value)
    if not value.strip() or value != value.strip():
        raise _refused("a name without blanks around it", value)
    if len(value.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        raise _refused(f"a name of at most {MAX_NAME_BYTES} bytes", value)
    if sanitize(value) != value:
        raise _refused("a name without control characters", value)
    return value


def _command_text(value: object) -> str:
    if not isinstance(value, str):
        raise _refused("text (put it in quotes)" if isinstance(value, (int, float)) else "text", value)
    if "\0" in value:
        raise _refused("text without a NUL character", value)
    if len(value) > MAX_COMMAND_BYTES:
        raise _refused(f"text of at most {MAX_COMMAND_BYTES // 1024} KiB", f"{value[:20]}…")
    return value


def _non_empty(value: object) -> str:
    text = _command_text(value)
    if not text.strip():
        raise _refused("text that is not empty", value)
    return text


def _variable_name(value: object) -> str:
    text = _non_empty(value)
    if "=" in text:
        raise _refused("the name of a variable", value)
    return text


def _variable_value(value: object) -> str:
    """Variables are text; whole numbers and true/false are taken for their text, 1.10 is not (1.1?)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        raise _refused("text (put it in quotes)", value)
    return _command_text(value)


def _audit(value: object) -> bool | None:
    if value is None or value == "auto":
        return None
    if isinstance(value, bool) or value in ("on", "off"):
        return _switch(value)
    raise _refused("on, off or auto", value)


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("on", "off"):
        return value == "on"
    raise _refused("on or off", value)


def _isolate(value: object) -> str:
    if value in ("worktree", "none"):
        return str(value)
    raise _refused("worktree or none", value)


def parse_on_failure(value: object) -> FailurePolicy:
    """`continue`, `finish-running[:N]` or `stop-now[:N]`, N failures from 1 on; else ValueError."""
    kind, colon, number = value.partition(":") if isinstance(value, str) else ("", "", "")
    limited = colon and number.isascii() and number.isdigit() and len(number) < 10 and int(number) > 0
    if kind == "continue" and not colon:
        return FailurePolicy()
    if kind in ("finish-running", "stop-now") and (not colon or limited):
        return FailurePolicy("stop-now" if kind == "stop-now" else "finish-running", int(number or 1))
    raise ValueError(f"expected continue, finish-running[:N] or stop-now[:N], found {describe(value)}")


def _on_failure(value: object) -> FailurePolicy:
    try:
        return parse_on_failure(value)
    except ValueError as error:
        raise PydanticCustomError("plan", "{message}", {"message": str(error)}) from None


Name = Annotated[str, BeforeValidator(_name, json_schema_input_type=str)]
Text = Annotated[str, BeforeValidator(_command_text, json_schema_input_type=str)]
FilledText = Annotated[str, BeforeValidator(_non_empty, json_schema_input_type=str)]
Variable = Annotated[str, BeforeValidator(_variable_name, json_schema_input_type=str)]
Value = Annotated[str, BeforeValidator(_variable_value, json_schema_input_type=str | int | bool)]
Duration = Annotated[float, BeforeValidator(_duration, json_schema_input_type=str | float)]
Timeout = Annotated[float, BeforeValidator(_positive_duration, json_schema_input_type=str | float)]
Audit = Annotated[
    bool | None, BeforeValidator(_audit, json_schema_input_type=bool | Literal["on", "off", "auto"] | None)
]
Switch = Annotated[bool, BeforeValidator(_switch, json_schema_input_type=bool | Literal["on", "off"])]
Isolate = Annotated[str, BeforeValidator(_isolate, json_schema_input_type=Literal["worktree", "none"])]
OnFailureField = Annotated[FailurePolicy, BeforeValidator(_on_failure, json_schema_input_type=str)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class FileSpec(_Part):
    """A path: plain text, or a mapping that says how it is meant."""

    path: FilledText | None = None
    literal: FilledText | None = None
    glob: FilledText | None = None
    mode: Literal["exclusive", "shared"] = "exclusive"

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"path": value}
        if isinstance(value, dict) and len({"path", "literal", "glob"} & value.keys()) != 1:
            raise PydanticCustomError("plan", "expected one of path, literal and glob")
        if not isinstance(value, (dict, FileSpec)):
            raise _refused("a path, or a mapping with path, literal or glob", value)
        return value


class Options(_Part):
    """What a task may have besides its command; `defaults` sets these for all tasks."""

    timeout: Timeout | None = None
    grace: Duration | None = None
    retries: Annotated[int, Field(ge=0, le=MAX_RETRIES)] = 0
    labels: list[Name] = Field(default_factory=list)
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] = 0
    slots: Annotated[int, Field(ge=1, le=MOST_SLOTS)] = 1
    cwd: FilledText | None = None
    env: dict[Variable, Value] = Field(default_factory=dict)
    pass_env: list[FilledText] = Field(default_factory=list)
    audit: Audit = None
    isolate: Isolate | None = None
    merge: Switch | None = None
    worker: Name | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class TaskSpec(Options):
    """One entry of `tasks`."""

    id: Name | None = None
    run: FilledText | None = None
    argv: Annotated[list[Text], Field(min_length=1)] | None = None
    handler: Name | None = None
    payload: Any = None
    needs: list[Name] = Field(default_factory=list)
    files: list[FileSpec] = Field(default_factory=list)
    matrix: Annotated[dict[Name, Annotated[list[Value], Field(min_length=1)]], Field(min_length=1)] | None = (
        None
    )

    @model_validator(mode="after")
    def _one_command(self) -> TaskSpec:
        given = [name for name in ("run", "argv", "handler") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none of them"
            raise PydanticCustomError(
                "plan", "{message}", {"message": f"expected one of run, argv and handler, found {found}"}
            )
        if self.argv is not None and not self.argv[0].strip():
            raise PydanticCustomError("plan", "expected a program as the first entry of argv, found nothing")
        if "payload" in self.model_fields_set and self.handler is None:
            raise PydanticCustomError("plan", "a payload goes to a handler; this task has none")
        return self


class PlanSpec(_Part):
    """The whole file."""

    name: Name | None = None
    workers: Annotated[int, Field(ge=0, le=MOST_WORKERS)] | None = None
    on_failure: OnFailureField | None = None
    max_parallel: Annotated[int, Field(ge=1, le=MAX_PARALLEL)] | None = None
    defaults: Options = Field(default_factory=Options)
    tasks: Annotated[list[TaskSpec], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _without_schema(cls, value: Any) -> Any:
        """Editors of JSON look for their schema under this key; it says nothing about the plan."""
        if isinstance(value, dict) and isinstance(value.get("$schema"), str):
            return {key: item for key, item in value.items() if key != "$schema"}
        return value
