"""What `locks --stats` shows: which paths were waited for, by whom, how long, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_parallel.durations import format_duration

from .lock_phrases import WHOLE, milliseconds, short_holder, waits_phrase
from .phrases import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import (
        LockPeriodStatistics,
        LockReport,
        LockSessionStatistics,
        LockStatistics,
        LockWaitFigures,
    )

    from .invocation import Invocation
    from .render import Cell

BAR_LENGTH = 24
SHOWN_PERIODS = 30
_FIGURES = (">waits", "?5>given up", ">p50", ">p95", "?2>longest", "?3>in all")


def show_statistics(
    run: Invocation, client: Client | None, session_id: str, since_s: float | None, limit: int
) -> None:
    """Of one session, or with an empty `session_id` of all; of the last `since_s` seconds, or of all time."""
    from buildrunner_parallel.records import LockReport, record_to_json

    report = LockReport()
    if client is not None:
        report = client.lock_statistics(session=session_id, since=since_s, limit=limit)
    if run.settings.as_json:
        return run.out.document(lock_statistics=record_to_json(report))
    if run.settings.quiet:
        return run.out.table(("path",), [(one.path or WHOLE,) for one in report.statistics])
    run.out.sentence(_headline(report, since_s))
    if not report.total.waits:
        return None
    _show_paths(run, report.statistics)
    _show_sessions(run, report.sessions)
    return _show_periods(run, report)


def _headline(report: LockReport, since_s: float | None) -> str:
    total = report.total
    within = "" if since_s is None else f" in the last {format_duration(since_s)}"
    if not total.waits:
        return f"No wait for a path has ended{within}"
    return waits_phrase(total, within)


def _figures(figures: LockWaitFigures) -> tuple[Cell, ...]:
    """Nothing for one that never waited, and only held what others waited for."""
    times_ms = (figures.wait_p50_ms, figures.wait_p95_ms, figures.wait_max_ms, figures.wait_total_ms)
    told = [milliseconds(one) if figures.waits else "" for one in times_ms]
    return (str(figures.waits), str(figures.given_up), *told)


def _show_paths(run: Invocation, paths: Sequence[LockStatistics]) -> None:
    if paths:
        run.out.line()
        columns = ("~path", *_FIGURES, "?4>held longest", "~?1by")
        run.out.table(columns, [_path_row(one) for one in paths])


def _path_row(one: LockStatistics) -> tuple[Cell, ...]:
    holder = short_holder(one.longest_holder) if one.longest_holder.session_id else ""
    held = milliseconds(one.longest_held_ms) if holder else ""
    return (one.path or WHOLE, *_figures(one.figures), held, holder)


def _show_sessions(run: Invocation, sessions: Sequence[LockSessionStatistics]) -> None:
    if sessions:
        run.out.line()
        columns = ("session", "~?1name", *_FIGURES, "?4>held longest", "~?2path")
        run.out.table(columns, [_session_row(one) for one in sessions])


def _session_row(one: LockSessionStatistics) -> tuple[Cell, ...]:
    held = milliseconds(one.longest_held_ms) if one.longest_held_ms else ""
    path = (one.longest_held_path or WHOLE) if held else ""
    return (one.session_id, one.session_name, *_figures(one.figures), held, path)


def _show_periods(run: Invocation, report: LockReport) -> None:
    """Over time; on a terminal the latest, with a bar as long as there were waits."""
    periods = report.periods[-SHOWN_PERIODS:] if run.out.is_terminal else report.periods
    if not periods:
        return
    most = max(one.figures.waits for one in periods)
    length = format_duration(report.period_ms / 1000)
    run.out.line()
    if run.out.is_terminal:
        columns = (f"each {length} from", ">waits", "?", ">p50", ">p95")
        run.out.table(columns, [_period_row(one, most) for one in periods])
        hidden = len(report.periods) - len(periods)
        if hidden:
            run.out.line(f"and {hidden} earlier")
    else:
        rows = [(row[0], *_figures(one.figures)) for one in periods for row in (_period_row(one, most),)]
        run.out.table((f"each {length} from", *_FIGURES), rows)


def _period_row(one: LockPeriodStatistics, most: int) -> tuple[Cell, ...]:
    figures = one.figures
    bar = "█" * max(1, round(BAR_LENGTH * figures.waits / most))
    return (
        clock(one.began_at),
        str(figures.waits),
        (bar, "yellow"),
        milliseconds(figures.wait_p50_ms),
        milliseconds(figures.wait_p95_ms),
    )
