"""What is asked of locks that are held: give back, renew, and who would be in the way of more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain import conflicts, finding, grants, lock_checks
from buildrunner_coordinator.domain.locks import Party
from buildrunner_coordinator.domain.model import Grant, LockKind, PathRequest, Session, Time
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import LockConflict, LockView

if TYPE_CHECKING:
    from buildrunner_coordinator.domain.state import State

MOST_CONFLICTS = 1000
"""So many are looked up for a preview."""


def release(core: State, command: c.ReleaseLocks, now: Time) -> list[LockView]:
    session = finding.find(core, command.session_id) if command.session_id else None
    files = lock_checks.checked_paths(command.files) if command.files else ()
    if command.grant_id:
        return _release_grant(core, command, session, files)
    if session is None:
        raise Refusal(Reason.INVALID, "Say whose locks to release: a session, or a grant and its fence.")
    if session.is_over:
        return []
    core.hear(session)
    if not files:
        return _free_all(core, filter(grants.is_own, grants.of_session(core, session.session_id)))
    chosen: list[tuple[Grant, PathRequest]] = []
    for wanted in files:
        found = list(_own_of_path(core, session, wanted.path))
        if not found:
            raise _not_held(core, session, wanted)
        chosen.extend(found)
    freed = [grants.view_of(core, grant, one) for grant, one in chosen]
    by_grant: dict[str, tuple[Grant, list[PathRequest]]] = {}
    for grant, one in chosen:
        by_grant.setdefault(grant.grant_id, (grant, []))[1].append(one)
    for grant, given_back in by_grant.values():
        grants.free_some(core, grant, tuple(given_back))
    return freed


def renew(core: State, command: c.RenewLease, now: Time) -> int:
    grant = lock_checks.live_grant(core, command.grant_id, command.fence)
    if not grant.lease_ms:
        raise Refusal(
            Reason.INVALID, f"Grant {grant.grant_id} has no lease: it is held until it is released."
        )
    session = core.sessions[grant.session_id]
    if session.is_over:
        raise lock_checks.session_over(session)
    core.hear(session)
    grants.renew(core, grant)
    return grant.lease_ms


def preview(core: State, command: c.PreviewLocks, now: Time) -> list[LockConflict]:
    files = lock_checks.checked_paths(command.files)
    return conflicts.of(core, files, _asker(core, command), limit=MOST_CONFLICTS)


def _asker(core: State, command: c.PreviewLocks) -> Party:
    if command.attempt_id:
        task = core.attempts.get(command.attempt_id)
        if task is None or task.fence != command.fence:
            raise lock_checks.stale_attempt(command.attempt_id)
        return Party(command.attempt_id, task.session_id)
    if command.grant_id:
        return grants.party_of(lock_checks.live_grant(core, command.grant_id, command.fence))
    if command.session_id:
        session_id = finding.find(core, command.session_id).session_id
        return Party(session_id, session_id, True)
    return Party("", "")


def _release_grant(
    core: State, command: c.ReleaseLocks, session: Session | None, files: tuple[PathRequest, ...]
) -> list[LockView]:
    grant = lock_checks.live_grant(core, command.grant_id, command.fence)
    if session is not None and session.session_id != grant.session_id:
        raise Refusal(
            Reason.LOCK_NOT_HELD,
            f"Grant {grant.grant_id} is of session {grant.session_id}, not of {session.session_id}.",
            id=grant.grant_id,
        )
    if not files:
        return _free_all(core, [grant])
    chosen: list[PathRequest] = []
    for wanted in files:
        found = _paths_of(grant, wanted.path)
        if not found:
            raise Refusal(
                Reason.LOCK_NOT_HELD,
                f"Grant {grant.grant_id} does not hold {wanted.path or './'}, but {grants.paths(grant)}.",
                id=grant.grant_id,
            )
        chosen += found
    freed = [grants.view_of(core, grant, one) for one in chosen]
    grants.free_some(core, grant, tuple(chosen))
    return freed


def _own_of_path(core: State, session: Session, path: str) -> Iterator[tuple[Grant, PathRequest]]:
    """The session's own locks of that path, of whatever kind; those given up for a time too."""
    mine = core.accounts.get(session.session_id, {})
    for kind in LockKind:
        grant = mine.get((path, kind))
        one = grant.file(path, kind) if grant is not None else None
        if grant is not None and one is not None:
            yield grant, one
    if session.locks_released:
        for grant in grants.of_session(core, session.session_id):
            if grant.suspended:
                yield from ((grant, one) for one in _paths_of(grant, path))


def _paths_of(grant: Grant, path: str) -> list[PathRequest]:
    """Those of its paths that are named so, of whatever kind."""
    return [one for one in (grant.file(path, kind) for kind in LockKind) if one is not None]


def _free_all(core: State, chosen: Iterable[Grant]) -> list[LockView]:
    freed = []
    for grant in chosen:
        freed += grants.views(core, grant)
        grants.free(core, grant)
    return freed


def _not_held(core: State, session: Session, wanted: PathRequest) -> Refusal:
    holder = conflicts.holder_of_path(core, wanted)
    who = f"{holder} holds it" if holder else "nobody holds it"
    return Refusal(
        Reason.LOCK_NOT_HELD,
        f"Session {session.session_id} ({session.name}) does not hold {wanted.path or './'} itself: {who}.",
        path=wanted.path,
    )
