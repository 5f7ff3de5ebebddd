"""Taking paths by hand and by programs: at once, or standing in line for them.

Whoever must wait stands in one order with the tasks that do. Its answer goes to its own address once
there is one, in the commit that grants. A repeated request id is answered by what it got at first, as long
as that is held; behind a restart it finds its place in the order, if it asks within the lock delay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain import (
    conflicts,
    deadlocks,
    finding,
    grants,
    lock_checks,
    lock_times,
    waiting,
)
from buildrunner_coordinator.domain.deadlocks import request_name
from buildrunner_coordinator.domain.locks import Party
from buildrunner_coordinator.domain.model import (
    Grant,
    LockMode,
    LockRequest,
    PathRequest,
    Session,
    Time,
)
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Acquired, Answer, LockView, Queued
from buildrunner_coordinator.domain.timers import Timer

if TYPE_CHECKING:
    from buildrunner_coordinator.domain.state import State


def acquire(core: State, command: c.AcquireLocks, now: Time) -> Queued | Acquired:
    session = finding.find(core, command.session_id)
    files = lock_checks.checked_paths(command.files)
    known = _repeated(core, command, now)
    if known is not None:
        return known
    _check_alive(session)
    party = _party(core, session, command)
    core.hear(session)
    if _has_all(core, party, files):
        view = grants.held_view(core, party, files[0])
        assert view is not None
        return _again(core, party, files, view)
    request = LockRequest(
        command.waiter_id, session.session_id, command.attempt_id, party.id, files, core.next_ticket,
        now.wall_us, now.us, lease_ms=command.lease_ms, host=command.host, client_id=command.client_id,
        request_id=command.request_id, digest=command.digest,
    )  # fmt: skip
    blockers = waiting.in_the_way(core, files, request.ticket, party)
    if not blockers:
        grant = _grant(core, request, now)
        return grants.acquired(core, grant, files)
    if not command.wait_ms:
        raise conflicts.refusal(core, conflicts.of(core, files, party, request.ticket))
    _refuse_circle(core, session, files, request.ticket, party)
    if command.wait_ms > 0:
        request.deadline_us = now.us + command.wait_ms * 1000
        core.timers.add(request.deadline_us, Timer.LOCK_REQUEST, request.waiter_id)
    core.next_ticket += 1
    _stand(core, request, party)
    request.waits_for = waiting.park_request(core, request.waiter_id, blockers)
    return Queued(request.waiter_id, conflicts.place(core, request.ticket))


def leave_queue(core: State, command: c.LeaveQueue, now: Time) -> None:
    request = core.requesters.get(command.waiter_id)
    if request is not None:
        _end(core, request, given_up=True)
        return
    # Granted in the moment in which its asker went: nobody knows of it, so nobody would give it back.
    grant = core.grants.get(command.waiter_id)
    if grant is not None:
        grants.free(core, grant)


def serve(core: State, now: Time) -> None:
    """Grants what those who were called can have now, in order. Part of every placement."""
    called = core.queue.waiters.called
    while called:
        waiter_id = min(called, key=lambda one: core.requesters[one].ticket)
        request = core.requesters[waiter_id]
        del called[waiter_id]
        if not request.attached:
            continue
        party = _party_of(request)
        blockers = waiting.in_the_way(core, request.files, request.ticket, party)
        if blockers:
            request.waits_for = waiting.park_request(core, waiter_id, blockers)
            continue
        if request.waits_for:
            _note_wait(core, request)
        waited_us = now.us - request.since_us
        _drop(core, request)
        grant = _grant(core, request, now)
        waiting.remove_request(core, waiter_id)
        core.send(waiter_id, Answer(grants.acquired(core, grant, request.files, waited_us)))


def request_is_due(core: State, waiter_id: str, _: str, now: Time) -> None:
    """A timer: its time to wait is over, or nobody asked for it again behind a restart."""
    request = core.requesters.get(waiter_id)
    if request is None:
        return
    if not request.attached:
        _end(core, request, given_up=True)
    elif request.deadline_us and request.deadline_us <= now.us:
        found = conflicts.of(core, request.files, _party_of(request), request.ticket)
        _end(core, request, given_up=True)
        core.send(waiter_id, Answer(conflicts.refusal(core, found, now.us - request.since_us)))


def restore(core: State, request: LockRequest, now: Time) -> None:
    """Takes a stored one back to its place, where it waits for its asker to come again."""
    core.requesters[request.waiter_id] = request
    core.locks.add(request_name(request.waiter_id), request.files, _party_of(request), request.ticket)
    core.queue.waiters.called[request.waiter_id] = None
    core.timers.add(now.us + core.settings.lock_delay_ms * 1000, Timer.LOCK_REQUEST, request.waiter_id)


def end_attempt(core: State, attempt_id: str) -> None:
    """What it still waited for it needs no more."""
    mine = (
        [one for one in core.requesters.values() if one.attempt_id == attempt_id] if core.requesters else ()
    )
    for request in mine:
        _end(core, request, given_up=True)
        core.send(request.waiter_id, Answer(lock_checks.stale_attempt(attempt_id)))


def end_session(core: State, session: Session) -> None:
    for request in [one for one in core.requesters.values() if one.session_id == session.session_id]:
        _end(core, request, given_up=True)
        core.send(request.waiter_id, Answer(lock_checks.session_over(session)))


def give_own_up(core: State, session: Session) -> None:
    """What the session itself waits for it will not take while it is paused without its locks."""
    for request in [one for one in core.requesters.values() if one.root_id == session.session_id]:
        _end(core, request, given_up=True)
        core.send(request.waiter_id, Answer(lock_checks.locks_given_up(session)))


def _check_alive(session: Session) -> None:
    if session.is_over or session.ending_as is not None:
        raise lock_checks.session_over(session)


def _party(core: State, session: Session, command: c.AcquireLocks) -> Party:
    """On whose account. Raises Refusal (STALE) for an attempt or grant that is not alive under its fence, and
    (WRONG_STATE) for a session that has given its own up."""
    if command.attempt_id:
        task = core.attempts.get(command.attempt_id)
        if task is None or task.fence != command.fence or task.session_id != session.session_id:
            raise lock_checks.stale_attempt(command.attempt_id)
        return Party(command.attempt_id, session.session_id)
    if command.held_grant_id and command.lease_ms:
        outer = lock_checks.live_grant(core, command.held_grant_id, command.held_fence)
        if outer.session_id == session.session_id and not grants.is_own(outer):
            return grants.party_of(outer)
    if command.lease_ms:
        return Party(command.waiter_id, session.session_id)
    lock_checks.check_takes_its_own(session)
    return Party(session.session_id, session.session_id, True)


def _party_of(request: LockRequest) -> Party:
    return Party(request.root_id, request.session_id, request.root_id == request.session_id)


def _repeated(core: State, command: c.AcquireLocks, now: Time) -> Acquired | Queued | None:
    """What the same request id has got, or its place in the order. Raises Refusal when that is gone."""
    if not command.request_id:
        return None
    name = (command.client_id, command.request_id)
    for request in core.requesters.values():
        if (request.client_id, request.request_id) == name:
            _check_same(request.digest, command)
            return _come_again(core, request, command)
    kept = core.requests.lookup(*name, command.digest)
    if kept is None:
        return None
    grant = core.grants.get(kept.decode())
    if grant is None or grant.until_us or grant.suspended:
        raise Refusal(
            Reason.LOCK_NOT_HELD,
            f"Grant {kept.decode()}, which this request got, is not held any more. Ask anew.",
            id=kept.decode(),
        )
    # Whoever gets this answer counts the lease from when it asked again.
    grants.renew(core, grant)
    return grants.acquired(core, grant, grant.files)


def _check_same(digest: bytes, command: c.AcquireLocks) -> None:
    if digest != command.digest:
        raise Refusal(
            Reason.REQUEST_ID_REUSED,
            f"The request id {command.request_id!r} was used for another request. Make a new one for each.",
        )


def _come_again(core: State, request: LockRequest, command: c.AcquireLocks) -> Queued:
    """It goes on waiting at its old place, under the address at which it now listens."""
    party = _party_of(request)
    if request.root_id == request.waiter_id:
        party = party._replace(id=command.waiter_id)
    core.send(request.waiter_id, Answer(Refusal(Reason.STALE, "The same request was made again elsewhere.")))
    _drop(core, request)
    waiting.remove_request(core, request.waiter_id)
    request.waiter_id, request.root_id, request.attached = command.waiter_id, party.id, True
    if request.deadline_us:
        core.timers.add(request.deadline_us, Timer.LOCK_REQUEST, request.waiter_id)
    _stand(core, request, party)
    core.queue.waiters.called[request.waiter_id] = None
    return Queued(request.waiter_id, conflicts.place(core, request.ticket))


def _stand(core: State, request: LockRequest, party: Party) -> None:
    core.requesters[request.waiter_id] = request
    core.journal.lock_requests[request.waiter_id] = request
    core.locks.add(request_name(request.waiter_id), request.files, party, request.ticket)


def _drop(core: State, request: LockRequest) -> None:
    del core.requesters[request.waiter_id]
    core.journal.lock_requests.pop(request.waiter_id, None)
    core.journal.removed_lock_requests.append(request.waiter_id)


def _end(core: State, request: LockRequest, *, given_up: bool) -> None:
    if given_up and request.waits_for:
        _note_wait(core, request, given_up=True)
    _drop(core, request)
    waiting.remove_request(core, request.waiter_id)


def _note_wait(core: State, request: LockRequest, *, given_up: bool = False) -> None:
    lock_times.note_wait(
        core, ("", request.waiter_id), request.waits_for, request.since_us, session_id=request.session_id,
        grant_id=request.waiter_id, host=request.host, given_up=given_up,
    )  # fmt: skip


def _has_all(core: State, party: Party, files: tuple[PathRequest, ...]) -> bool:
    held = [grants.held_view(core, party, one) for one in files]
    return all(
        view is not None and (view.mode is LockMode.EXCLUSIVE or wanted.mode is LockMode.SHARED)
        for view, wanted in zip(held, files, strict=True)
    )


def _again(core: State, party: Party, files: tuple[PathRequest, ...], first: LockView) -> Acquired:
    views = [grants.held_view(core, party, one) for one in files]
    grant_id, lease_ms = first.holder.grant_id, 0
    if grant_id:
        grants.renew(core, core.grants[grant_id])
        lease_ms = core.grants[grant_id].lease_ms
    return Acquired(grant_id, first.fence, tuple(filter(None, views)), lease_ms, already_held=True)


def _grant(core: State, request: LockRequest, now: Time) -> Grant:
    """What it does not hold yet, under a fence of its own; a shared lock that it had becomes exclusive."""
    party = _party_of(request)
    wanted = []
    shared: dict[str, list[PathRequest]] = {}
    for one in request.files:
        held = grants.held_view(core, party, one)
        if held is not None and one.mode is LockMode.EXCLUSIVE and held.mode is LockMode.SHARED:
            shared.setdefault(held.holder.grant_id, []).append(one)
        elif held is not None:
            continue
        wanted.append(one)
    for grant_id, files in shared.items():
        _give_up_shared(core, grant_id, files)
    grant = Grant(
        request.waiter_id, request.session_id, request.attempt_id, party.id, _fence(core, request),
        tuple(wanted), now.wall_us, now.us, request.lease_ms, request.host, client_id=request.client_id,
        request_id=request.request_id, digest=request.digest,
    )  # fmt: skip
    if wanted:
        grants.add(core, grant)
        if request.request_id:
            name = (request.client_id, request.request_id)
            core.requests.remember(*name, request.digest, grant.grant_id.encode(), now)
    return grant


def _fence(core: State, request: LockRequest) -> int:
    """An attempt has one for all; everybody else gets a new one."""
    task = core.attempts.get(request.attempt_id) if request.attempt_id else None
    return task.fence if task is not None else grants.next_fence(core)


def _give_up_shared(core: State, grant_id: str, wanted: list[PathRequest]) -> None:
    """A session's own lock is one, whatever its mode. What a task declared, and what an outer block holds
    shared, stays beside the exclusive one: the inner block gives back no more than it took."""
    grant = core.grants.get(grant_id)
    if grant is not None and grants.is_own(grant):
        grants.free_some(core, grant, tuple(one._replace(mode=LockMode.SHARED) for one in wanted))


def _refuse_circle(
    core: State, session: Session, files: tuple[PathRequest, ...], ticket: int, party: Party
) -> None:
    steps = deadlocks.circle(core, files, ticket, party)
    if steps:
        raise conflicts.deadlock(core, session, steps)
