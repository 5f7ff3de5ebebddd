"""What is written when a watched session is over: every task, the times, what failed, what to try next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_parallel.durations import format_duration

from .failures import last_lines
from .invocation import Invocation
from .lock_phrases import waits_phrase
from .phrases import STYLES, remark, task_state
from .render import Cell

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.dashboard.summary import EndSummary, TaskLine
    from buildrunner_parallel.records import TaskSummary

SHOWN_TASKS = 200
SHOWN_OUTPUTS = 5
OUTPUT_LINES = 10


def show_end(run: Invocation, client: Client, summary: EndSummary) -> None:
    """Writes the end of a session."""
    lines = summary.lines
    if run.out.is_terminal and len(lines) > SHOWN_TASKS:
        lines = tuple(line for line in lines if line.task.status.value != "succeeded")[:SHOWN_TASKS]
    run.out.line()
    if lines:
        run.out.table(("task", "status", "?1>time", "?2>attempts", "~remark"), [_row(line) for line in lines])
    if len(lines) < summary.session.counts.total:
        run.out.line(f"and {summary.session.counts.total - len(lines)} more")
    for task in summary.failed[:SHOWN_OUTPUTS]:
        _show_output(run, client, task)
    run.out.sentence(summary.headline, STYLES.get(summary.session.status.value, ""))
    run.out.sentence(summary.times)
    _tell_waits(run, client, summary)
    _show_next(run, summary)


def _row(line: TaskLine) -> tuple[Cell, ...]:
    ran = format_duration(line.seconds) if line.task.attempt and line.task.started_at else ""
    note = "" if line.task.status.value == "succeeded" else remark(line.task)
    return (line.task.task_id, task_state(line.task), ran, str(line.task.attempt or ""), note)


def _show_output(run: Invocation, client: Client, task: TaskSummary) -> None:
    """The last lines of what a failed task wrote."""
    run.out.line(f"Last lines of {task.task_id}:", "bold")
    for line in last_lines(client, task, OUTPUT_LINES) or ["(it wrote nothing)"]:
        run.out.line(f"  {line}")
    run.out.line()


def _tell_waits(run: Invocation, client: Client, summary: EndSummary) -> None:
    """How long its tasks stood in the queue for paths, if they did."""
    session_id = summary.session.session_id
    report = client.lock_statistics(session=session_id, limit=1)
    if report.total.waits:
        run.out.sentence(waits_phrase(report.total))
        run.out.hint(f"Which paths: {run.command_line('locks', '--stats', '--session', session_id)}")


def _show_next(run: Invocation, summary: EndSummary) -> None:
    from buildrunner_parallel.dashboard.summary import example_task

    session_id = summary.session.session_id
    example = example_task(summary.lines)
    commands: list[tuple[str, ...]] = [("tasks", session_id)]
    if example:
        commands += [("show", session_id, example.task_id), ("logs", session_id, example.task_id)]
    run.out.line("Next:")
    for arguments in commands:
        run.out.line(f"  {run.command_line(*arguments)}")
