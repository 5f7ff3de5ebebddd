"""On whose account a program asks for paths: the task that it is, or the lock that it is within.

A task knows itself by its environment; what runs below `br parallel lock -- CMD` knows that grant by its
environment; and within a lock block of this program the innermost one that this thread, or this task of
asyncio, has entered counts.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import NamedTuple, Protocol

ATTEMPT_VARIABLE = "BR_ATTEMPT_ID"
FENCE_VARIABLE = "BR_FENCE"
SESSION_VARIABLE = "BR_SESSION_ID"
GRANT_VARIABLE = "BR_LOCK_GRANT_ID"
GRANT_FENCE_VARIABLE = "BR_LOCK_FENCE"
GRANT_SESSION_VARIABLE = "BR_LOCK_SESSION_ID"
_SHORTEST_PREFIX = 4


class Held(Protocol):
    """A lock block's grant, as far as blocks within it need to know."""

    @property
    def session_id(self) -> str: ...

    @property
    def grant_id(self) -> str: ...

    @property
    def fence(self) -> int: ...

    @property
    def is_open(self) -> bool:
        """False once it was released or lost."""


class Asker(NamedTuple):
    """What a request says of who makes it; all empty for the session itself."""

    attempt_id: str = ""
    fence: int = 0
    held_grant_id: str = ""
    held_fence: int = 0


class _Entered(NamedTuple):
    where: tuple[int, int]
    grant: Held


_entered: ContextVar[tuple[_Entered, ...]] = ContextVar("br_lock_blocks", default=())


def asker_for(session_id: str, environ: Mapping[str, str] = os.environ) -> Asker:
    """Who asks for paths of session `session_id`, which may be a prefix: an attempt or a grant of it, or
    the session itself. Empty: an attempt or a grant of whichever session, or nobody."""
    if stands_for(session_id, environ.get(SESSION_VARIABLE, "")):
        attempt_id, fence = environ.get(ATTEMPT_VARIABLE, ""), _number(environ.get(FENCE_VARIABLE, ""))
        if attempt_id and fence:
            return Asker(attempt_id=attempt_id, fence=fence)
    for grant in entered_here():
        if stands_for(session_id, grant.session_id):
            return Asker(held_grant_id=grant.grant_id, held_fence=grant.fence)
    if stands_for(session_id, environ.get(GRANT_SESSION_VARIABLE, "")):
        grant_id, fence = environ.get(GRANT_VARIABLE, ""), _number(environ.get(GRANT_FENCE_VARIABLE, ""))
        if grant_id and fence:
            return Asker(held_grant_id=grant_id, held_fence=fence)
    return Asker()


def entered_here() -> list[Held]:
    """What the blocks hold that this thread or task is in, the innermost first."""
    entered, here = _entered.get(), _here() if _entered.get() else None
    return [one.grant for one in reversed(entered) if one.where == here and one.grant.is_open]


def enter(grant: Held) -> None:
    """From now on this thread or task asks from within `grant`."""
    _entered.set((*_entered.get(), _Entered(_here(), grant)))


def leave(grant: Held) -> None:
    """Harmless in a context that never entered it, as when a generator is closed by another."""
    _entered.set(tuple(one for one in _entered.get() if one.grant is not grant))


def stands_for(asked: str, session_id: str) -> bool:
    """Whether `asked` is, or is the beginning of, the session's id; empty stands for any."""
    return asked in ("", session_id) or (len(asked) >= _SHORTEST_PREFIX and session_id.startswith(asked))


def _here() -> tuple[int, int]:
    """This thread, and the asyncio task that it runs. Tasks begun within a block exclude each other, so
    what their parent holds is not theirs."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), id(task) if task is not None else 0


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
