"""The panels of the dashboard: what stands in their columns. Each can be drawn alone. Pure.

Cells are made for the rows that are seen only, so a panel of a thousand workers costs what twenty do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from buildrunner_parallel.records import Session, TaskSummary, Worker
from buildrunner_parallel.text import whole_percent

from . import phrases
from .cells import GAP, Column, Line, Span, clean, fit, fitted, need_of, padded, row, width_of
from .fold import Board, Contended, waits_for_locks, wall_time_s
from .phrases import age, ago, amount, seconds_since, state_span

Cells = tuple[Span | Line, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """A titled table. `cells(index, width)` makes one row; `weight` is its share of the room that is left."""

    title: str
    count: int
    columns: tuple[Column, ...]
    cells: Callable[[int, int], Cells]
    note: str = ""
    empty: str = ""
    weight: int = 1
    # Of a list that can be moved in: the selected row, and whether the arrows move in this one.
    marked: int | None = None
    focused: bool = False

    @property
    def wanted(self) -> int:
        """Rows that it would like to have."""
        return self.count or (1 if self.empty else 0)


def rule(title: str, note: str, width: int, focused: bool = False) -> Line:
    """A panel's title in a line across."""
    title, note = clean(title), clean(note)
    head = f"─ {title} "
    tail = f" {note} ─" if note else ""
    fill = width - width_of(head) - width_of(tail)
    if fill < 1:
        return fit(((head, "title" if focused else "bold"),), width)
    return (
        ("─ ", "dim"),
        (title, "title" if focused else "bold"),
        (" " + "─" * fill, "dim"),
        (tail, "dim"),
    )


def window(count: int, room: int, marked: int | None) -> int:
    """The first row to show, so that the selected one is seen."""
    if marked is None or count <= room:
        return 0
    return max(0, min(marked - room // 2, count - room))


def drawn(panel: Panel, width: int, height: int) -> list[Line]:
    """The panel in at most `height` lines of exactly `width` cells, its title first."""
    if height < 1:
        return []
    room = height - 1
    first = window(panel.count, room, panel.marked)
    shown = range(first, min(panel.count, first + room))
    note = panel.note
    if panel.count > room > 0:
        place = f"{amount(first + 1)}–{amount(first + len(shown))} of {amount(panel.count)}"
        note = f"{note}  {place}" if note else place
    lines = [rule(panel.title, note, width, panel.focused)]
    if not panel.count:
        if panel.empty and room:
            lines.append(fit((("  " + clean(panel.empty), "dim"),), width))
        return lines
    made = [panel.cells(index, width - 2) for index in shown]
    needs = [max((need_of(cells[at]) for cells in made), default=0) for at in range(len(panel.columns))]
    widths = fitted(panel.columns, needs, width - 2)
    for index, cells in zip(shown, made, strict=True):
        line = fit(row(cells, panel.columns, widths), width - 2)
        lines.append(_marked(line, panel, index == panel.marked))
    return lines


def _marked(line: Line, panel: Panel, is_marked: bool) -> Line:
    if not (is_marked and panel.focused):
        return (("  ", ""), *line)
    return (("› ", "mark"), *((text, "mark") for text, _ in line))


# ----------------------------------------------------------------- sessions

SESSION_COLUMNS = (
    Column("session", 16, 60, share=3),
    Column("id", 8, 8, rank=4),
    Column("state", 11, 12),
    Column("bar", 30, 30, rank=2),
    Column("percent", 4, 4, right=True, rank=3),
    Column("done", 17, 30, share=4, right=True),
    Column("failed", 6, 9, share=4, rank=1),
    Column("pace", 18, 40, share=3, rank=1),
    Column("time", 6, 6, right=True, rank=5),
)
_BAR_AT = 3


def session_columns(width: int) -> tuple[Column, ...]:
    """The bar is as wide as the room allows."""
    bar = max(8, min(40, width // 6))
    return tuple(
        column._replace(least=bar, most=bar) if index == _BAR_AT else column
        for index, column in enumerate(SESSION_COLUMNS)
    )


def session_cells(board: Board, session: Session, now: datetime, now_s: float, bar_width: int) -> Cells:
    """One session: name, id, state, bar, percent, counts, failures, rate and time to go, wall time."""
    word = phrases.session_word(session)
    counts, total = session.counts, session.total_tasks or 1
    style = {"failed": "bad", "paused": "warn", "cancelled": "warn"}.get(word, "ok")
    at_work = (counts.running + counts.cancelling) / total if not session.is_over else 0.0
    more = "+" if session.open and not session.declared_tasks and not session.is_over else ""
    pace = board.paces.get(session.session_id)
    told = pace.phrase(now_s) if pace is not None and not session.is_over else ""
    if session.is_over and session.ended_at:
        told = ago(seconds_since(session.ended_at, now))
    return (
        (clean(session.name) or "session", "bold" if not session.is_over else ""),
        (session.session_id, "dim"),
        state_span(word),
        phrases.bar(session.progress_percent / 100, at_work, bar_width, style),
        (f"{whole_percent(session.progress_percent)}%", ""),
        (f"{amount(session.done_tasks)}/{amount(session.total_tasks)}{more}", ""),
        (f"✗{amount(session.failed_tasks)}" if session.failed_tasks else "", "bad"),
        (told, "dim"),
        (age(wall_time_s(session, now)), "dim"),
    )


def sessions_panel(
    board: Board, found: Sequence[Session], now: datetime, now_s: float, width: int, note: str = ""
) -> Panel:
    """The sessions `found`, as wide as `width` allows."""
    columns = session_columns(width)
    bar = columns[_BAR_AT].least
    active = sum(not one.is_over for one in board.sessions.values())
    return Panel(
        "Sessions",
        len(found),
        columns,
        lambda index, _: session_cells(board, found[index], now, now_s, bar),
        note=note or f"{active} active",
        empty="No session matches" if board.sessions else "No session yet: br parallel start begins one",
        weight=3,
    )


# ----------------------------------------------------------------- workers

WORKER_COLUMNS = (
    Column("worker", 8, 12),
    Column("state", 10, 10),
    Column("slots", 3, 7, share=1, right=True),
    Column("task", 6, 60, share=4),
    Column("session", 4, 30, share=2, rank=4),
    Column("host", 4, 24, share=1, rank=3),
    Column("beat", 7, 7, right=True, rank=1),
    Column("ended", 4, 14, share=1, right=True, rank=5),
)
LATE_BEAT_S = 20.0


def worker_cells(board: Board, worker: Worker, now: datetime) -> Cells:
    """One worker: id, state, slots, present task, its session, host, age of the last heartbeat, totals."""
    refs = worker.tasks
    task, name = "", ""
    if refs:
        # What it runs stands before what it has been sent ahead.
        ref = next((one for one in refs if (one.session_id, one.task_id) in board.running), refs[0])
        task = clean(ref.task_id) + (f" +{len(refs) - 1}" if len(refs) > 1 else "")
        session = board.sessions.get(ref.session_id)
        name = clean(session.name) if session else ref.session_id
    elif worker.session_id in board.sessions:
        name = clean(board.sessions[worker.session_id].name)
    beat = seconds_since(worker.last_heartbeat_at, now)
    late = beat is not None and beat > LATE_BEAT_S
    ended = f"{amount(worker.tasks_succeeded)}✓"
    if worker.tasks_failed:
        ended += f" {amount(worker.tasks_failed)}✗"
    return (
        (clean(worker.worker_id), ""),
        state_span(phrases.worker_word(worker)),
        (f"{slots_at_work(worker)}/{worker.slots}", ""),
        (task, "bold" if refs else ""),
        (name, "dim"),
        (clean(worker.host), "dim"),
        (ago(beat), "alarm" if late else "dim"),
        (ended, "dim"),
    )


def slots_at_work(worker: Worker) -> int:
    """What is sent ahead of its slot is taken in the coordinator's books, and does not run."""
    return min(worker.slots_taken, worker.slots)


def workers_panel(board: Board, found: Sequence[Worker], now: datetime, note: str = "") -> Panel:
    """The workers `found`."""
    return Panel(
        "Workers",
        len(found),
        WORKER_COLUMNS,
        lambda index, _: worker_cells(board, found[index], now),
        note=note or workers_phrase(board),
        empty="No worker matches" if board.workers else "No worker: br parallel scale N starts some",
        weight=3,
    )


def workers_phrase(board: Board) -> str:
    """Such as `4 busy, 2 idle`."""
    tally: dict[str, int] = {}
    for worker in board.workers.values():
        word = phrases.worker_word(worker)
        tally[word] = tally.get(word, 0) + 1
    words = ("busy", "idle", "draining", "offline", "error")
    return ", ".join(f"{amount(tally[word])} {word}" for word in words if word in tally)


# ----------------------------------------------------------------- tasks

TASK_COLUMNS = (
    Column("state", 11, 11),
    Column("task", 8, 60, share=4),
    Column("session", 10, 24, share=1, rank=3),
    Column("time", 6, 6, right=True),
    Column("worker", 8, 8, rank=2),
    Column("what", 6, 300, share=6, rank=1),
)


def _without_session(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Where there is only one, nobody need say which."""
    return tuple(one._replace(least=0, most=0) if one.title == "session" else one for one in columns)


def task_word(task: TaskSummary) -> str:
    """Its state; `waiting` while path locks keep it."""
    return "waiting" if waits_for_locks(task) else task.status.value


def task_cells(board: Board, task: TaskSummary, now: datetime, *, with_session: bool) -> Cells:
    """One task: state, id, session, how long it runs or ran, worker, and what it does, waits for, died of."""
    seconds = None
    if task.started_at and task.attempt and task.status.value not in ("queued", "blocked", "assigned"):
        seconds = max(0.0, ((task.ended_at or now) - task.started_at).total_seconds())
    tries = f" try {task.attempt}" if task.attempt > 1 else ""
    session = board.sessions.get(task.session_id)
    failed = task.status.value == "failed"
    if failed or (task.is_over and task.error):
        what = phrases.error_of(task)
    elif task.wait is not None and not task.is_over:
        what = phrases.why(task.wait)
    else:
        what = phrases.doing(task)
    return (
        state_span(task_word(task)),
        (clean(task.task_id) + tries, "bold" if task.status.value == "running" else ""),
        (clean(session.name) if session and with_session else "", "dim"),
        (age(seconds), ""),
        (clean(task.worker_id), "dim"),
        (clean(what), "bad" if failed else "dim"),
    )


def tasks_panel(
    board: Board, found: Sequence[TaskSummary], now: datetime, *, note: str = "", session_id: str = ""
) -> Panel:
    """The tasks `found`; `session_id` when they are all of that session."""
    several = not session_id and len({task.session_id for task in found[:500]}) > 1
    return Panel(
        "Tasks",
        len(found),
        TASK_COLUMNS if several else _without_session(TASK_COLUMNS),
        lambda index, _: task_cells(board, found[index], now, with_session=several),
        note=note or tasks_phrase(board),
        empty="Nothing runs and nothing waits",
        weight=4,
    )


def tasks_phrase(board: Board) -> str:
    """Such as `4 running, 12 waiting`."""
    active = [one.counts for one in board.sessions.values() if not one.is_over]
    running = sum(one.running + one.cancelling for one in active)
    waiting = sum(one.queued + one.blocked + one.assigned for one in active)
    return ", ".join(
        f"{amount(count)} {word}" for count, word in ((running, "running"), (waiting, "waiting")) if count
    )


# ----------------------------------------------------------------- locks and failures

LOCK_COLUMNS = (
    Column("path", 8, 60, share=4),
    Column("holder", 8, 60, share=4),
    Column("held", 6, 6, right=True, rank=1),
    Column("queue", 6, 200, share=3),
)


def lock_cells(one: Contended, now: datetime) -> Cells:
    """A path that is waited for: who has it, for how long, and who stands in its queue."""
    holders = ", ".join(phrases.holder_phrase(holder) for holder in one.holders) or "another"
    names = ", ".join(_waiter(waiter) for waiter in one.waiters[:20])
    count = len(one.waiters)
    return (
        (clean(one.path), "bold"),
        (clean(holders), ""),
        (age(seconds_since(one.since, now)), "dim"),
        (f"◇{count} {clean(names)}", "warn"),
    )


def _waiter(holder: object) -> str:
    return phrases.holder_phrase(holder)  # type: ignore[arg-type]


def locks_panel(board: Board, found: Sequence[Contended], now: datetime) -> Panel:
    """What is waited for, most waiters first."""
    held = sum(len(locks) for locks in board.locks.values())
    return Panel(
        "Locks waited for",
        len(found),
        LOCK_COLUMNS,
        lambda index, _: lock_cells(found[index], now),
        note=f"{amount(held)} held",
        weight=2,
    )


FAILURE_COLUMNS = (
    Column("when", 7, 7, right=True),
    Column("task", 8, 60, share=2),
    Column("session", 4, 24, share=1, rank=2),
    Column("error", 10, 400, share=6),
)


def failure_cells(board: Board, task: TaskSummary, now: datetime) -> Cells:
    """A failed task: when, which, of which session, and the last line of its error."""
    session = board.sessions.get(task.session_id)
    several = len(board.sessions) > 1
    return (
        (ago(seconds_since(task.ended_at, now)), "dim"),
        (clean(task.task_id), "bad"),
        (clean(session.name) if session and several else "", "dim"),
        (clean(phrases.error_of(task)), ""),
    )


def _end(task: TaskSummary) -> float:
    return task.ended_at.timestamp() if task.ended_at else 0.0


def failures_panel(board: Board, now: datetime) -> Panel:
    """What failed last, the latest first."""
    found = sorted(board.failures.values(), key=_end, reverse=True)
    failed = sum(one.counts.failed for one in board.sessions.values())
    return Panel(
        "Failed last",
        len(found),
        FAILURE_COLUMNS if len(board.sessions) > 1 else _without_session(FAILURE_COLUMNS),
        lambda index, _: failure_cells(board, found[index], now),
        note=f"{amount(max(failed, len(found)))} in all",
        weight=2,
    )


# ----------------------------------------------------------------- statistics


def statistics(board: Board, now_s: float) -> list[tuple[str, Line]]:
    """Name and value of each figure: throughput, utilization, totals, locks."""
    counts = [one.counts for one in board.sessions.values()]
    ended = sum(one.succeeded for one in counts)
    failed = sum(one.failed for one in counts)
    others = sum(one.cancelled + one.skipped for one in counts)
    slots, _, used = _slots(board)
    held = sum(len(locks) for locks in board.locks.values())
    waiters = len(board.waiting) + len(board.by_hand)
    rate = board.throughput.rate(now_s)
    tasks: list[Span] = [(f"{amount(ended)} done", "ok" if ended else "dim")]
    tasks += [(f", {amount(failed)} failed", "bad")] if failed else []
    tasks += [(f", {amount(others)} cancelled or skipped", "warn")] if others else []
    return [
        ("Throughput", ((rate_phrase(rate), "bold"),)),
        (
            "Slots",
            (*phrases.bar(used, 0.0, 10, "run"), (f" {used * 100:.0f}% of {amount(slots)}", "")),
        ),
        ("Tasks", (*tasks, (f"; {tasks_phrase(board) or 'none left'}", ""))),
        ("Locks", ((f"{amount(held)} held, {amount(waiters)} waiting", "warn" if waiters else ""),)),
    ]


def rate_phrase(rate: float) -> str:
    """Such as `12.4/s`, by the minute when slow."""
    return f"{rate:.1f}/s" if rate >= 1 or not rate else f"{rate * 60:.1f}/min"


def statistics_lines(board: Board, now_s: float, width: int) -> list[Line]:
    """The statistics panel: a figure a line, the throughput with its last seconds as a curve."""
    lines = [rule("Statistics", "", width)]
    for name, value in statistics(board, now_s):
        line: list[Span] = [("  ", ""), (padded(name, 11), "dim"), *value]
        if name == "Throughput":
            used = 13 + sum(width_of(text) for text, _ in value)
            room = min(60, width - used - GAP - 12) // 10 * 10
            if room >= 10:
                curve = phrases.sparkline(board.throughput.series(now_s, room))
                line += [("  ", ""), (curve, "run"), (f" last {room}s", "dim")]
        lines.append(fit(tuple(line), width))
    return lines


def statistics_line(board: Board, now_s: float, width: int) -> Line:
    """The same in one line."""
    counts = [one.counts for one in board.sessions.values()]
    slots, taken, used = _slots(board)
    waiters = len(board.waiting) + len(board.by_hand)
    failed = sum(one.failed for one in counts)
    running = sum(one.running + one.cancelling for one in counts)
    waiting = sum(one.queued + one.blocked + one.assigned for one in counts)
    spans: list[Span] = [
        ("  ", ""), (rate_phrase(board.throughput.rate(now_s)), "bold"), ("  slots ", "dim"),
        *phrases.bar(used, 0.0, 8, "run"), (f" {taken}/{slots}", ""),
        ("  tasks ", "dim"), (f"✓{amount(sum(one.succeeded for one in counts))}", "ok"),
        (f" ✗{amount(failed)}", "bad" if failed else "dim"), (f" ●{amount(running)}", "run"),
        (f" ·{amount(waiting)}", "info" if waiting else "dim"),
        ("  locks ", "dim"), (amount(sum(len(locks) for locks in board.locks.values())), ""),
        (f" ◇{amount(waiters)}", "warn" if waiters else "dim"),
    ]  # fmt: skip
    return fit(tuple(spans), width)


def _slots(board: Board) -> tuple[int, int, float]:
    """Slots of the workers that are there, those at work, and their part."""
    alive = [one for one in board.workers.values() if one.status.value in ("busy", "idle")]
    slots, taken = sum(one.slots for one in alive), sum(slots_at_work(one) for one in alive)
    return slots, taken, taken / slots if slots else 0.0
