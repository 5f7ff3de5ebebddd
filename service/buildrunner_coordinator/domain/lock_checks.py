"""What every question about locks by hand is checked for: paths, grants, fences, sessions that hold any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_coordinator.domain.model import Grant, LockMode, PathRequest, Session
from buildrunner_coordinator.domain.refusals import Reason, Refusal

if TYPE_CHECKING:
    from buildrunner_coordinator.domain.state import State


def checked_paths(files: tuple[PathRequest, ...]) -> tuple[PathRequest, ...]:
    """Each path once, in its widest mode. Raises Refusal (INVALID) when there is none."""
    if not files:
        raise Refusal(Reason.INVALID, "There is no path to lock. Name one or more.")
    found: dict[tuple[str, str], PathRequest] = {}
    for one in files:
        before = found.get((one.path, one.kind))
        if before is None or one.mode is LockMode.EXCLUSIVE:
            found[one.path, one.kind] = one
    return tuple(found.values())


def live_grant(core: State, grant_id: str, fence: int) -> Grant:
    """The grant of that id. Raises Refusal (STALE) unless it is held under that fence."""
    grant = core.grants.get(grant_id)
    if grant is None or grant.suspended or grant.until_us:
        raise Refusal(
            Reason.STALE,
            f"Grant {grant_id} is not held any more. Stop what it protected, then ask anew.", id=grant_id,
        )  # fmt: skip
    if grant.fence != fence:
        raise Refusal(
            Reason.STALE,
            f"Fence {fence} is not that of grant {grant_id}: another holder has it.",
            id=grant_id,
        )
    return grant


def stale_attempt(attempt_id: str) -> Refusal:
    return Refusal(
        Reason.STALE,
        f"Attempt {attempt_id} is over, or this is not its fence: nothing may be done in its name any more.",
        id=attempt_id,
    )


def session_over(session: Session) -> Refusal:
    state = session.status.value if session.is_over else "ending"
    return Refusal(
        Reason.SESSION_CLOSED,
        f"Session {session.session_id} ({session.name}) is {state}: it can hold no locks. Start a new one.",
        status=state,
    )


def check_takes_its_own(session: Session) -> None:
    """Raises Refusal (WRONG_STATE) while the session has given up what it holds itself, or is about to: what
    it took now would be taken from it again."""
    if session.locks_released:
        raise locks_given_up(session)


def locks_given_up(session: Session) -> Refusal:
    return Refusal(
        Reason.WRONG_STATE,
        f"Session {session.session_id} ({session.name}) is paused and has given its locks up: it takes none "
        "itself. Resume it first, or hold by a lease.",
        status=session.status.value,
    )
