"""What must always hold. `check` recounts everything that the core keeps count of, the slow way.

Run after every step of the simulator, and after every batch of a coordinator in its debug mode. The
numbers in brackets are those of docs/reliability.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from buildrunner_coordinator.domain.deadlocks import request_name
from buildrunner_coordinator.domain.dependents import is_untold
from buildrunner_coordinator.domain.locks import HELD, Party, excludes
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
from buildrunner_coordinator.domain.paths import overlaps
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
            left = sum(
                ended.get(need) is not TaskStatus.SUCCEEDED or is_untold(core, task, need)
                for need in task.needs
            )
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
    in_lane = {id(task) for lane in lanes.values() for *_, task in lane}
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
        if worker.status is WorkerStatus.BUSY and not worker.attempts and not worker.is_passive:
            yield f"{where} is busy with nothing"
        heavy = [one for one in worker.attempts if core.attempts[one].traits.slots > worker.slots]
        if heavy:
            yield f"{where} has {worker.slots} slots and attempt {heavy[0]}, which needs more [14]"


def _locks(core: State) -> Iterator[str]:
    """[6] No two incompatible holders; [7] an attempt holds all its paths or is not there."""
    holders: list[tuple[Party, PathRequest]] = []
    expected = {
        t.attempt.attempt_id: t.files for t in core.attempts.values() if t.files and t.attempt is not None
    }
    expected |= {one.attempt_id: one.files for one in core.lapses.values() if one.files}
    expected |= {one.grant_id: one.files for one in core.grants.values() if not one.suspended}
    yield from _accounts(core)
    held = {owner: files for owner, ticket, files in core.locks.owners() if ticket == HELD}
    if held != expected:
        yield f"locks are held by {sorted(held)}, attempts and lapses give {sorted(expected)} [7]"
    for owner, files in held.items():
        party = core.locks.party(owner)
        assert party is not None
        for one in files:
            clash = next((other for other in holders if _clash(core, party, one, *other)), None)
            if clash is not None:
                yield f"{owner} and {clash[0].id} both hold {one.path} [6]"
        holders.extend((party, one) for one in files)
    waiting = {owner for owner, ticket, _ in core.locks.owners() if ticket != HELD}
    places = {f"{session_id}/{task_id}" for session_id, task_id in core.queue.waiters.waiting}
    places |= {request_name(waiter_id) for waiter_id in core.requesters}
    if waiting != places:
        yield f"waiters {waiting ^ places} are in the order or in the table, not in both"
    woken = core.queue.waiters.waiting - core.queue.waiters.behind.keys()
    if woken != core.queue.waiters.woken.keys():
        yield f"waiters {woken ^ core.queue.waiters.woken.keys()} are neither parked nor woken, or both"
    yield from _requests(core)
    for key, behind in core.queue.waiters.behind.items():
        if behind not in core.locks:
            yield f"task {key} is parked behind {behind}, who is not there [15]"


def _clash(core: State, mine: Party, one: PathRequest, theirs: Party, other: PathRequest) -> bool:
    if not excludes(mine, theirs) or (one.mode is LockMode.SHARED and other.mode is LockMode.SHARED):
        return False
    return bool(overlaps(one, other, core.folds_case))


def _requests(core: State) -> Iterator[str]:
    """[15] Who waits by hand is parked behind somebody, or will be looked at, or nobody would hear of it."""
    waiters = core.queue.waiters
    for waiter_id, request in core.requesters.items():
        if request.attached and (("", waiter_id) in waiters.behind) == (waiter_id in waiters.called):
            yield f"request {waiter_id} is neither parked nor called, or both [15]"
        if core.locks.ticket(request_name(waiter_id)) != request.ticket:
            yield f"request {waiter_id} stands at another place than its ticket {request.ticket} says"
    for key in waiters.aside:
        task = core.tasks.get(key[0], {}).get(key[1])
        if task is None or not task.ticket or key in waiters.waiting:
            yield f"task {key} stands aside without a ticket, or also in the order"


def _accounts(core: State) -> Iterator[str]:
    """[14] What is held by hand, by account and by session, equals a recount."""
    held = {
        (one.root_id, file.path, file.kind)
        for one in core.grants.values()
        if not one.suspended
        for file in one.files
    }
    kept = {(root, path, kind) for root, mine in core.accounts.items() for path, kind in mine}
    if held != kept:
        yield f"accounts hold {sorted(held ^ kept)} too much or too little [14]"
    by_session = {one for mine in core.session_grants.values() for one in mine}
    if by_session != set(core.grants):
        yield f"grants {by_session ^ set(core.grants)} are kept for a session, or in all, not in both [14]"


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
