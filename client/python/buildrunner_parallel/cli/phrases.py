"""Records as words and cells: one way to say a status, a time, a session's counts. Pure functions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from buildrunner_parallel.durations import format_age, format_duration
from buildrunner_parallel.text import whole_percent

from .render import Cell

if TYPE_CHECKING:
    from buildrunner_parallel.records import Session, TaskCounts, TaskSummary, Wait

STYLES = {
    "running": "cyan", "busy": "cyan", "assigned": "cyan", "completed": "green", "succeeded": "green",
    "idle": "green", "failed": "bold red", "error": "bold red", "offline": "red", "timed_out": "bold red",
    "lost": "red", "cancelled": "yellow", "cancelling": "yellow", "paused": "yellow", "skipped": "yellow",
    "created": "blue", "queued": "blue", "blocked": "dim",
}  # fmt: skip

_TOLD_ERRORS = {
    "CANCELLED": "it was cancelled",
    "SESSION_CANCELLED": "its session was cancelled",
    "SESSION_FAILED": "its session failed",
}


def status_cell(status: str, suffix: str = "") -> Cell:
    """A status word in its colour."""
    return (f"{status}{suffix}", STYLES.get(status, ""))


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago; empty when it never was."""
    return format_age((now - moment).total_seconds()) if moment else ""


def span(begin: datetime | None, end: datetime | None, now: datetime | None = None) -> str:
    """The time between; until `now` when there is no end yet; empty when it never began."""
    last = end or now
    return format_duration((last - begin).total_seconds()) if begin and last else ""


def session_status(session: Session) -> Cell:
    """The status, saying when a cancel is under way or locks were given up."""
    suffix = " (cancelling)" if session.cancelling and not session.is_over else ""
    return status_cell(
        session.status.value, suffix or (" (locks released)" if session.locks_released else "")
    )


def progress(session: Session) -> str:
    """Such as `12/50 (24%)`."""
    return f"{session.done_tasks}/{session.total_tasks} ({whole_percent(session.progress_percent)}%)"


def counts(tally: TaskCounts) -> str:
    """The states that have any, such as `3 running, 12 succeeded`."""
    names = (
        "running",
        "assigned",
        "cancelling",
        "queued",
        "blocked",
        "succeeded",
        "failed",
        "cancelled",
        "skipped",
    )
    return ", ".join(f"{getattr(tally, name)} {name}" for name in names if getattr(tally, name)) or "none"


def counts_phrase(tally: TaskCounts) -> str:
    """The same inside a sentence, where `none` would be a riddle."""
    return counts(tally) if tally.total else "no tasks"


def number_of(count: int, noun: str) -> str:
    """Such as `1 worker`, `3 workers`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def error_phrase(error: str) -> str:
    """An error as told; the coordinator's own bare words become a sentence."""
    return _TOLD_ERRORS.get(error, error)


_TOLD_REASONS = {
    "TIMEOUT": "timed out",
    "CRASH_LIMIT": "crashed too often",
    "LOCK_LOST": "lock lost",
    "UNDECLARED_WRITE": "undeclared write",
    "MERGE_CONFLICT": "merge conflict",
    "MERGE_FAILED": "not merged",
}


def task_state(task: TaskSummary) -> Cell:
    """The status, with the reason where that says more."""
    suffix = f" ({_TOLD_REASONS[task.reason]})" if task.reason in _TOLD_REASONS else ""
    return status_cell(task.status.value, suffix)


def remark(task: TaskSummary) -> str:
    """What else there is to say: the error, what it waits for, its own progress."""
    if task.error:
        return error_phrase(task.error)
    if task.wait is not None and not task.is_over:
        return wait_phrase(task.wait)
    if task.progress_percent or task.progress_message:
        return f"{task.progress_percent:.0f}% {task.progress_message}".strip()
    return ""


def wait_phrase(wait: Wait) -> str:
    """Why something does not run: the coordinator's sentence, or one made from its parts."""
    if wait.message:
        return wait.message
    names = ", ".join(wait.names)
    holders = ", ".join(holder.task_id or holder.session_name or holder.session_id for holder in wait.holders)
    return f"{wait.kind.value}: {names}" + (f" held by {holders}" if holders else "")


def clock(moment: datetime | None) -> str:
    """Local date and time for people."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def utc_now() -> datetime:
    """The wall clock, for ages only."""
    return datetime.now(UTC)


def size(size_bytes: int) -> str:
    """A size for people: `312 B`, `4.2 MiB`."""
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return ""
