"""Arguments and options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from buildrunner_parallel.durations import parse_duration


def _duration(value: str | float | None) -> float | None:
    if value is None:
        return None
    try:
        return parse_duration(value)
    except ValueError as error:
        raise typer.BadParameter(f"{error}, found {value!r}") from None


def duration_option(name: str, told: str) -> Any:
    """An option whose value is a duration; the command gets seconds."""
    return typer.Option(name, metavar="DURATION", parser=_duration, help=told)


SessionArgument = Annotated[
    str, typer.Argument(metavar="SESSION", help="Session id, unique prefix of one, or `last`.")
]
OptionalSession = Annotated[
    str, typer.Argument(metavar="SESSION", help="Session id or prefix; the newest if left out.")
]
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="Task id.")]
OptionalTask = Annotated[str, typer.Argument(metavar="TASK", help="Task id; all tasks if left out.")]
TimeoutOption = Annotated[
    float | None, duration_option("--timeout", "Stop waiting after this long (exit code 124).")
]


def words_help(words: type[StrEnum], told: str = "Only these:") -> str:
    """`told` with the words that the option takes."""
    return f"{told} {', '.join(words)}."


def limit_option(told: str) -> Any:
    """The option `--limit`, at least 1."""
    return typer.Option("--limit", "-l", min=1, metavar="N", help=told)


class SessionState(StrEnum):
    """The words that `list --status` takes."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskState(StrEnum):
    """The words that `tasks --state` takes."""

    BLOCKED = "blocked"
    QUEUED = "queued"
    ASSIGNED = "assigned"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class EntityWord(StrEnum):
    """The words that `watch --kind` takes."""

    SESSION = "session"
    TASK = "task"
    WORKER = "worker"
    LOCK = "lock"
    POOL = "pool"


class WorkerState(StrEnum):
    """The words that `workers --status` takes."""

    IDLE = "idle"
    BUSY = "busy"
    OFFLINE = "offline"
    ERROR = "error"
