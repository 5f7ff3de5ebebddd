"""What waiting for paths has cost: a row for each wait that is over, and each hold that others waited for.

Who finds its paths free writes nothing, so that locks without contention cost nothing more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_coordinator.domain.changes import LockTimeRow

if TYPE_CHECKING:
    from buildrunner_coordinator.domain.state import State

_MOST_PATHS = 16
"""Of one wait or hold that are written down."""


def note_wait(
    core: State, key: tuple[str, str], paths: tuple[str, ...], since_us: int, *, session_id: str = "",
    attempt_id: str = "", grant_id: str = "", host: str = "", given_up: bool = False,
) -> None:  # fmt: skip
    """Somebody waited for these paths, as their holders named them: a task, or else that session."""
    task_id = key[1] if key[0] else ""
    kind = "given_up" if given_up else "wait"
    span_us = max(0, core.now.us - since_us)
    for path in paths[:_MOST_PATHS]:
        _note(core, kind, path, key[0] or session_id, task_id, attempt_id, grant_id, host, span_us)


def note_hold(
    core: State, owner: str, since_us: int, key: tuple[str, str], *, grant_id: str = "", host: str = ""
) -> None:
    """This owner in the lock table lets go: written for the paths that those parked behind it wait for."""
    parked = core.queue.waiters.parked.get(owner)
    if not parked:
        return
    wanted: dict[str, None] = {}
    for waiter in parked:
        wanted.update(dict.fromkeys(waited_paths(core, waiter)))
        if len(wanted) >= _MOST_PATHS:
            break
    mine = {one.path for one in core.locks.requests(owner)}
    span_us = max(0, core.now.us - since_us)
    for path in [one for one in wanted if one in mine][:_MOST_PATHS]:
        attempt_id = "" if grant_id else owner
        _note(core, "hold", path, key[0], key[1], attempt_id, grant_id, host, span_us)


def waited_paths(core: State, key: tuple[str, str]) -> tuple[str, ...]:
    """The held paths that a waiter was found to wait for."""
    if not key[0]:
        request = core.requesters.get(key[1])
        return request.waits_for if request is not None else ()
    task = core.tasks.get(key[0], {}).get(key[1])
    return task.waits_for if task is not None else ()


def _note(
    core: State, kind: str, path: str, session_id: str, task_id: str, attempt_id: str, grant_id: str,
    host: str, span_us: int,
) -> None:  # fmt: skip
    rows = core.journal.lock_times
    rows.append(LockTimeRow(
        core.revision + 1, len(rows) + 1, core.now.us, core.now.wall_us, kind, path, session_id, task_id,
        attempt_id, grant_id, host, span_us,
    ))  # fmt: skip
