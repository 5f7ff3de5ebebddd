"""How the attempts of a task are shown: sentences on a terminal, a table's columns in a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_parallel.durations import format_duration

from . import phrases
from .phrases import clock, error_phrase, size, span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from buildrunner_parallel.records import Attempt, Task

    from .render import Cell, Output

SHOWN_FILES = 10
COLUMNS = (
    ">try", "outcome", ">exit", ">took", ">user cpu", ">system cpu", ">memory", ">output", ">left out",
    "started", "worker", "host", ">pid",
)  # fmt: skip


def show_attempts(out: Output, task: Task, trees: Mapping[int, str]) -> None:
    """Writes every attempt, oldest first, each with its error, warnings, changed files and branch.

    `trees` has the worktrees that are still there, by number of the attempt.
    """
    if not task.attempts:
        return
    # What stands above already is not said again.
    told = task.summary.error if len(task.attempts) == 1 else ""
    out.line()
    if out.is_terminal:
        for attempt in task.attempts:
            out.facts(_facts(attempt, told, trees))
        return
    out.table(COLUMNS, [_row(attempt) for attempt in task.attempts])
    for attempt in task.attempts:
        for name, text in _remarks(attempt, told, trees):
            out.line(f"attempt {attempt.number}: {name}: {text}")


def _facts(attempt: Attempt, told: str, trees: Mapping[int, str]) -> dict[str, Cell]:
    """One attempt for a terminal of any width: sentences are folded where columns would be cut."""
    facts: dict[str, Cell] = {f"attempt {attempt.number}": _ending(attempt)}
    facts["  where"] = _place(attempt)
    facts["  used"] = _usage(attempt)
    facts["  output"] = _output(attempt)
    for name, text in _remarks(attempt, told, trees):
        facts[f"  {name}"] = (text, "yellow" if name.startswith("warning") else "")
    return {name: value for name, value in facts.items() if value}


def _ending(attempt: Attempt) -> Cell:
    """Such as `failed (exit code 1) after 4.0s`."""
    word = attempt.outcome.value if attempt.outcome else _present(attempt)
    code = f" ({_exit_phrase(attempt)})" if _exit_phrase(attempt) else ""
    took = span(attempt.started_at, attempt.ended_at, None if attempt.outcome else phrases.utc_now())
    when = f" {'after' if attempt.outcome else 'for'} {took}" if took else ""
    begun = f", started {clock(attempt.started_at)}" if attempt.started_at else ""
    return (f"{word.replace('_', ' ')}{code}{when}{begun}", phrases.STYLES.get(word, ""))


def _present(attempt: Attempt) -> str:
    return "running" if attempt.started_at else "assigned"


def _exit_phrase(attempt: Attempt) -> str:
    if attempt.signal:
        return f"signal {attempt.signal}"
    return "" if attempt.exit_code is None else f"exit code {attempt.exit_code}"


def _place(attempt: Attempt) -> str:
    parts = [f"worker {attempt.worker_id}" if attempt.worker_id else ""]
    parts += [f"on {attempt.host}" if attempt.host else "", f"pid {attempt.pid}" if attempt.pid else ""]
    return ", ".join(part for part in parts if part).replace(", on", " on")


def _usage(attempt: Attempt) -> str:
    usage = attempt.usage
    if usage is None:
        return ""
    cpu = f"CPU {_cpu(usage.user_cpu_us)} user, {_cpu(usage.system_cpu_us)} system"
    return cpu + (f"; peak memory {size(usage.max_rss_bytes)}" if usage.max_rss_bytes else "")


def _cpu(microseconds: int) -> str:
    return format_duration(microseconds / 1e6)


def _output(attempt: Attempt) -> str:
    if not attempt.output_bytes:
        return ""
    dropped = attempt.output_dropped_bytes
    return size(attempt.output_bytes) + (f", {size(dropped)} of it left out of the middle" if dropped else "")


def _remarks(attempt: Attempt, told: str, trees: Mapping[int, str]) -> list[tuple[str, str]]:
    """Error (unless `told`), warnings, changed files and branch, with the name that each stands under."""
    remarks = [("error", error_phrase(attempt.error))] if attempt.error and attempt.error != told else []
    numbered = len(attempt.warnings) > 1
    for number, warning in enumerate(attempt.warnings, start=1):
        remarks.append((f"warning {number}" if numbered else "warning", warning))
    files = attempt.modified_files
    if files:
        more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
        remarks.append(("changed", ", ".join(files[:SHOWN_FILES]) + more))
    if attempt.branch:
        remarks.append(("branch", attempt.branch + (", merged" if attempt.merged else "")))
    if attempt.number in trees:
        remarks.append(("worktree", trees[attempt.number]))
    return remarks


def _row(attempt: Attempt) -> tuple[Cell, ...]:
    usage = attempt.usage
    now = None if attempt.outcome else phrases.utc_now()
    code = "" if attempt.exit_code is None else str(attempt.exit_code)
    return (
        str(attempt.number),
        attempt.outcome.value if attempt.outcome else _present(attempt),
        f"signal {attempt.signal}" if attempt.signal else code,
        span(attempt.started_at, attempt.ended_at, now),
        _cpu(usage.user_cpu_us) if usage else "",
        _cpu(usage.system_cpu_us) if usage else "",
        size(usage.max_rss_bytes) if usage and usage.max_rss_bytes else "",
        str(attempt.output_bytes or ""),
        str(attempt.output_dropped_bytes or ""),
        clock(attempt.started_at),
        attempt.worker_id,
        attempt.host,
        str(attempt.pid or ""),
    )
