"""From a picture to what rich can draw. Pure: no calls, no clock. Names of others are made harmless here."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..text import one_line, whole_percent
from .config import DashboardConfig
from .picture import Picture, running_tasks
from .session import values_of
from .worker import current_task_of

_STYLES = {
    "created": "blue", "running": "cyan", "paused": "yellow", "completed": "green", "failed": "bold red",
    "cancelled": "yellow", "idle": "green", "busy": "cyan", "offline": "red", "error": "bold red",
}  # fmt: skip
_NAME_LENGTH = 60
_SHOWN_TASKS = 10


def sessions_table(picture: Picture, config: DashboardConfig) -> Table:
    """Those that run or are paused, newest first."""
    table = _table("Active Sessions", config)
    table.add_column("Session", no_wrap=True)
    table.add_column("Name", ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column("Status", no_wrap=True)
    if not config.compact_mode:
        table.add_column("Progress", ratio=2, min_width=8)
    table.add_column("Tasks", justify="right", no_wrap=True)
    active = picture.active
    for record in active[: config.max_sessions_display]:
        one = values_of(record)
        failed = f", {one.failed_tasks} failed" if one.failed_tasks else ""
        percent = whole_percent(one.progress_percent)
        amount = Text(f"{one.completed_tasks}/{one.total_tasks}{failed}  {percent}%")
        bar = ProgressBar(total=100.0, completed=one.progress_percent)
        cells: list[RenderableType] = [Text(one.session_id), _name(one.name), _word(one.status.value)]
        table.add_row(*cells, *(() if config.compact_mode else (bar,)), amount)
    return _with_rest(table, len(active) - config.max_sessions_display)


def workers_table(picture: Picture, config: DashboardConfig) -> Table:
    table = _table("Worker Pool", config)
    table.add_column("Worker", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    table.add_column("Task", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("Done", justify="right", no_wrap=True)
    table.add_column("Failed", justify="right", no_wrap=True)
    for one in picture.workers[: config.max_workers_display]:
        done, failed = Text(str(one.tasks_succeeded)), Text(str(one.tasks_failed))
        task = _name(current_task_of(one) or "")
        table.add_row(Text(one.worker_id), _word(one.status.value), task, done, failed)
    return _with_rest(table, len(picture.workers) - config.max_workers_display)


def statistics_panel(picture: Picture) -> Panel:
    lines = Text("\n").join(Text(line) for line in summary_lines(picture))
    return Panel(lines, title="System Statistics", expand=True)


def tasks_panel(picture: Picture) -> Panel:
    lines = [
        Text.assemble((one_line(task, _NAME_LENGTH), "cyan"), f"  on worker {worker}")
        for task, worker, _ in running_tasks(picture)[:_SHOWN_TASKS]
    ]
    waiting = [one_line(name, _NAME_LENGTH) for name in picture.queued]
    if picture.queued_count:
        more = picture.queued_count - len(waiting)
        told = ", ".join(waiting) + (f" and {more} more" if waiting and more > 0 else "")
        lines.append(Text(f"{picture.queued_count} queued" + (f": {told}" if told else ""), style="blue"))
    body = Text("\n").join(lines) if lines else Text("nothing runs, nothing waits", style="dim")
    return Panel(body, title="Active Tasks", expand=True)


def summary_lines(picture: Picture) -> list[str]:
    workers = " / ".join(f"{picture.count(word)} {word}" for word in ("idle", "busy", "offline"))
    total = f"(Total: {len(picture.workers)}, Utilization: {picture.utilization:.1f}%)"
    tasks = f"{picture.completed} completed / {picture.failed} failed / {picture.queued_count} queued"
    return [
        f"Workers: {workers} {total}",
        f"Sessions: {len(picture.active)} active / {picture.session_count} total",
        f"Tasks: {tasks}",
    ]


def parts(picture: Picture, config: DashboardConfig) -> list[tuple[str, RenderableType, int]]:
    """What is shown: name, drawing, lines that it needs."""
    found: list[tuple[str, RenderableType, int]] = [("statistics", statistics_panel(picture), 5)]
    frame = 4 if config.compact_mode else 5
    if config.show_sessions:
        rows = min(len(picture.active), config.max_sessions_display + 1)
        found.append(("sessions", sessions_table(picture, config), rows + frame))
    if config.show_workers:
        rows = min(len(picture.workers), config.max_workers_display + 1)
        found.append(("workers", workers_table(picture, config), rows + frame))
    if config.show_tasks and not config.compact_mode:
        busy = min(len(running_tasks(picture)), _SHOWN_TASKS)
        found.append(("tasks", tasks_panel(picture), max(1, busy + bool(picture.queued_count)) + 2))
    return found


def layout(picture: Picture, config: DashboardConfig) -> Layout:
    whole = Layout(name="dashboard")
    shown = [Layout(drawing, name=name, size=lines) for name, drawing, lines in parts(picture, config)]
    whole.split_column(*shown, Layout(Text(""), name="rest"))
    return whole


def snapshot(picture: Picture, config: DashboardConfig) -> Group:
    return Group(*(drawing for _, drawing, _ in parts(picture, config)))


def _table(title: str, config: DashboardConfig) -> Table:
    return Table(
        title=title, title_justify="left", expand=True, show_lines=False, pad_edge=not config.compact_mode
    )


def _name(text: str) -> Text:
    return Text(one_line(text, _NAME_LENGTH))


def _word(status: str) -> Text:
    return Text(status, style=_STYLES.get(status, ""))


def _with_rest(table: Table, hidden: int) -> Table:
    if hidden > 0:
        table.add_row(Text(f"and {hidden} more", style="dim"))
    return table
