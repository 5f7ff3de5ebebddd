"""What these classes raise: ValueError, with the texts that programs know. Nobody is there: as in the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import AmbiguousIdError, LockConflictError, NotFoundError, RefusedError


@contextmanager
def value_errors(session_id: object = "") -> Iterator[None]:
    """Refusals as ValueError: of locks with who holds them, of an unknown session with `session_id`.

    They stand for themselves: where in this layer they were made helps nobody.
    """
    try:
        yield
    except LockConflictError as error:
        raise LockConflictError(
            _conflict_text(error), reason=error.reason, conflicts=error.conflicts
        ) from None
    except NotFoundError as error:
        is_unknown = error.reason == "SESSION_NOT_FOUND" and not isinstance(error, AmbiguousIdError)
        raise (session_not_found(session_id) if is_unknown else ValueError(str(error))) from None
    except RefusedError as error:
        raise ValueError(str(error)) from None


def checked_id(session: object) -> str:
    """The id of a session that is asked for. Raises ValueError for what cannot be one."""
    session_id = getattr(session, "session_id", session)
    if not isinstance(session_id, str) or not session_id:
        raise session_not_found(session)
    return session_id


def id_text(session: object) -> str:
    """The id of a session that need not exist, whatever was given for it."""
    return str(getattr(session, "session_id", session))


def session_not_found(session_id: object) -> ValueError:
    return ValueError(f"Session not found: {session_id}")


def _conflict_text(error: LockConflictError) -> str:
    """One line, for the first of the sessions that are in the way."""
    if not error.conflicts:
        return str(error)
    holder = error.conflicts[0].holder.session_id
    mine = [one.asked_path for one in error.conflicts if one.holder.session_id == holder]
    return f"Files already locked by session {holder}: {', '.join(dict.fromkeys(mine))}"
