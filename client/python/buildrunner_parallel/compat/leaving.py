"""The end of a program: its workers say goodbye, and the session of its tasks without one is removed.

A program that is killed says nothing; its workers are OFFLINE then after their timeout, and the next program
that needs a session of that kind removes the one left over.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
from dataclasses import dataclass, field

from ..client import Client
from ..errors import BuildRunnerError
from .home import OWN_SESSION, Home

PATIENCE_S = 1.0
"""A program that ends does not wait for a coordinator that is away."""


@dataclass
class Belongings:
    """What one WorkerCoordinator has brought into being. It is known here for as long as the program lives,
    even if it lets the object itself go."""

    home: Home
    workers: set[str] = field(default_factory=set)
    own_session_id: str = ""


_belongings: list[Belongings] = []
_process = os.getpid()


def belongings(home: Home) -> Belongings:
    made = Belongings(home)
    _belongings.append(made)
    return made


@atexit.register
def _leave() -> None:
    if os.getpid() != _process:
        return  # a fork: the workers are its parent's
    for mine in _belongings:
        if not (mine.workers or mine.own_session_id):
            continue
        # Nothing can be done about a coordinator that is gone, and nothing needs to be.
        with contextlib.suppress(BuildRunnerError, ValueError, OSError):
            client = mine.home.client
            client._connection._relocate = None  # one that was stopped stays stopped
            client._connection.patience_s = client._connection.call_timeout_s = PATIENCE_S
            for worker_id in mine.workers:
                client.unregister_worker(worker_id, reason="its program has ended")
            if mine.own_session_id:
                _remove(client, mine.own_session_id)


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
