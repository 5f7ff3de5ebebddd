"""Paths held by hand or by a program: taken, renewed, lapsed, given up for a time, released, taken away.

Three kinds of account hold them. A session's own grants last until they are released or the session ends,
and its tasks may take what they hold. A grant with a lease holds for itself, for as long as it is renewed;
one taken within it goes to its account. An attempt may take more than it declared; that ends with it.
A lapse keeps the paths for the lock delay, as with attempts: what used them may still be ending.
"""

from __future__ import annotations

import zlib

from buildrunner_coordinator.domain import history, lock_times, waiting
from buildrunner_coordinator.domain.locks import Party
from buildrunner_coordinator.domain.model import Grant, LockMode, PathRequest, Session, Task, Time
from buildrunner_coordinator.domain.replies import Acquired, Holder, LockView
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.timers import Timer


def party_of(grant: Grant) -> Party:
    return Party(grant.root_id, grant.session_id, grant.root_id == grant.session_id)


def is_own(grant: Grant) -> bool:
    """It is the session's own, without a lease and outside of every attempt."""
    return grant.root_id == grant.session_id


def of_session(core: State, session_id: str) -> list[Grant]:
    """All, also those that were given up for a time."""
    return list(core.session_grants.get(session_id, {}).values())


def on_account(core: State, root_id: str) -> list[Grant]:
    """Those that hold something on one account, lapsed ones among them."""
    mine = core.accounts.get(root_id)
    return list({one.grant_id: one for one in mine.values()}.values()) if mine else []


def add(core: State, grant: Grant) -> None:
    """Makes it the holder of its paths. They are free for it."""
    core.journal.grants[grant.grant_id] = grant
    remember(core, grant)
    waiting.look_again(core, grant.session_id)
    core.journal.locks.extend(views(core, grant))


def remember(core: State, grant: Grant) -> None:
    """Takes a new or a stored one in."""
    core.grants[grant.grant_id] = grant
    core.session_grants.setdefault(grant.session_id, {})[grant.grant_id] = grant
    if not grant.suspended:
        enter(core, grant)


def enter(core: State, grant: Grant) -> None:
    """Into the lock table, with the timers that it needs."""
    _put_in(core, grant)
    if grant.until_us:
        core.timers.add(grant.until_us, Timer.GRANT_LAPSE, grant.grant_id)
    elif grant.lease_ms:
        grant.lease_until_us = core.now.us + grant.lease_ms * 1000
        core.timers.add(grant.lease_until_us, Timer.GRANT_LEASE, grant.grant_id)


def free(core: State, grant: Grant) -> None:
    """It is no more. Who waits for its paths is woken."""
    if not grant.suspended:
        _take_out(core, grant)
    del core.grants[grant.grant_id]
    mine = core.session_grants[grant.session_id]
    del mine[grant.grant_id]
    if not mine:
        del core.session_grants[grant.session_id]
    core.journal.grants.pop(grant.grant_id, None)
    core.journal.removed_grants.append(grant.grant_id)


def free_some(core: State, grant: Grant, files: tuple[PathRequest, ...]) -> None:
    """Some of its paths are no more; with the last of them goes the grant."""
    named = frozenset(files)
    gone = tuple(one for one in grant.files if one in named)
    left = tuple(one for one in grant.files if one not in named)
    if not left:
        free(core, grant)
        return
    if not grant.suspended:
        _note_hold(core, grant)
        core.locks.remove_some(grant.grant_id, gone)
        _are_free(core, grant, gone)
    grant.files = left
    core.journal.grants[grant.grant_id] = grant


def suspend(core: State, grant: Grant) -> None:
    """Gives its paths up and remembers them."""
    _take_out(core, grant)
    grant.suspended = True
    core.journal.grants[grant.grant_id] = grant


def take_again(core: State, grant: Grant) -> None:
    """A suspended one holds its paths again, under a new fence. They are free for it."""
    grant.suspended = False
    grant.fence = next_fence(core)
    grant.acquired_us, grant.acquired_at_us = core.now.us, core.now.wall_us
    core.journal.grants[grant.grant_id] = grant
    enter(core, grant)
    waiting.look_again(core, grant.session_id)
    core.journal.locks.extend(views(core, grant))


def renew(core: State, grant: Grant) -> None:
    """Its lease, if it has one, begins anew. As with heartbeats nothing is written: restarts do the same."""
    if grant.lease_ms:
        grant.lease_until_us = core.now.us + grant.lease_ms * 1000


def lapse(core: State, grant: Grant, why: str) -> None:
    """Its holder is lost: nobody gets its paths for the lock delay, and its fence is worth nothing."""
    if grant.until_us or grant.suspended:
        return
    grant.until_us = core.now.us + core.settings.lock_delay_ms * 1000
    core.journal.grants[grant.grant_id] = grant
    core.timers.add(grant.until_us, Timer.GRANT_LAPSE, grant.grant_id)
    history.note(core, "lock_lapsed", f"The locks of grant {grant.grant_id} lapsed ({paths(grant)}): {why}",
                 session_id=grant.session_id)  # fmt: skip
    core.journal.locks.extend(views(core, grant))


def lease_is_due(core: State, grant_id: str, _: str, now: Time) -> None:
    """A timer: renewed meanwhile, or lapsed."""
    grant = core.grants.get(grant_id)
    if grant is None or grant.until_us or grant.suspended:
        return
    if grant.lease_until_us > now.us:
        core.timers.add(grant.lease_until_us, Timer.GRANT_LEASE, grant_id)
    else:
        silence = history.duration(grant.lease_ms * 1000)
        lapse(core, grant, f"it was not renewed for {silence}")


def lapse_is_over(core: State, grant_id: str, _: str, now: Time) -> None:
    """A timer: what the holder left must be gone by now."""
    grant = core.grants.get(grant_id)
    if grant is not None and grant.until_us and grant.until_us <= now.us:
        free(core, grant)


def end_attempt(core: State, attempt_id: str, *, keep: bool) -> None:
    """The attempt is over: what it took on top of its task's paths goes with it, or lapses with them."""
    for grant in on_account(core, attempt_id):
        if keep:
            lapse(core, grant, "its attempt was lost")
        else:
            free(core, grant)


def end_session(core: State, session: Session, *, remember: bool) -> None:
    """The session is over. Its own grants go, with `remember` until a retry. Those with a lease are its
    users' to end: they are not renewed any more."""
    for grant in of_session(core, session.session_id):
        if not is_own(grant):
            continue
        if not remember:
            free(core, grant)
        elif not grant.suspended:
            suspend(core, grant)


def next_fence(core: State) -> int:
    fence = core.next_fence
    core.next_fence += 1
    return fence


def acquired(core: State, grant: Grant, files: tuple[PathRequest, ...], waited_us: int = 0) -> Acquired:
    """What its asker is told: each path that it asked for, by whichever of its grants holds it."""
    locks = tuple(held_view(core, party_of(grant), one) for one in files)
    return Acquired(grant.grant_id, grant.fence, tuple(filter(None, locks)), grant.lease_ms, waited_us)


def held_view(core: State, party: Party, wanted: PathRequest) -> LockView | None:
    """The lock by which this account holds exactly that path, whatever the mode; None if none does."""
    grant = core.accounts.get(party.id, {}).get((wanted.path, wanted.kind))
    if grant is not None:
        return None if grant.until_us else view_of(core, grant, wanted)
    task = core.attempts.get(party.id)
    if task is not None and task.attempt is not None:
        for view, one in zip(waiting.lock_views(core, task, task.attempt), task.files, strict=True):
            if (one.path, one.kind) == (wanted.path, wanted.kind):
                return view
    return None


def view_of(core: State, grant: Grant, wanted: PathRequest) -> LockView:
    """Of one of its paths, which is named in whatever mode."""
    held = grant.file(wanted.path, wanted.kind)
    assert held is not None, f"{wanted.path} is not held by {grant.grant_id}"
    return _views(core, grant, held)[0]


def views(core: State, grant: Grant) -> list[LockView]:
    return _views(core, grant, *grant.files)


def _views(core: State, grant: Grant, *files: PathRequest) -> list[LockView]:
    holder = holder_of(core, grant)
    lease_us = grant.lease_until_us if grant.lease_ms and not grant.until_us else 0
    return [
        LockView(lock_id(grant, one), one.path, one.mode, one.kind, holder, grant.fence, grant.acquired_at_us,
                 grant.until_us, lease_us)
        for one in files
    ]  # fmt: skip


def lock_id(grant: Grant, request: PathRequest) -> str:
    """The same for as long as the grant holds that path, whatever else it gives back."""
    return f"{grant.grant_id}-{zlib.crc32(f'{request.kind}:{request.path}'.encode()):08x}"


def holder_of(core: State, grant: Grant) -> Holder:
    session = core.sessions.get(grant.session_id)
    name = session.name if session is not None else ""
    task: Task | None = core.attempts.get(grant.attempt_id) if grant.attempt_id else None
    if task is None or task.attempt is None:
        return Holder(grant.session_id, name, "", grant.attempt_id, "", grant.host, grant.grant_id)
    return Holder(grant.session_id, name, task.task_id, grant.attempt_id, task.attempt.worker_id,
                  task.attempt.host, grant.grant_id)  # fmt: skip


def paths(grant: Grant) -> str:
    """For people: the first of its paths, and how many more there are."""
    shown = ", ".join(one.path or "./" for one in grant.files[:3])
    return shown + (f" and {len(grant.files) - 3} more" if len(grant.files) > 3 else "")


def _take_out(core: State, grant: Grant) -> None:
    """Out of the lock table."""
    _note_hold(core, grant)
    core.locks.remove(grant.grant_id)
    _are_free(core, grant, grant.files)


def _note_hold(core: State, grant: Grant) -> None:
    task = core.attempts.get(grant.attempt_id)
    key = (grant.session_id, task.task_id if task is not None else "")
    lock_times.note_hold(
        core, grant.grant_id, grant.acquired_us, key, grant_id=grant.grant_id, host=grant.host
    )


def _are_free(core: State, grant: Grant, files: tuple[PathRequest, ...]) -> None:
    """What is out of the lock table is told to be free."""
    _take_off_account(core, grant, files)
    core.journal.removed_locks.extend((lock_id(grant, one), grant.session_id) for one in files)
    waiting.wake(core, grant.grant_id)


def _put_in(core: State, grant: Grant) -> None:
    core.locks.add(grant.grant_id, grant.files, party_of(grant))
    _enter_account(core, grant)


def _take_off_account(core: State, grant: Grant, files: tuple[PathRequest, ...]) -> None:
    """Where an outer block holds the same path shared, that one counts again."""
    mine = core.accounts[grant.root_id]
    for one in files:
        if mine.get((one.path, one.kind)) is grant:
            del mine[one.path, one.kind]
    if not mine:
        del core.accounts[grant.root_id]
    others = [] if is_own(grant) else of_session(core, grant.session_id)
    for other in others:
        if other is not grant and other.root_id == grant.root_id and not other.suspended:
            _enter_account(core, other)


def _enter_account(core: State, grant: Grant) -> None:
    mine = core.accounts.setdefault(grant.root_id, {})
    for one in grant.files:
        kept = mine.get((one.path, one.kind))
        if kept is None or one.mode is LockMode.EXCLUSIVE:
            mine[one.path, one.kind] = grant
