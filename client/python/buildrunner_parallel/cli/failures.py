"""What failed tasks have to say for themselves: their error, and the last lines that they wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_parallel.text import output_line

from .invocation import Invocation
from .phrases import error_phrase
from .render import complain, complain_lines

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Session, TaskSummary

SHOWN_FAILURES = 20
SHOWN_OUTPUTS = 3
OUTPUT_LINES = 5


def tell_failures(run: Invocation, client: Client, session: Session) -> None:
    """One line for each failed task on standard error; the first few with the end of their output."""
    from buildrunner_parallel.records import TaskStatus

    failed = client.list_tasks(session.session_id, statuses=(TaskStatus.FAILED,), limit=SHOWN_FAILURES)
    for index, task in enumerate(failed):
        tell_failure(client, task, with_output=index < SHOWN_OUTPUTS)
    hidden = session.counts.failed - len(failed)
    if hidden > 0:
        complain(f"and {hidden} more: {run.command_line('tasks', session.session_id, '-s', 'failed')}")


def tell_failure(client: Client, task: TaskSummary, *, with_output: bool = True) -> None:
    """One failed task's error on standard error, with the end of its output."""
    error = output_line(error_phrase(task.error or task.reason) or "failed")
    complain(f"{task.task_id}: {error}")
    if with_output:
        lines = last_lines(client, task, OUTPUT_LINES)
        # A single line that the error quotes already would only say it again.
        if len(lines) > 1 or not all(line.strip() in error for line in lines):
            complain_lines([f"  {line}" for line in lines])


def last_lines(client: Client, task: TaskSummary, count: int) -> list[str]:
    """The last `count` lines that the task's last attempt wrote, to standard error if it wrote any there.

    They are safe for a terminal. When the output cannot be read, the only line says so.
    """
    from buildrunner_parallel.errors import BuildRunnerError

    if not task.attempt:
        return []
    try:
        return _tail(client, task, "stderr", count) or _tail(client, task, "stdout", count)
    except BuildRunnerError as error:
        return [f"(its output cannot be read: {error.message})"]


def _tail(client: Client, task: TaskSummary, channel: str, count: int) -> list[str]:
    pieces = client.read_output(task.session_id, task.task_id, channel=channel, tail_lines=count)
    text = b"".join(piece.chunk.data for piece in pieces).decode("utf-8", "replace")
    lines = [output_line(line) for line in text.splitlines()]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines[-count:]
