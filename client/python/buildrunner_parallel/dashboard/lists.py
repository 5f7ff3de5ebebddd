"""The lists that one can move in: which entries they have, in which order, under which filter. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from buildrunner_parallel.records import Session, TaskSummary, Worker

from .fold import Board, TaskKey, waits_for_locks
from .phrases import session_word, worker_word

SESSIONS, WORKERS, TASKS = "sessions", "workers", "tasks"

# The words of the state filter of each list, the first meaning all.
FILTERS: dict[str, tuple[str, ...]] = {
    SESSIONS: ("all", "active", "failed", "ended"),
    WORKERS: ("all", "busy", "idle", "away"),
    TASKS: ("all", "running", "waiting", "failed", "succeeded"),
}
_SESSION_WORDS = {
    "active": ("created", "running", "paused", "cancelling"),
    "failed": ("failed",),
    "ended": ("completed", "failed", "cancelled"),
}
_WORKER_WORDS = {"busy": ("busy", "draining"), "idle": ("idle",), "away": ("offline", "error")}
TASK_STATES: dict[str, tuple[str, ...]] = {
    "running": ("running", "cancelling"),
    "waiting": ("queued", "blocked", "assigned"),
    "failed": ("failed",),
    "succeeded": ("succeeded",),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What of a list is shown: entries that contain `text`, whatever its case, in `state`."""

    text: str = ""
    state: str = "all"

    @property
    def is_set(self) -> bool:
        return bool(self.text) or self.state != "all"

    def has(self, *texts: str) -> bool:
        """Whether the text is in one of them."""
        wanted = self.text.casefold()
        return not wanted or any(wanted in text.casefold() for text in texts)


@dataclass(frozen=True, slots=True)
class Listing:
    """Tasks of a session that were read apart from the feed, for one filter; `whole` when they are all."""

    session_id: str
    filter: Filter
    tasks: tuple[TaskSummary, ...] = ()
    whole: bool = False


def sessions(board: Board, chosen: Filter = Filter()) -> list[Session]:
    """Active ones first, in the order of their creation; then those that ended last."""
    found = [
        one
        for one in board.sessions.values()
        if (chosen.state == "all" or session_word(one) in _SESSION_WORDS[chosen.state])
        and chosen.has(one.name, one.session_id)
    ]
    return sorted(found, key=_session_order)


def _session_order(session: Session) -> tuple[bool, float]:
    if session.is_over:
        return True, -(session.ended_at.timestamp() if session.ended_at else 0.0)
    return False, session.created_at.timestamp() if session.created_at else 0.0


def workers(board: Board, chosen: Filter = Filter()) -> list[Worker]:
    """In the order of registration, so that rows stay where they are; those that are away last."""
    found = list(board.workers.values())
    if chosen.is_set:
        found = [
            one
            for one in found
            if (chosen.state == "all" or worker_word(one) in _WORKER_WORDS[chosen.state])
            and chosen.has(one.worker_id, one.host, *(ref.task_id for ref in one.tasks))
        ]
    return sorted(found, key=lambda one: one.status.value in ("offline", "error"))


def tasks(
    board: Board, session_id: str = "", chosen: Filter = Filter(), listing: Listing | None = None
) -> list[TaskSummary]:
    """What runs, then what waits, of one session or of all; of one what failed and ended, too.

    Of a session whose tasks were listed, those too, in the order of submission; of a task that the feed tells
    of its newest state is shown.
    """
    live = [task for key, task in board.running.items() if not session_id or key[0] == session_id]
    live += board.queue(session_id)
    if session_id:
        over = board.failures | board.ended
        known = [task for task in over.values() if task.session_id == session_id]
        live += sorted(known, key=_end_order)
        live += _others(listing, session_id, chosen, live)
        live.sort(key=_rank)
    if not chosen.is_set:
        return live
    states = TASK_STATES.get(chosen.state)
    return [
        task
        for task in live
        if (states is None or task.status.value in states)
        and chosen.has(task.task_id, task.title, task.error, task.worker_id)
    ]


def _others(
    listing: Listing | None, session_id: str, chosen: Filter, known: Sequence[TaskSummary]
) -> list[TaskSummary]:
    if listing is None or listing.session_id != session_id or listing.filter != chosen:
        return []
    mine = {task.task_id for task in known}
    return [task for task in listing.tasks if task.task_id not in mine]


def _end_order(task: TaskSummary) -> float:
    """The latest first."""
    return -(task.ended_at.timestamp() if task.ended_at else 0.0)


_RANKS = {"running": 0, "cancelling": 0, "failed": 1, "queued": 3, "assigned": 4, "blocked": 5}


def _rank(task: TaskSummary) -> int:
    """What runs, what failed, what waits for locks, what waits for something else, what is over."""
    return 2 if waits_for_locks(task) else _RANKS.get(task.status.value, 6)


def key_of(entry: Session | Worker | TaskSummary) -> str | TaskKey:
    """What an entry is known by while it stays."""
    if isinstance(entry, Session):
        return entry.session_id
    if isinstance(entry, Worker):
        return entry.worker_id
    return (entry.session_id, entry.task_id)
