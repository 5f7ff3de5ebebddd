"""Where the user is and what keys do: pages, selections, filters, questions. Pure: keys in, effects out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from buildrunner_parallel.records import Session, TaskSummary, Worker

from . import lists
from .allowed import Verb, refusal
from .cells import clean
from .fold import Board, TaskKey
from .lists import FILTERS, SESSIONS, TASKS, WORKERS, Filter, Listing

NOTICE_S = 6.0
MAX_FILTER = 60


@dataclass(frozen=True, slots=True)
class Page:
    """The overview, a session's tasks, or one task."""

    kind: Literal["overview", "session", "task"] = "overview"
    session_id: str = ""
    task_id: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """The selected entry of a list; where it was, in case it is gone."""

    key: str | TaskKey = ""
    index: int = 0


@dataclass(frozen=True, slots=True)
class Action:
    """What the coordinator is asked to do; to the whole session where no task is named."""

    verb: Verb
    session_id: str
    task_id: str = ""


@dataclass(frozen=True, slots=True)
class Leave:
    """The user wants out."""


Effect = Action | Leave
Entries = Sequence[Session] | Sequence[Worker] | Sequence[TaskSummary]


@dataclass(frozen=True, slots=True)
class Ui:
    """Everything about the view that is not about the sessions themselves."""

    pages: tuple[Page, ...] = (Page(),)
    focus: str = SESSIONS
    marks: Mapping[str, Mark] = field(default_factory=lambda: MappingProxyType({}))
    filters: Mapping[str, Filter] = field(default_factory=lambda: MappingProxyType({}))
    typing: str | None = None
    question: Action | None = None
    question_text: str = ""
    notice: str = ""
    notice_style: str = ""
    notice_until_s: float = 0.0
    helping: bool = False
    compact: bool = False
    # Lines that the output of a task is scrolled back from its end.
    back: int = 0

    @property
    def page(self) -> Page:
        return self.pages[-1]

    @property
    def list_name(self) -> str:
        """Which list the arrows move in."""
        return self.focus if self.page.kind == "overview" else TASKS

    @property
    def mark_name(self) -> str:
        """Selections and filters of different pages do not mix."""
        return f"{self.page.session_id}/{TASKS}" if self.page.kind == "session" else self.list_name

    def filter_of(self, name: str) -> Filter:
        return self.filters.get(name, Filter())

    @property
    def filter(self) -> Filter:
        return self.filter_of(self.mark_name)

    def told(self, text: str, style: str, now_s: float) -> Ui:
        """With one line in the status bar for a while."""
        return replace(self, notice=clean(text), notice_style=style, notice_until_s=now_s + NOTICE_S)


@dataclass(frozen=True, slots=True)
class Known:
    """What a key may depend on: the board, the listing and the task of the present page, the time, how far a
    page is."""

    board: Board
    listing: Listing | None = None
    task: TaskSummary | None = None
    now_s: float = 0.0
    page_rows: int = 10
    log_lines: int = 0


def entries(ui: Ui, known: Known, name: str = "") -> Entries:
    """The entries of the present list, or of that of the overview with this name."""
    page = ui.page
    if page.kind == "session":
        return lists.tasks(known.board, page.session_id, ui.filter, known.listing)
    name = name or ui.focus
    chosen = ui.filter_of(name)
    if name == SESSIONS:
        return lists.sessions(known.board, chosen)
    if name == WORKERS:
        return lists.workers(known.board, chosen)
    return lists.tasks(known.board, "", chosen)


def marked(ui: Ui, found: Entries, name: str = "") -> int:
    """The index of the selected entry; where it was when it is gone; 0 in an empty list."""
    mark = ui.marks.get(name or ui.mark_name, Mark())
    for index in range(len(found)):
        if lists.key_of(found[index]) == mark.key:
            return index
    return max(0, min(mark.index, len(found) - 1))


def press(ui: Ui, key: str, known: Known) -> tuple[Ui, list[Effect]]:
    """What a key does. Keys are single characters, or names such as `up`, `enter`, `escape`."""
    if ui.question is not None:
        return _answer(ui, key, known.now_s)
    if ui.typing is not None:
        return _type(ui, key), []
    if ui.helping:
        return replace(ui, helping=False), []
    if key in _MOVES:
        return _move(ui, key, known), []
    if key in ("tab", "backtab"):
        return _switch(ui, 1 if key == "tab" else -1), []
    if key in ("q", "escape", "left", "backspace", "h"):
        return _back(ui, key)
    if key in ("enter", "right", "l"):
        return _open(ui, known), []
    if key in _VERBS:
        return _ask(ui, _VERBS[key], known, target(ui, known))
    if key in ("C", "T"):
        return _ask(ui, _VERBS[key.lower()], known, (target(ui, known)[0] or ui.page.session_id, ""))
    return _other(ui, key), []


def _other(ui: Ui, key: str) -> Ui:
    if key == "?":
        return replace(ui, helping=True)
    if key == "/" and ui.page.kind != "task":
        return replace(ui, typing=ui.filter.text)
    if key == "f" and ui.page.kind != "task":
        words = FILTERS[ui.list_name]
        present = words.index(ui.filter.state)
        return _filtered(ui, replace(ui.filter, state=words[(present + 1) % len(words)]))
    return ui


def _filtered(ui: Ui, chosen: Filter) -> Ui:
    return replace(ui, filters=MappingProxyType({**ui.filters, ui.mark_name: chosen}))


def _type(ui: Ui, key: str) -> Ui:
    assert ui.typing is not None
    if key == "enter":
        return replace(ui, typing=None)
    if key == "escape":
        return _filtered(replace(ui, typing=None), replace(ui.filter, text=""))
    text = ui.typing
    if key == "backspace":
        text = text[:-1]
    elif key == "clear":
        text = ""
    elif len(key) == 1 and len(text) < MAX_FILTER:
        text += clean(key)
    return _filtered(replace(ui, typing=text), replace(ui.filter, text=text))


# ----------------------------------------------------------------- moving about

_MOVES = {
    "up": -1, "k": -1, "down": 1, "j": 1, "pageup": -2, "pagedown": 2, " ": 2, "home": -3, "g": -3, "end": 3,
    "G": 3,
}  # fmt: skip


def _move(ui: Ui, key: str, known: Known) -> Ui:
    step = _MOVES[key]
    by = {1: 1, 2: max(1, known.page_rows - 1), 3: 1 << 30}[abs(step)] * (1 if step > 0 else -1)
    if ui.page.kind == "task":
        # Up goes back in the output, whose end is shown.
        return replace(ui, back=max(0, min(ui.back - by, known.log_lines)))
    found = entries(ui, known)
    if not found:
        return ui
    index = max(0, min(marked(ui, found) + by, len(found) - 1))
    return _with_mark(ui, ui.mark_name, Mark(lists.key_of(found[index]), index))


def _with_mark(ui: Ui, name: str, mark: Mark) -> Ui:
    return replace(ui, marks=MappingProxyType({**ui.marks, name: mark}))


def _switch(ui: Ui, step: int) -> Ui:
    if ui.page.kind != "overview":
        return ui
    order = (SESSIONS, WORKERS, TASKS)
    return replace(ui, focus=order[(order.index(ui.focus) + step) % len(order)])


def _back(ui: Ui, key: str) -> tuple[Ui, list[Effect]]:
    """From a page to the one before; a filter goes first. Out of the first page only with q."""
    if key == "escape" and ui.filter.is_set and ui.page.kind != "task":
        return _filtered(ui, Filter()), []
    if len(ui.pages) > 1:
        return replace(ui, pages=ui.pages[:-1], back=0), []
    if key == "q":
        return ui, [Leave()]
    if ui.page.kind != "overview":
        # That of a session that was asked for by name: its surroundings.
        return replace(ui, pages=(Page(),)), []
    return ui, []


def _open(ui: Ui, known: Known) -> Ui:
    if ui.page.kind == "task":
        return ui
    found = entries(ui, known)
    if not found:
        return ui
    index = marked(ui, found)
    entry = found[index]
    ui = _with_mark(ui, ui.mark_name, Mark(lists.key_of(entry), index))
    if isinstance(entry, Session):
        page = Page("session", entry.session_id)
    elif isinstance(entry, TaskSummary):
        page = Page("task", entry.session_id, entry.task_id)
    elif entry.tasks:
        page = Page("task", entry.tasks[0].session_id, entry.tasks[0].task_id)
    else:
        return ui.told(f"Worker {entry.worker_id} runs nothing", "dim", known.now_s)
    return replace(ui, pages=(*ui.pages, page), back=0)


# ----------------------------------------------------------------- actions

_VERBS: dict[str, Verb] = {"p": "pause", "r": "resume", "c": "cancel", "t": "retry"}


def target(ui: Ui, known: Known) -> tuple[str, str]:
    """Session and task that an action is for; both empty when nothing is selected."""
    if ui.page.kind == "task":
        return ui.page.session_id, ui.page.task_id
    found = entries(ui, known)
    if ui.page.kind == "session" and not found:
        return ui.page.session_id, ""
    if not found:
        return "", ""
    entry = found[marked(ui, found)]
    if isinstance(entry, TaskSummary):
        return entry.session_id, entry.task_id
    if isinstance(entry, Session):
        return entry.session_id, ""
    return (entry.tasks[0].session_id, entry.tasks[0].task_id) if entry.tasks else ("", "")


def _ask(ui: Ui, verb: Verb, known: Known, chosen: tuple[str, str]) -> tuple[Ui, list[Effect]]:
    session_id, task_id = chosen
    if not session_id:
        return ui.told(f"Nothing to {verb} is selected", "warn", known.now_s), []
    if verb in ("pause", "resume"):
        task_id = ""
    action = Action(verb, session_id, task_id)
    if why := _refused(action, known):
        return ui.told(why, "warn", known.now_s), []
    if verb != "cancel":
        return ui.told(f"{_DOING[verb]} {_named(action, known.board)} ...", "dim", known.now_s), [action]
    return replace(ui, question=action, question_text=_question(action, known.board)), []


def _refused(action: Action, known: Known) -> str:
    """Why the state of what is selected does not allow it; not while that may be old."""
    if not known.board.connected:
        return ""
    session = known.board.sessions.get(action.session_id)
    task = _known_task(known, action.session_id, action.task_id) if action.task_id else None
    return refusal(action.verb, session, task) if task or not action.task_id else ""


def _known_task(known: Known, session_id: str, task_id: str) -> TaskSummary | None:
    """Its newest state here: that of the feed, else as it was read last."""
    board, key = known.board, (session_id, task_id)
    for table in (board.running, board.waiting, board.failures, board.ended):
        if key in table:
            return table[key]
    read = list(known.listing.tasks) if known.listing is not None else []
    for one in (*filter(None, [known.task]), *read, *board.queue(session_id)):
        if (one.session_id, one.task_id) == key:
            return one
    return None


_DOING = {"pause": "Pausing", "resume": "Resuming", "cancel": "Cancelling", "retry": "Retrying"}


def _named(action: Action, board: Board) -> str:
    if action.task_id:
        return f"task {clean(action.task_id)}"
    session = board.sessions.get(action.session_id)
    return f"session {action.session_id} ({clean(session.name)})" if session else action.session_id


def _question(action: Action, board: Board) -> str:
    text = f"Cancel {_named(action, board)}"
    session = board.sessions.get(action.session_id)
    if session is not None and not action.task_id:
        left = session.total_tasks - session.done_tasks
        running = session.counts.running + session.counts.cancelling
        text += f", {left} of {session.total_tasks} tasks left, {running} running"
    return f"{text}?"


def _answer(ui: Ui, key: str, now_s: float) -> tuple[Ui, list[Effect]]:
    """Only y means yes; keys that are no answer change nothing."""
    action = ui.question
    assert action is not None
    if key in ("y", "Y"):
        ui = replace(ui, question=None).told("Cancelling ...", "dim", now_s)
        return ui, [action]
    if key in ("n", "N", "escape", "q", "enter"):
        return replace(ui, question=None).told("Nothing was cancelled", "dim", now_s), []
    return ui, []
