"""How the dashboard says a state, an age, a reason: symbols, words and their styles. Pure."""

from __future__ import annotations

from datetime import datetime

from buildrunner_parallel.durations import format_age, format_duration
from buildrunner_parallel.records import LockHolder, PathRequest, Session, TaskSummary, Wait, Worker
from buildrunner_parallel.text import last_line, one_line

from .cells import Line, Span, clean

# State: symbol and style. The word stands beside it, so that neither colour nor symbol is needed to read it.
STATES: dict[str, tuple[str, str]] = {
    "created": ("○", "info"), "running": ("●", "run"), "paused": ("‖", "warn"), "completed": ("✓", "ok"),
    "failed": ("✗", "bad"), "cancelled": ("⊘", "warn"), "cancelling": ("◌", "warn"),
    "blocked": ("·", "dim"), "queued": ("·", "info"), "waiting": ("◇", "warn"), "assigned": ("○", "run"),
    "succeeded": ("✓", "ok"), "skipped": ("⊘", "warn"),
    "idle": ("○", "ok"), "busy": ("●", "run"), "offline": ("✗", "bad"), "error": ("✗", "bad"),
    "draining": ("↓", "warn"),
}  # fmt: skip


def state_span(word: str) -> Span:
    """Such as `● running`."""
    symbol, style = STATES.get(word, ("·", ""))
    return (f"{symbol} {word}", style)


def session_word(session: Session) -> str:
    """Its state; `cancelling` while a cancel is under way."""
    return "cancelling" if session.cancelling and not session.is_over else session.status.value


def worker_word(worker: Worker) -> str:
    """Its state; `draining` while it finishes what it has."""
    word: str = worker.status.value
    return "draining" if worker.draining and word in ("idle", "busy") else word


def seconds_since(moment: datetime | None, now: datetime) -> float | None:
    """None when it never was; clocks that disagree never make it negative."""
    return max(0.0, (now - moment).total_seconds()) if moment else None


def age(seconds: float | None) -> str:
    """Whole seconds, so that nothing flickers: `7s`, `3m05s`; empty for None."""
    if seconds is None:
        return ""
    return f"{int(seconds)}s" if seconds < 60 else format_duration(int(seconds))


def ago(seconds: float | None) -> str:
    """How long ago, in at most seven cells: `42s ago`, `5m ago`; empty for None."""
    return "" if seconds is None else format_age(seconds)


def bar(done: float, at_work: float, width: int, style: str) -> Line:
    """A bar of `width` cells; `done` and `at_work` are parts of 1."""
    full = min(width, int(done * width + 1e-9))
    # What is begun is seen, what is not finished never looks so.
    busy = min(width - full, max(1 if at_work else 0, round(at_work * width)))
    parts = (("━" * full, style), ("╍" * busy, "run"), ("─" * (width - full - busy), "dim"))
    return tuple(part for part in parts if part[0])


SPARKS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float]) -> str:
    """One character a value, the highest the tallest; nothing at all is a blank."""
    most = max(values, default=0.0)
    return "".join(SPARKS[min(7, int(value / most * 7.999))] if value > 0 else " " for value in values)


_SHORT_REASONS = {"no_slot": "no free slot", "session": "its session does not run"}


def why(wait: Wait | None) -> str:
    """Why a task does not run, in a few words where the coordinator's sentence is long."""
    if wait is None:
        return ""
    if wait.kind.value == "needs" and wait.names:
        return f"needs {', '.join(wait.names)}"
    if wait.kind.value == "locks" and wait.names:
        return f"{', '.join(wait.names)}, {holders_phrase(wait.holders)}"
    short = _SHORT_REASONS.get(wait.kind.value)
    return short or one_line(wait.message or wait.kind.value.replace("_", " "), 300)


def holder_phrase(holder: LockHolder) -> str:
    """A task, or somebody in a session's name: `index-idna on b2c4d5e6`, `session Docs by hand`."""
    if holder.task_id:
        return one_line(holder.task_id) + (f" on {one_line(holder.worker_id)}" if holder.worker_id else "")
    by_hand = " by hand" if holder.grant_id else ""
    return f"session {one_line(holder.session_name or holder.session_id)}{by_hand}"


def holders_phrase(holders: tuple[LockHolder, ...]) -> str:
    """Who has what somebody waits for: `held by index-idna on worker b2c4d5e6`."""
    told = [
        one_line(holder.task_id or f"session {holder.session_name or holder.session_id}")
        + (f" on worker {one_line(holder.worker_id)}" if holder.worker_id else "")
        for holder in holders
    ]
    return f"held by {', '.join(told)}" if told else "held by another"


def error_of(task: TaskSummary) -> str:
    """The last line of what is known of its failure."""
    told = last_line(task.error, 300) if task.error else ""
    reason = task.reason.replace("_", " ").lower()
    if told and reason and reason not in ("exit code",) and task.reason not in told:
        return f"{told} ({reason})" if task.reason in ("CRASH_LIMIT", "LOCK_LOST") else told
    return told or reason or "failed"


def doing(task: TaskSummary) -> str:
    """What a running task says of itself, else what it runs."""
    if task.progress_percent or task.progress_message:
        percent = f"{task.progress_percent:.0f}% " if task.progress_percent else ""
        return clean(f"{percent}{task.progress_message}".strip())
    return clean(task.title)


def path_text(request: PathRequest) -> str:
    return clean(request.path)


def amount(number: int) -> str:
    """With thousands apart: `300,000`."""
    return f"{number:,}"
