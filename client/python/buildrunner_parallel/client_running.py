"""The part of the client that runs a block of a program as a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from .client_base import ClientBase
from .specs import FailurePolicy

if TYPE_CHECKING:
    from .client import Client
    from .live_session import LiveSession


class RunningCalls(ClientBase):
    """Sessions that begin and end with a `with` statement."""

    def session(
        self,
        name: str = "",
        *,
        session_id: str = "",
        workers: int | None = None,
        slots: int = 1,
        handlers: Sequence[str] = (),
        labels: Sequence[str] = (),
        max_parallel: int = 0,
        on_failure: FailurePolicy | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> LiveSession:
        """A block that submits tasks and takes their results: a new session `name`, or one with `session_id`.

        A new one is created and started when the block is entered. `workers` of its own are started for it,
        each with `slots`, `labels` and the `handlers` of these modules; None means one for each processor, 0
        none: then workers that serve all sessions do it. At the end of the block it is sealed, and waited
        for; failed tasks raise nothing there, see `record.status`. When the block ends with an exception it
        is cancelled, and waited for as well.

        One that is there already must be open. It is started if need be, and gets `workers` only if told. The
        end of the block waits for the tasks that were submitted in it, an exception cancels these; nothing
        else of the session is touched.
        """
        # Most programs need none, the command line among them.
        from .live_session import LiveSession
        from .session_opening import Opening

        opening = Opening(
            name, session_id, workers, slots, handlers, labels, max_parallel, on_failure, metadata
        )
        return LiveSession(cast("Client", self), opening)
