"""A session's own locks over a pause or its failure: given up for the time, and taken again, all or none."""

from __future__ import annotations

from buildrunner_coordinator.domain import conflicts, grants, history, requesting, waiting
from buildrunner_coordinator.domain.locks import Party
from buildrunner_coordinator.domain.model import Grant, Session, SessionStatus
from buildrunner_coordinator.domain.moves import held
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import LockConflict
from buildrunner_coordinator.domain.state import State


def give_up(core: State, session: Session) -> None:
    """To be given up once nothing of the paused session runs: at once, or by `go_on`."""
    session.locks_released = True
    requesting.give_own_up(core, session)
    core.queue.waiters.giving_up.add(session.session_id)


def go_on(core: State) -> None:
    """Part of every placement: gives up the locks of paused sessions of which nothing runs any more."""
    for session_id in sorted(core.queue.waiters.giving_up):
        session = core.sessions.get(session_id)
        if session is None or session.status is not SessionStatus.PAUSED or not session.locks_released:
            core.queue.waiters.giving_up.discard(session_id)
        elif not held(session):
            core.queue.waiters.giving_up.discard(session_id)
            _suspend(core, session)


def take_again(core: State, session: Session) -> None:
    """What was given up is held again, under new fences. Raises Refusal (LOCK_CONFLICT), takes none then."""
    core.queue.waiters.giving_up.discard(session.session_id)
    wanted = [one for one in grants.of_session(core, session.session_id) if one.suspended]
    found: list[LockConflict] = []
    party = Party(session.session_id, session.session_id, True)
    for grant in wanted:
        if waiting.in_the_way(core, grant.files, core.next_ticket, party):
            found += conflicts.of(core, grant.files, party, core.next_ticket)
    if found:
        refusal = conflicts.refusal(core, found)
        message = (
            f"{refusal.message}. Session {session.session_id} ({session.name}) had given them up and stays "
            f"{session.status}."
        )
        raise Refusal(Reason.LOCK_CONFLICT, message, session_id=session.session_id).about(found)
    for grant in wanted:
        grants.take_again(core, grant)
    session.locks_released = False
    if wanted:
        core.touch(session)
        history.note_session(core, session, "locks_taken_again", f"Took its locks again: {_paths(wanted)}")


def _suspend(core: State, session: Session) -> None:
    mine = [
        one for one in grants.of_session(core, session.session_id) if grants.is_own(one) and not one.suspended
    ]
    for grant in mine:
        grants.suspend(core, grant)
    if mine:
        core.touch(session)
        told = f"Gave its locks up for the time of the pause: {_paths(mine)}"
        history.note_session(core, session, "locks_given_up", told)


def _paths(chosen: list[Grant]) -> str:
    files = [one.path or "./" for grant in chosen for one in grant.files]
    return ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
