"""The end of a program: its workers say goodbye, and the session of its tasks without one is removed.

A program that is killed says nothing; its workers are OFFLINE then after their timeout, and the next program
that needs a session of that kind removes the one left over.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
from typing import TYPE_CHECKING
from weakref import WeakSet

from ..client import Client
from ..errors import BuildRunnerError
from .home import OWN_SESSION

if TYPE_CHECKING:
    from .worker_coordinator import WorkerCoordinator

PATIENCE_S = 1.0
"""A program that ends does not wait for a coordinator that is away."""

_coordinators: WeakSet[WorkerCoordinator] = WeakSet()
_process = os.getpid()


def remember(coordinator: WorkerCoordinator) -> None:
    _coordinators.add(coordinator)


@atexit.register
def _leave() -> None:
    if os.getpid() != _process:
        return  # a fork: the workers are its parent's
    for coordinator in list(_coordinators):
        if not (coordinator._registered or coordinator._own_session_id):
            continue
        # Nothing can be done about a coordinator that is gone, and nothing needs to be.
        with contextlib.suppress(BuildRunnerError, ValueError, OSError):
            client = coordinator._home.client
            client._connection._relocate = None  # one that was stopped stays stopped
            client._connection.patience_s = client._connection.call_timeout_s = PATIENCE_S
            for worker_id in coordinator._registered:
                client.unregister_worker(worker_id, reason="its program has ended")
            if coordinator._own_session_id:
                _remove(client, coordinator._own_session_id)


def remove_left_over(client: Client) -> None:
    """Sessions of that kind whose program was killed."""
    here = socket.gethostname()
    for session in client.list_sessions(statuses=["running", "paused"]):
        owner = session.metadata.get(OWN_SESSION)
        if isinstance(owner, dict) and owner.get("host") == here and not _is_alive(owner.get("pid")):
            _remove(client, session.session_id)


def _remove(client: Client, session_id: str) -> None:
    """Nobody asks for it any more. One of which something still runs is only cancelled."""
    client.cancel_session(session_id, reason="its program has ended")
    with contextlib.suppress(BuildRunnerError):
        client.delete_sessions(session_ids=[session_id])


def _is_alive(process_id: object) -> bool:
    if not isinstance(process_id, int) or process_id <= 0:
        return False
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
