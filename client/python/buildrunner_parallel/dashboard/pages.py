"""The pages behind the overview: a session with its tasks, a task with its output, the keys. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from buildrunner_parallel.records import Attempt, Session, Task, TaskSummary, Wait
from buildrunner_parallel.text import whole_percent

from . import panels, phrases
from .cells import Line, Span, clean, fit, padded, width_of
from .fold import Contended, contended, wall_time_s
from .panels import drawn, rule
from .phrases import age, amount, state_span
from .ui import Known, entries, marked

if TYPE_CHECKING:
    from .view import Scene

MOST_LOG_LINES = 2_000


@dataclass(frozen=True, slots=True)
class Detail:
    """One task as it was asked for, with the end of its output; `trouble` is why it could not be read."""

    session_id: str
    task_id: str
    task: Task | None = None
    waits: tuple[Wait, ...] = ()
    lines: tuple[str, ...] = ()
    trouble: str = ""


# ----------------------------------------------------------------- a session


def session_lines(scene: Scene, width: int, height: int) -> list[Line]:
    """A session: its figures, then its tasks."""
    board, page = scene.board, scene.ui.page
    session = board.sessions.get(page.session_id)
    if session is None:
        text = "This session is not here any more" if board.loaded else "Reading ..."
        return [rule(f"Session {page.session_id}", "", width), fit((("  " + text, "dim"),), width)]
    head = _session_head(scene, session, width)
    found = entries(scene.ui, Known(board, scene.listing))
    assert all(isinstance(one, TaskSummary) for one in found)
    panel = panels.tasks_panel(
        board,
        found,  # type: ignore[arg-type]
        scene.now,
        note=_tasks_note(scene, session, len(found)),
        session_id=session.session_id,
    )
    empty = "No task matches" if scene.ui.filter.is_set else "No task yet"
    panel = replace(panel, focused=scene.interactive, marked=marked(scene.ui, found), empty=empty)
    locks = [one for one in _contended_of(scene, session) if height >= 18]
    room = height - len(head) - (1 + min(4, len(locks)) if locks else 0)
    lines = head + drawn(panel, width, room)
    if locks:
        lines += [((" " * width, ""),)] * (height - len(lines) - 1 - min(4, len(locks)))
        lines += drawn(panels.locks_panel(board, locks, scene.now), width, 1 + min(4, len(locks)))
    return lines


def _contended_of(scene: Scene, session: Session) -> list[Contended]:
    return [
        one
        for one in contended(scene.board)
        if any(who.session_id == session.session_id for who in (*one.waiters, *one.holders))
    ]


def _tasks_note(scene: Scene, session: Session, shown: int) -> str:
    from .view import note_of

    chosen = note_of(scene, scene.ui.mark_name)
    total = session.counts.total
    rest = f"{amount(shown)} of {amount(total)} tasks" if shown < total and not chosen else ""
    return chosen or rest or f"{amount(total)} tasks"


def _session_head(scene: Scene, session: Session, width: int) -> list[Line]:
    board, now = scene.board, scene.now
    word = phrases.session_word(session)
    pace = board.paces.get(session.session_id)
    told = pace.phrase(scene.now_s) if pace is not None and not session.is_over else ""
    counts, total = session.counts, session.total_tasks or 1
    wall = age(wall_time_s(session, now))
    percent = whole_percent(session.progress_percent)
    right = f"  {percent}%  {amount(session.done_tasks)}/{amount(session.total_tasks)}"
    right += f"  {told}" if told else ""
    used = width_of(right) + 2 + (14 if width >= 100 else 0)
    bar_width = max(10, min(70, width - used))
    style = {"failed": "bad", "paused": "warn", "cancelled": "warn"}.get(word, "ok")
    at_work = (counts.running + counts.cancelling) / total if not session.is_over else 0.0
    bar = phrases.bar(session.progress_percent / 100, at_work, bar_width, style)
    tally: list[Span] = [("  ", "")]
    for name in ("running", "assigned", "cancelling", "queued", "blocked", "succeeded", "failed", "cancelled",
                 "skipped"):  # fmt: skip
        number = getattr(counts, name)
        if number:
            symbol, color = phrases.STATES[name]
            tally.append((f"{symbol} {amount(number)} {name}  ", color))
    if session.reason:
        tally.append((clean(session.reason), "warn"))
    title = f"{clean(session.name) or 'session'} {session.session_id}"
    return [
        rule(title, f"{word}, {wall}" if wall else word, width, focused=False),
        fit((("  ", ""), state_span(word), ("  ", ""), *bar, (right, "")), width)
        if width >= 100
        else fit((("  ", ""), *bar, (right, "")), width),
        fit(tuple(tally) if len(tally) > 1 else (("  no tasks yet", "dim"),), width),
    ]


# ----------------------------------------------------------------- a task


def task_lines(scene: Scene, width: int, height: int) -> list[Line]:
    """A task: facts, why it waits or failed, and the end of its output."""
    page = scene.ui.page
    detail = scene.detail if isinstance(scene.detail, Detail) else None
    if detail is None or (detail.session_id, detail.task_id) != (page.session_id, page.task_id):
        detail = Detail(page.session_id, page.task_id)
    summary = _newest(scene, detail)
    word = panels.task_word(summary) if summary else ""
    lines = [rule(f"Task {clean(page.task_id)}", word, width)]
    facts = _facts(scene, summary, detail)
    for name, value, style in facts[: max(3, height // 2 - 1)]:
        lines.append(fit((("  ", ""), (padded(name, 9), "dim"), (clean(value), style)), width))
    lines += _output(scene, detail, summary, width, height - len(lines))
    return lines


def _newest(scene: Scene, detail: Detail) -> TaskSummary | None:
    key = (detail.session_id, detail.task_id)
    board = scene.board
    live = board.running.get(key) or board.waiting.get(key) or board.failures.get(key)
    read = detail.task.summary if detail.task else None
    if live is None or read is None:
        return live or read
    return live if live.revision >= read.revision else read


def _facts(scene: Scene, summary: TaskSummary | None, detail: Detail) -> list[tuple[str, str, str]]:
    """Name, value and style of each fact that there is, the most telling first."""
    if detail.trouble:
        return [("trouble", detail.trouble, "bad")]
    if summary is None:
        return [("", "Reading ...", "dim")]
    board, now = scene.board, scene.now
    session = board.sessions.get(summary.session_id)
    spent = None
    if summary.started_at and summary.attempt:
        spent = ((summary.ended_at or now) - summary.started_at).total_seconds()
    symbol, style = phrases.STATES.get(panels.task_word(summary), ("·", ""))
    state = f"{symbol} {panels.task_word(summary)}"
    if spent is not None and summary.status.value not in ("queued", "blocked"):
        state += f", {age(max(0.0, spent))}"
    state += f", try {summary.attempt}" if summary.attempt > 1 else ""
    facts = [("state", state, style)]
    if summary.error or summary.status.value == "failed":
        facts.append(("error", phrases.error_of(summary), "bad"))
    waits = detail.waits or ((summary.wait,) if summary.wait else ())
    if not summary.is_over and summary.status.value not in ("running", "cancelling"):
        facts += [("waits", phrases.why(wait), "warn") for wait in waits[:4]]
    if summary.progress_percent or summary.progress_message:
        facts.append(("progress", phrases.doing(summary), "run"))
    facts.append(("session", f"{session.name} ({summary.session_id})" if session else summary.session_id, ""))
    title = summary.title or (detail.task.summary.title if detail.task else "")
    if title:
        facts.append(("runs", title, ""))
    if detail.task is not None:
        facts += _of_spec(detail.task)
        if detail.task.attempts:
            facts.append(("where", _where(detail.task.attempts[-1]), ""))
    if summary.files:
        facts.append(("files", ", ".join(summary.files[:20]), ""))
    return facts


def _of_spec(task: Task) -> list[tuple[str, str, str]]:
    spec = task.spec
    facts = []
    if spec.needs:
        facts.append(("needs", ", ".join(spec.needs[:20]), ""))
    told = [
        f"{name} {value}" for name, value in (("slots", spec.slots), ("priority", spec.priority)) if value > 1
    ]
    told += [f"labels {', '.join(spec.labels)}"] if spec.labels else []
    if told:
        facts.append(("wants", ", ".join(told), ""))
    return facts


def _where(attempt: Attempt) -> str:
    told = [f"worker {attempt.worker_id}"]
    told += [f"on {attempt.host}"] if attempt.host else []
    told += [f"pid {attempt.pid}"] if attempt.pid else []
    told += [f"exit code {attempt.exit_code}"] if attempt.exit_code is not None else []
    told += [f"signal {attempt.signal}"] if attempt.signal else []
    return ", ".join(told)


def _output(scene: Scene, detail: Detail, summary: TaskSummary | None, width: int, height: int) -> list[Line]:
    if height < 2:
        return []
    room, count = height - 1, len(detail.lines)
    back = min(scene.ui.back, max(0, count - room))
    last = count - back
    shown = detail.lines[max(0, last - room) : last]
    live = summary is not None and summary.status.value in ("running", "cancelling")
    note = f"{amount(back)} lines below" if back else ("live" if live else "")
    lines = [rule("Output", note, width)]
    if not shown:
        text = "nothing yet" if live or detail.task is None else "it wrote nothing"
        return [*lines, fit((("  " + text, "dim"),), width)]
    return lines + [fit((("  ", ""), (clean(text), "")), width) for text in shown]


# ----------------------------------------------------------------- help

_HELP = (
    ("↑ ↓  j k", "move; in a task: scroll its output"),
    ("PgUp PgDn g G", "a page; the first, the last"),
    ("tab", "sessions, workers, tasks"),
    ("enter →", "open: a session's tasks, a task and its output, what a worker runs"),
    ("q escape ←", "back; q on the first page: leave"),
    ("/", "show only what contains a text (enter keeps, escape clears)"),
    ("f", "show only one kind of state; again: the next"),
    ("p  r", "pause, resume the session"),
    ("c", "cancel the selected session or task, after a question"),
    ("t", "try again: what failed of the session, or the selected task"),
    ("C  T", "the same for the whole session, from its tasks"),
    ("Ctrl+C", "leave; everything goes on without the dashboard"),
)
_SIGNS = (
    "● runs  ○ idle, new  · queued  ◇ waits for a lock  ✓ done  ✗ failed, away  ⊘ cancelled, skipped  "
    "‖ paused"
)


def help_lines(width: int, height: int) -> list[Line]:
    """The keys and the signs."""
    lines = [rule("Keys", "any key goes back", width)]
    lines += [fit((("  ", ""), (padded(keys, 15), "key"), (text, "")), width) for keys, text in _HELP]
    lines.append(rule("Signs", "", width))
    line = ""
    for sign in _SIGNS.split("  "):
        if line and width_of(line) + width_of(sign) + 4 > width:
            lines.append(fit((("  " + line, ""),), width))
            line = ""
        line = f"{line}  {sign}".strip()
    lines.append(fit((("  " + line, ""),), width))
    bar = "Bars: ━ done  ╍ at work  ─ left"
    return [*lines, fit((("  " + bar, ""),), width)][:height]
