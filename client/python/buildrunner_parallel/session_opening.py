"""How a running session begins and ends, for both clients: created or attached to, started, sealed,
cancelled.

Pure; yields calls to be made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import calls_sessions, calls_workers
from .calls import Call, Scope, Steps
from .errors import BuildRunnerError, InvalidRequestError, WrongStateError
from .records import Session, SessionStatus
from .specs import FailurePolicy

CANCELS_AT_A_TIME = 16
"""Of single tasks; the coordinator makes those that come together durable together."""
_REASON_LETTERS = 500


@dataclass(frozen=True, slots=True)
class Opening:
    """What `session()` was asked for: the name of a new session, or the id of one that is there."""

    name: str
    session_id: str = ""
    workers: int | None = None
    slots: int = 1
    handlers: Sequence[str] = ()
    labels: Sequence[str] = ()
    max_parallel: int = 0
    on_failure: FailurePolicy | None = None
    metadata: Mapping[str, Any] | None = None

    def check(self) -> None:
        """Raises InvalidRequestError when it makes no sense."""
        if bool(self.name) == bool(self.session_id):
            raise InvalidRequestError("give a name or a session_id, one of the two", reason="INVALID")
        created_with = (self.max_parallel, self.on_failure, self.metadata)
        if self.session_id and any(value not in (0, None) for value in created_with):
            raise InvalidRequestError(
                "max_parallel, on_failure and metadata are for new sessions; see update_session",
                reason="INVALID",
            )
        if isinstance(self.handlers, str) or isinstance(self.labels, str):
            raise InvalidRequestError("handlers and labels must be lists", reason="INVALID")

    @property
    def owns(self) -> bool:
        """Whether the session begins and ends with the block."""
        return not self.session_id

    def open(self, scope: Scope) -> Steps[Session]:
        """The session, running, with its workers. Raises WrongStateError for one that takes no tasks."""
        if self.owns:
            session = yield from self._create(scope)
        else:
            session = yield from calls_sessions.get_session(scope, self.session_id)
            _check_open(session)
        try:
            if session.status == SessionStatus.CREATED:
                session = yield from calls_sessions.start_session(scope, session.session_id)
            yield from self._hire(scope, session.session_id)
        except BuildRunnerError as error:
            if self.owns:
                yield from cancel(scope, session.session_id, reason_for(error))
            raise
        return session

    def _create(self, scope: Scope) -> Call[Session]:
        return calls_sessions.create_session(
            scope,
            self.name,
            max_parallel=self.max_parallel,
            on_failure=self.on_failure,
            metadata=self.metadata,
        )

    def _hire(self, scope: Scope, session_id: str) -> Steps[None]:
        workers = self.workers
        if workers is None:
            # As executors of the standard library do; one that is there has the workers that it has.
            workers = (os.cpu_count() or 1) if self.owns else 0
        if workers:
            yield from calls_workers.set_pool(
                scope,
                workers,
                session_id=session_id,
                slots=self.slots,
                labels=self.labels,
                handler_modules=self.handlers,
            )


def _check_open(session: Session) -> None:
    if session.is_over or not session.open:
        what = session.status.value if session.is_over else "sealed"
        raise WrongStateError(
            f"session {session.session_id} is {what}: it takes no more tasks", reason="SESSION_CLOSED"
        )


def seal(scope: Scope, session_id: str) -> Steps[None]:
    """No more tasks will come, so that the session can end."""
    try:
        yield from calls_sessions.close_session(scope, session_id)
    except WrongStateError:
        # Somebody else has ended it.
        return


def cancel(scope: Scope, session_id: str, reason: str) -> Steps[None]:
    """Stops all of it."""
    try:
        yield from calls_sessions.cancel_session(scope, session_id, reason=reason)
    except WrongStateError:
        return


def reason_for(error: BaseException) -> str:
    """What is kept with a session, or a task, that is cancelled because its program failed."""
    text = " ".join(str(error).split())[:_REASON_LETTERS]
    what = type(error).__name__
    return f"the program that submitted it ended with {what}: {text}" if text else f"{what} ended its program"
