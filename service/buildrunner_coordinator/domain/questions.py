"""Questions to the store about what has left memory. Plain data; the answers are in `store/base.py`."""

from __future__ import annotations

from typing import NamedTuple

LOCK_TIMES = 200_000
"""So many lock times are read at most: the newest."""


class AttemptQuery(NamedTuple):
    """Which ended attempts of a session are read, and how much of them."""

    session_id: str
    task_ids: tuple[str, ...] = ()
    """Empty: of all tasks."""
    after: tuple[int, int, int] = (0, 0, 0)
    """Ended revision, task number and number of the last one that has been read."""
    limit: int = 100
    limit_bytes: int = 1 << 20
    """At least one is read, then no more than have this size together."""
    with_results: bool = True
    with_specs: bool = False


class EventQuery(NamedTuple):
    """Which events are read: those of a session (with `task_id` of one of its tasks), or of a worker."""

    session_id: str = ""
    task_id: str = ""
    worker_id: str = ""
    after: tuple[int, int] = (0, 0)
    """Revision and number of the last one that has been read."""
    limit: int = 100


class LockTimeQuery(NamedTuple):
    """Which lock times are read: the newest that fit, of one session or of all."""

    session_id: str = ""
    """Empty: of all sessions."""
    since_us: int = 0
    """Wall clock: only those that ended then or later."""
    before: tuple[int, int, int] | None = None
    """Time, revision and number of one: only older ones. The first of an answer leads to those before it."""
    limit: int = LOCK_TIMES
    """At most LOCK_TIMES. No commit takes place meanwhile, so large answers are better read in parts."""
