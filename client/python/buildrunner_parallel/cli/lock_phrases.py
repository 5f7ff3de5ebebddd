"""Path locks in words: a path as people write it, who holds it, what is in the way. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_parallel.durations import format_duration

from .phrases import number_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from buildrunner_parallel.errors import LockConflictError
    from buildrunner_parallel.records import LockConflict, LockHolder, LockWaiter, LockWaitFigures, PathLock
    from buildrunner_parallel.specs import PathRequest

    from .invocation import Invocation

WHOLE = "./"
_FORGOTTEN_MS = 60_000


def path_text(path: str, kind: str) -> str:
    """A directory with a slash behind it; the repository itself as `./`."""
    if kind == "tree":
        return f"{path.rstrip('/')}/" if path not in ("", ".") else WHOLE
    return path or WHOLE


def lock_path(lock: PathLock) -> str:
    return path_text(lock.path, lock.kind.value)


def request_path(request: PathRequest) -> str:
    """With its mode where that is not the usual one."""
    shared = " (shared)" if request.mode == "shared" else ""
    return path_text(request.path, request.kind) + shared


def session_phrase(session_id: str, name: str) -> str:
    """Such as `session a3f2e1d9 (Build)`."""
    return f"session {session_id} ({name})" if name else f"session {session_id}"


def holder_phrase(holder: LockHolder) -> str:
    """Such as `task unit of session a3f2e1d9 (Build) on worker d4e5f6a7 at box`."""
    session = session_phrase(holder.session_id, holder.session_name)
    told = f"task {holder.task_id} of {session}" if holder.task_id else session
    if holder.worker_id:
        told += f" on worker {holder.worker_id}"
    return f"{told} at {holder.host}" if holder.host else told


def short_holder(holder: LockHolder) -> str:
    """For tables: session and task as other commands take them, and the session's name."""
    place = f"{holder.session_id}/{holder.task_id}" if holder.task_id else holder.session_id
    return f"{place} ({holder.session_name})" if holder.session_name else place


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `13th`."""
    last = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else last}"


def milliseconds(value_ms: int) -> str:
    return format_duration(value_ms / 1000)


def conflict_phrase(one: LockConflict) -> str:
    """What is in the way of a path: such as `src/ is held (exclusive) by session ... for 3m05s`."""
    held = path_text(one.held_path, one.held_kind.value)
    how = f"({one.held_mode.value}) by {holder_phrase(one.holder)}"
    for_time = milliseconds(one.held_ms)
    if one.queue_position:
        place = f"{ordinal(one.queue_position)} in the queue"
        return f"{held} was asked for before {how}, {place}, which waits for {for_time}"
    told = f"{held} is held {how} for {for_time}"
    if one.silent_ms >= _FORGOTTEN_MS:
        told += f", and nothing was heard of that session for {milliseconds(one.silent_ms)}"
    return told


def conflict_lines(run: Invocation, error: LockConflictError) -> list[str]:
    """One line for each clash: path asked for, who is in the way, what to do."""
    is_circle = error.reason == "DEADLOCK"
    return [
        f"  {one.asked_path or WHOLE} ({one.asked_mode.value}): {conflict_phrase(one)}; "
        + _way_out(run, one, is_circle)
        for one in error.conflicts
    ]


def _way_out(run: Invocation, one: LockConflict, is_circle: bool) -> str:
    if is_circle and not one.lock_id:
        return "nobody in a circle goes on before one of them gives up"
    if one.queue_position or not one.lock_id:
        return run.waiting
    if one.silent_ms >= _FORGOTTEN_MS:
        held = path_text(one.held_path, one.held_kind.value)
        return f"if nobody needs it: {run.command_line('unlock', one.holder.session_id, held)}"
    force = f"take it away: {run.command_line('unlock', '--force', one.lock_id)} --reason TEXT"
    return f"release it first, or {force}" if is_circle else f"{run.waiting}, or {force}"


def ends_phrase(lock: PathLock, now: datetime) -> str:
    """When it will be free, as far as anybody can say."""
    if lock.freed_at is not None:
        return f"holder lost, free in {_left(lock.freed_at, now)}"
    if lock.lease_ends_at is not None:
        return f"unless renewed, in {_left(lock.lease_ends_at, now)}"
    return "with its task" if lock.holder.task_id else "when released"


def _left(moment: datetime, now: datetime) -> str:
    return format_duration(max(0.0, (moment - now).total_seconds()))


def obstacles_phrase(waiter: LockWaiter, shown: int | None = None) -> str:
    """What a waiter waits for, as it is now; `shown` None tells of all."""
    conflicts = waiter.conflicts[:shown]
    told = "; ".join(_obstacles(conflicts))
    hidden = len(waiter.conflicts) - len(conflicts)
    if hidden:
        told += f" and {hidden} more"
    return told or ("a free worker" if waiter.waiter.task_id else "nothing: it is about to get them")


def waiter_phrase(waiter: LockWaiter) -> str:
    """Such as `has waited 12s for lib/x, 2nd in the queue: lib/ held by ...`."""
    paths = ", ".join(map(request_path, waiter.paths))
    place = f"{ordinal(waiter.position)} in the queue"
    return f"has waited {milliseconds(waiter.waited_ms)} for {paths}, {place}: {obstacles_phrase(waiter)}"


def waits_phrase(total: LockWaitFigures, within: str = "") -> str:
    """Waits that are over, in a sentence."""
    gave_up = f", {total.given_up} of them in vain" if total.given_up else ""
    return (
        f"{number_of(total.waits, 'wait')} for paths{within}{gave_up}: half within "
        f"{milliseconds(total.wait_p50_ms)}, 95 of 100 within {milliseconds(total.wait_p95_ms)}, the longest "
        f"{milliseconds(total.wait_max_ms)}"
    )


def is_by_hand(waiter: LockWaiter) -> bool:
    """It asked with `lock` or as a program, and is no task that waits for what it declared."""
    return bool(waiter.waiter.grant_id)


def _obstacles(conflicts: Sequence[LockConflict]) -> list[str]:
    """A phrase for each lock, and one for all who asked for a path before."""
    held: dict[str, None] = {}
    before: dict[str, dict[str, None]] = {}
    for one in conflicts:
        path = path_text(one.held_path, one.held_kind.value)
        if one.queue_position:
            before.setdefault(path, {})[short_holder(one.holder)] = None
        else:
            held[f"{path} held by {short_holder(one.holder)} for {milliseconds(one.held_ms)}"] = None
    return [*held, *(f"{path} asked for before by {', '.join(who)}" for path, who in before.items())]
