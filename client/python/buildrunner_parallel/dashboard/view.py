"""From the model to what rich can draw. Pure: the time and the room to draw in come as arguments."""

from __future__ import annotations

from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from buildrunner_parallel.durations import format_duration
from buildrunner_parallel.records import LockHolder, Session, TaskSummary
from buildrunner_parallel.text import one_line

from .fold import Contended, Model, wall_time_s

STYLES = {
    "running": "cyan", "cancelling": "yellow", "paused": "yellow", "completed": "green", "succeeded": "green",
    "failed": "bold red", "cancelled": "yellow", "skipped": "yellow", "queued": "blue", "blocked": "dim",
    "created": "blue", "assigned": "cyan",
}  # fmt: skip
_COUNTED = ("running", "assigned", "queued", "blocked", "succeeded", "failed", "cancelled", "skipped")
_FIXED_LINES = 8
_SHOWN_QUEUE = 20
NARROW_COLUMNS = 60


def draw(model: Model, now: datetime, height: int = 40, width: int = 80) -> RenderableType:
    """The whole dashboard in at most about `height` lines; names get more room where there is `width`.

    Below NARROW_COLUMNS the bars go, and which worker runs a task and who holds a lock.
    """
    narrow = width < NARROW_COLUMNS
    name_width = max(width - 14, 8) if narrow else max(36, width // 3)
    room = max(6, height - _FIXED_LINES - 2 * len(model.sessions))
    parts: list[RenderableType] = []
    for session in model.sessions.values():
        parts += [_progress(session, now, narrow), _counts(session)]
    if model.running:
        parts.append(_running(model, now, max(3, room // 2), name_width, narrow))
    if model.waiting:
        parts.append(_waiting(model, now, max(2, room // 4), name_width, narrow))
    if model.failures:
        parts.append(_failures(model, max(2, room // 4), name_width))
    parts.append(_footer(model))
    return Group(*parts)


def _progress(session: Session, now: datetime, narrow: bool) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, expand=True)
    table.add_column(ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column(width=None if narrow else 10, no_wrap=True)
    if not narrow:
        table.add_column(ratio=4)
    table.add_column(justify="right", no_wrap=True)
    word = "cancelling" if session.cancelling and not session.is_over else session.status.value
    name = Text.assemble((one_line(session.name) or "session", "bold"), f" {session.session_id}")
    bar = ProgressBar(total=100, completed=session.progress_percent, width=None)
    amount = f"{session.done_tasks}/{session.total_tasks}  {format_duration(wall_time_s(session, now))}"
    table.add_row(name, _word(word), *(() if narrow else (bar,)), Text(amount))
    return table


def _word(status: str) -> Text:
    return Text(status, style=STYLES.get(status, ""))


def _counts(session: Session) -> Text:
    text = Text()
    for name in _COUNTED:
        number = getattr(session.counts, name)
        if number:
            text.append(f"{number} {name}  ", style=STYLES.get(name, ""))
    return text


def _section(title: str, name_width: int, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE, show_header=False,
        pad_edge=False, expand=True, show_edge=False,
    )  # fmt: skip
    for index, name in enumerate(columns):
        last = index == len(columns) - 1
        table.add_column(
            name,
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if last else None,
            max_width=None if last else name_width,
        )
    return table


def _running(model: Model, now: datetime, limit: int, name_width: int, narrow: bool) -> Table:
    columns = ("task", "time") if narrow else ("task", "time", "worker", "what")
    table = _section(f"Running ({len(model.running)})", name_width, *columns)
    for task in list(model.running.values())[:limit]:
        seconds = (now - task.started_at).total_seconds() if task.started_at else 0.0
        tries = f" (try {task.attempt})" if task.attempt > 1 else ""
        name = Text(one_line(task.task_id) + tries, style=STYLES.get(task.status.value, ""))
        cells = (name, Text(format_duration(seconds)), Text(one_line(task.worker_id)), Text(_what(task)))
        table.add_row(*cells[: len(columns)])
    return _with_rest(table, len(model.running) - limit)


def _what(task: TaskSummary) -> str:
    told = (
        f"{task.progress_percent:.0f}% {task.progress_message}"
        if task.progress_percent
        else task.progress_message
    )
    return one_line(told or task.title, 300)


def _waiting(model: Model, now: datetime, limit: int, name_width: int, narrow: bool) -> Table:
    """A line a path: who has it, and who stands in its queue."""
    columns = ("path", "queue") if narrow else ("path", "queue", "holder")
    table = _section(f"Waiting for a lock ({len(model.waiting)})", name_width, *columns)
    found = model.contended()
    for one in found[:limit]:
        held_for = f" for {format_duration((now - one.since).total_seconds())}" if one.since else ""
        holder = Text(holders_phrase(one.holders) + held_for)
        table.add_row(*(Text(one_line(one.path, 80)), Text(_queue(one)), holder)[: len(columns)])
    return _with_rest(table, len(found) - limit)


def _queue(one: Contended) -> str:
    names = ", ".join(one_line(task.task_id) for task in one.waiters[:_SHOWN_QUEUE])
    count = len(one.waiters)
    return f"{count}: {names}" if count > 1 else names


def holders_phrase(holders: tuple[LockHolder, ...]) -> str:
    """Who has what somebody waits for: `held by index-idna on worker b2c4d5e6`."""
    told = [
        one_line(holder.task_id or f"session {holder.session_name or holder.session_id}")
        + (f" on worker {one_line(holder.worker_id)}" if holder.worker_id else "")
        for holder in holders
    ]
    return f"held by {', '.join(told)}" if told else "held by another"


def _failures(model: Model, limit: int, name_width: int) -> Table:
    total = sum(session.counts.failed for session in model.sessions.values())
    table = _section(f"Failed ({total})", name_width, "task", "error")
    for task in list(model.failures)[-limit:]:
        table.add_row(
            Text(one_line(task.task_id), style="bold red"), Text(one_line(task.error or task.reason, 300))
        )
    return table


def _with_rest(table: Table, hidden: int) -> Table:
    if hidden > 0:
        table.add_row(Text(f"and {hidden} more", style="dim"))
    return table


def _footer(model: Model) -> Text:
    busy = sum(worker.status.value == "busy" for worker in model.workers.values())
    alive = sum(worker.status.value in ("busy", "idle") for worker in model.workers.values())
    text = Text(f"Workers: {busy} busy of {alive}", style="dim")
    if not model.connected:
        text.append("   The coordinator is away; waiting for it", style="bold yellow")
    return text
