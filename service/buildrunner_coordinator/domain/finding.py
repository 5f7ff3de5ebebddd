"""Sessions by what people call them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_coordinator.domain.ids import resolve
from buildrunner_coordinator.domain.model import Session
from buildrunner_coordinator.domain.refusals import Reason, Refusal

if TYPE_CHECKING:
    from buildrunner_coordinator.domain.state import State

LAST = "last"


def find(core: State, given: str) -> Session:
    """By id, unique prefix, or "last". Raises Refusal (SESSION_NOT_FOUND, AMBIGUOUS_ID)."""
    if given == LAST:
        if not core.sessions:
            raise Refusal(Reason.SESSION_NOT_FOUND, "There are no sessions yet.", id=given)
        return max(core.sessions.values(), key=lambda session: session.order)
    return core.sessions[resolve(given, core.sessions, Reason.SESSION_NOT_FOUND, "session")]
