"""What must always hold. `check` recounts everything that the core keeps count of, the slow way.

Run after every step of the simulator, and after every batch of a coordinator in its debug mode. The
numbers in brackets are those of docs/reliability.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from buildrunner_coordinator.domain.locks import HELD
from buildrunner_coordinator.domain.model import (
    TASK_HELD,
    TASK_OVER,
    LockMode,
    PathRequest,
    SessionStatus,
    Task,
    TaskStatus,
    WorkerStatus,
)
from buildrunner_coordinator.domain.paths import key_of
from buildrunner_coordinator.domain.state import State


class InvariantError(AssertionError):
    """Something that must always hold does not: a bug. The message names what and where."""


def check(core: State) -> None:
    """Raises InvariantError at the first violation."""
    for message in _violations(core):
        raise InvariantError(message)


def _violations(core: State) -> Iterator[str]:
    yield from _counts(core)
    yield from _tasks(core)
    yield from _attempts(core)
    yield from _workers(core)
    yield from _locks(core)
    yield from _sessions(core)


def _counts(core: State) -> Iterator[str]:
    """[14] Every counter equals a recount."""
    for session_id, mine in core.tasks.items():
        found = Counter(task.status for task in mine.values()) + Counter(core.ended[session_id].values())
        kept = core.sessions[session_id].counts
        if {k: v for k, v in kept.items() if v} != dict(found):
            yield f"session {session_id} counts {kept}, a recount gives {dict(found)}"
    taken: Counter[str] = Counter()
    for task in core.attempts.values():
        taken[task.session_id] += task.traits.slots
    for session in core.sessions.values():
        if session.slots_taken != taken[session.session_id]:
            yield f"session {session.session_id} counts {session.slots_taken} slots, there are {taken} [14]"
    unstarted = sum(1 for t in core.attempts.values() if t.attempt is not None and not t.attempt.started)
    if unstarted != core.queue.unstarted:
        yield f"{core.queue.unstarted} unstarted attempts are counted, there are {unstarted}"


def _tasks(core: State) -> Iterator[str]:
    for session_id, mine in core.tasks.items():
        ended = core.ended[session_id]
        for task in mine.values():
            where = f"task {session_id}/{task.task_id}"
            if task.status in TASK_OVER or task.task_id in ended:
                yield f"{where} is {task.status} and still live [2]"
            if task.status in (TaskStatus.ASSIGNED, TaskStatus.RUNNING) and task.attempt is None:
                yield f"{where} is {task.status} without an attempt"
            if task.attempt is not None and task.status not in TASK_HELD:
                yield f"{where} is {task.status} with a live attempt [12]"
            if task.crashes > core.settings.crash_limit:
                yield f"{where} has crashed {task.crashes} times [13]"
            left = sum(ended.get(need) is not TaskStatus.SUCCEEDED for need in task.needs)
            if task.status is TaskStatus.BLOCKED and (left == 0 or left != task.needs_left):
                yield f"{where} counts {task.needs_left} open needs, there are {left}"
            if task.status is not TaskStatus.BLOCKED and left:
                yield f"{where} is {task.status} before its needs are done [12]"
        yield from _queued(core, session_id, mine)


def _queued(core: State, session_id: str, mine: dict[str, Task]) -> Iterator[str]:
    """[15] Every queued task is in a lane, parked, or has a time before which it may not run.

    Those of a session that is ending are only to be cancelled, and need no place.
    """
    if core.sessions[session_id].ending_as is not None:
        return
    lanes = core.queue.lanes.get(session_id, {})
    in_lane = {id(task) for lane in lanes.values() for _, _, task in lane}
    for task in mine.values():
        if task.status is not TaskStatus.QUEUED:
            continue
        parked = task.key in core.queue.waiters.behind
        waits = task.not_before_us > core.now.us
        if id(task) not in in_lane and not parked and not waits:
            yield f"task {session_id}/{task.task_id} is queued and nowhere to be found [15]"


def _attempts(core: State) -> Iterator[str]:
    """[3] One live attempt a task, known to its worker; [5] fences below the next one."""
    live = {t.attempt.attempt_id: t for m in core.tasks.values() for t in m.values() if t.attempt is not None}
    if live.keys() != core.attempts.keys():
        yield f"live attempts {live.keys() ^ core.attempts.keys()} are indexed wrongly [3]"
    for attempt_id, task in live.items():
        attempt = task.attempt
        assert attempt is not None
        if attempt.fence >= core.next_fence or attempt.fence != task.fence or attempt.number != task.attempts:
            yield f"attempt {attempt_id} has fence {attempt.fence} and number {attempt.number} [5]"
        if core.workers[attempt.worker_id].attempts.get(attempt_id) is not attempt:
            yield f"attempt {attempt_id} is unknown to worker {attempt.worker_id} [3]"


def _workers(core: State) -> Iterator[str]:
    for worker in core.workers.values():
        where = f"worker {worker.worker_id}"
        taken = sum(core.attempts[one].traits.slots for one in worker.attempts)
        if taken != worker.slots_taken:
            yield f"{where} counts {worker.slots_taken} slots taken, there are {taken} [14]"
        if worker.status is WorkerStatus.OFFLINE and worker.attempts:
            yield f"{where} is offline with {len(worker.attempts)} attempts"
        if worker.status is WorkerStatus.IDLE and worker.attempts:
            yield f"{where} is idle with {len(worker.attempts)} attempts"
        if worker.status is WorkerStatus.BUSY and not worker.attempts:
            yield f"{where} is busy with nothing"
        heavy = [one for one in worker.attempts if core.attempts[one].traits.slots > worker.slots]
        if heavy:
            yield f"{where} has {worker.slots} slots and attempt {heavy[0]}, which needs more [14]"


def _locks(core: State) -> Iterator[str]:
    """[6] No two incompatible holders; [7] an attempt holds all its paths or is not there."""
    holders: list[tuple[str, PathRequest]] = []
    expected = {
        t.attempt.attempt_id: t.files for t in core.attempts.values() if t.files and t.attempt is not None
    }
    expected |= {one.attempt_id: one.files for one in core.lapses.values() if one.files}
    held = {owner: files for owner, ticket, files in core.locks.owners() if ticket == HELD}
    if held != expected:
        yield f"locks are held by {sorted(held)}, attempts and lapses give {sorted(expected)} [7]"
    for owner, files in held.items():
        for one in files:
            clash = next((other for other in holders if _clash(owner, one, *other)), None)
            if clash is not None:
                yield f"{owner} and {clash[0]} both hold {one.path} [6]"
        holders.extend((owner, one) for one in files)
    waiting = {owner for owner, ticket, _ in core.locks.owners() if ticket != HELD}
    places = {f"{session_id}/{task_id}" for session_id, task_id in core.queue.waiters.waiting}
    if waiting != places:
        yield f"waiters {waiting ^ places} are in the order or in the table, not in both"
    woken = core.queue.waiters.waiting - core.queue.waiters.behind.keys()
    if woken != core.queue.waiters.woken.keys():
        yield f"waiters {woken ^ core.queue.waiters.woken.keys()} are neither parked nor woken, or both"
    for key, behind in core.queue.waiters.behind.items():
        if behind not in core.locks:
            yield f"task {key} is parked behind {behind}, who is not there [15]"


def _clash(owner: str, one: PathRequest, other_owner: str, other: PathRequest) -> bool:
    if owner == other_owner or (one.mode is LockMode.SHARED and other.mode is LockMode.SHARED):
        return False
    mine, theirs = key_of(one), key_of(other)
    shorter = min(len(mine), len(theirs))
    return mine[:shorter] == theirs[:shorter]


def _sessions(core: State) -> Iterator[str]:
    for session in core.sessions.values():
        where = f"session {session.session_id}"
        if session.is_over == (session.session_id in core.tasks):
            kept = "kept" if session.is_over else "gone"
            yield f"{where} is {session.status}, and memory of its tasks is {kept}"
        if session.is_over and session.ending_as is not None:
            yield f"{where} is over and still ending"
        if session.status is SessionStatus.CREATED and any(
            task.attempt is not None for task in core.tasks[session.session_id].values()
        ):
            yield f"{where} has attempts before it was started"
