"""The command that prints ended attempts as GNU parallel's --joblog does: joblog.

Streamed: a session of a million attempts is held a page at a time.
"""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

import typer

from buildrunner_parallel.text import sanitize

from .command import command
from .invocation import Invocation
from .options import SessionArgument
from .quoting import work_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buildrunner_parallel.records import Attempt, EndedAttempt

app = typer.Typer()

COLUMNS = ("Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive", "Exitval", "Signal", "Command")
# For ends that have no exit code of their own, or one that says nothing of the end; as shells, timeout(1) and
# GNU parallel have them.
_EXIT_VALUES = {"timed_out": 124, "not_started": 127, "lost": 255}


@command(app, "joblog")
def joblog(run: Invocation, session_id: SessionArgument) -> None:
    """Print ended attempts in the columns of GNU parallel's --joblog.

    One line for each, in the order of their ends; a task that ran again has several.
    """
    with run.existing() as client:
        session = client.get_session(session_id)
        attempts = client.iter_attempts(session.session_id, with_results=False, with_specs=True)
        if run.settings.as_json:
            _write_json(run, session.session_id, attempts)
        else:
            _write_lines(attempts)


def _write_lines(attempts: Iterator[EndedAttempt]) -> None:
    """The heading comes with the first page, so that a refusal leaves nothing on standard output."""
    first = next(attempts, None)
    sys.stdout.write("\t".join(COLUMNS) + "\n")
    for ended in itertools.chain(() if first is None else (first,), attempts):
        sys.stdout.write(joblog_line(ended) + "\n")


def joblog_line(ended: EndedAttempt) -> str:
    """The columns of one attempt; nothing is sent to a host or fetched from it, hence the two zeros."""
    attempt = ended.attempt
    begun = attempt.started_at or attempt.assigned_at or attempt.ended_at
    columns = (
        str(ended.task_number),
        _word(attempt.host) or ":",
        f"{begun.timestamp() if begun else 0.0:.3f}",
        f"{run_time_s(attempt):10.3f}",
        "0",
        "0",
        str(exit_value(attempt)),
        str(attempt.signal),
        _command(ended),
    )
    return "\t".join(columns)


def run_time_s(attempt: Attempt) -> float:
    """Seconds from start to end; 0 for one that never started."""
    if attempt.started_at is None or attempt.ended_at is None:
        return 0.0
    return max(0.0, (attempt.ended_at - attempt.started_at).total_seconds())


def exit_value(attempt: Attempt) -> int:
    """The exit code; 0 beside a signal; never 0 beside no signal for an attempt that did not succeed."""
    outcome = attempt.outcome.value if attempt.outcome else ""
    if outcome == "succeeded" or attempt.signal:
        return 0
    return attempt.exit_code or _EXIT_VALUES.get(outcome, 1)


def _command(ended: EndedAttempt) -> str:
    line = work_line(ended.spec) if ended.spec else ""
    return line or f"task {sanitize(ended.task_id)}"


def _word(text: str) -> str:
    """A column of a line: no tab, no newline, nothing that steers a terminal."""
    return sanitize(text).strip()


def _write_json(run: Invocation, session_id: str, attempts: Iterator[EndedAttempt]) -> None:
    from buildrunner_parallel.records import record_to_json

    for ended in attempts:
        attempt = record_to_json(ended.attempt)
        # Left out of what was asked for: null would say that there was none.
        attempt.pop("result")
        run.out.document(
            session_id=session_id,
            task_id=ended.task_id,
            task_number=ended.task_number,
            command=_command(ended),
            attempt=attempt,
        )
