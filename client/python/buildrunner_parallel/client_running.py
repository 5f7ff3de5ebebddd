"""The part of the client that runs a block of a program as a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from .client_base import ClientBase
from .specs import FailurePolicy

if TYPE_CHECKING:
    from .calls_locks import Duration, SessionName, Wait
    from .client import Client
    from .live_session import LiveSession
    from .lock_leases import OnLost
    from .lock_paths import PathItem
    from .locks import Lease, LockBlock


class RunningCalls(ClientBase):
    """Sessions, and locks, that begin and end with a `with` statement."""

    _leases: dict[str, Lease]

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

    def lock(
        self,
        session: SessionName,
        paths: Iterable[PathItem],
        *,
        mode: str = "exclusive",
        wait: Wait = None,
        lease: Duration = "30s",
        on_lost: OnLost | None = None,
    ) -> LockBlock:
        """A block that holds all of `paths` for `session`: taken when it is entered, given back at its end.

        Entering gives the grant, and raises LockConflictError with every conflict, at once or after `wait`
        (see `acquire_locks`). It excludes everybody else, other blocks of the same session too; what the
        session itself holds, and what a block around this one holds, is not in the way. It is held by a
        `lease` that is renewed every third of it for as long as this process lives, so a crash frees it.

        If it is lost all the same (released by force, or no coordinator answered in time), `grant.held` is
        False, `grant.lost` is set, `on_lost` is called by the renewing thread, and the end of the
        block raises LockLostError, unless the block ends with an exception: then that says so in a note.
        """
        from .locks import LockBlock

        return LockBlock(
            cast("Client", self), session, paths, mode=mode, wait=wait, lease=lease, on_lost=on_lost
        )
