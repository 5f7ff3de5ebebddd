"""Questions about everything, and orders to all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ListLocks:
    """Replies LockPage."""

    path: str = ""
    session_id: str = ""


@dataclass(slots=True)
class ReadSummary:
    """Replies Summary."""


@dataclass(slots=True)
class ReadAll:
    """Replies Everything: what a watcher's snapshot holds, at this batch's revision."""

    session_ids: tuple[str, ...] = ()
    """Tasks of these only; without any, no tasks."""


@dataclass(slots=True)
class DrainAll:
    """Every worker (of `host`, if named) is told to drain. Replies int, how many.

    With `stop_running` what they run is stopped too, and queued again at no cost.
    """

    host: str = ""
    reason: str = ""
    stop_running: bool = False


@dataclass(slots=True)
class FindAnswer:
    """Replies the encoded answer that is kept under a request id; empty bytes when there is none."""

    client_id: str
    request_id: str
    digest: bytes


@dataclass(slots=True)
class FindTask:
    """Replies TaskPlace: the full session id, and whether the task lives in memory.

    Raises nothing for tasks that are over: the store has them.
    """

    session_id: str
    task_id: str = ""
