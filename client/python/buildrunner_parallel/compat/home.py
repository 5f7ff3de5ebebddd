"""Where sessions and workers live: the workspace's coordinator or one of a program's own, and one object
for each of them in this process."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..client import Client
from ..workspace import find_workspace
from .private_state import PrivateState

if TYPE_CHECKING:
    from ..records import Session as SessionRecord
    from .session import Session

FRESH_S = 0.005
"""So long a record that was read serves further reads, unless something was changed here meanwhile."""
OWN_SESSION = "buildrunner_parallel.compat"
"""In a session's metadata: it holds tasks that were assigned without a session, and is not listed."""

_Key = tuple[str | None, ...]
_homes: dict[_Key, Home] = {}
_homes_lock = threading.Lock()


class Home:
    """One coordinator, as seen from this process. Safe to use from several threads."""

    def __init__(self, private: PrivateState | None) -> None:
        self.private = private
        self.changes = 0
        """How many changes were made here: what was read before one is not current any more."""
        self._sessions: dict[str, Session] = {}
        self._lock = threading.RLock()
        self._client: Client | None = None
        self._process = 0

    @property
    def client(self) -> Client:
        """Connected when first used, and anew in a fork of the process."""
        with self._lock:
            if self._client is None or self._process != os.getpid():
                self._client = self.private.open_client() if self.private else Client.connect()
                self._process = os.getpid()
            return self._client

    @property
    def sessions_file(self) -> Path | None:
        """Where an earlier program kept its sessions; None when the coordinator is not of this directory."""
        if self.private is not None:
            return self.private.sessions_file
        if os.environ.get("BR_COORDINATOR"):
            return None
        return find_workspace().state_dir / "sessions.json"

    @property
    def state_directory(self) -> Path:
        return self.private.directory if self.private is not None else find_workspace().state_dir

    def changed(self) -> None:
        self.changes += 1

    def session(self, record: SessionRecord, changes: int) -> Session:
        """The one object of that session. `record` was read when so many changes had been made here."""
        from .session import Session

        with self._lock:
            known = self._sessions.get(record.session_id)
            if known is None:
                known = self._sessions[record.session_id] = Session._of(self, record.session_id)
        known._take(record, changes)
        return known

    def known_sessions(self) -> list[Session]:
        with self._lock:
            return list(self._sessions.values())

    def forget_session(self, session_id: str) -> None:
        with self._lock:
            self._sessions.pop(session_id, None)


class Freshness:
    """Whether what was read of something may serve another read."""

    def __init__(self) -> None:
        self._at_s = float("-inf")
        self._changes = -1

    def note(self, changes: int) -> None:
        """It was read now, `changes` as they were before."""
        self._at_s, self._changes = time.monotonic(), changes

    def holds(self, home: Home) -> bool:
        return self._changes == home.changes and time.monotonic() - self._at_s < FRESH_S


def home_of(storage_path: str | os.PathLike[str] | None) -> Home:
    """The same for the same place."""
    private = None if storage_path is None else PrivateState(Path(storage_path))
    key: _Key
    if private is not None:
        key = (str(private.directory),)
    else:
        told = [os.environ.get(name) for name in ("BR_COORDINATOR", "BR_TOKEN", "BR_TOKEN_FILE")]
        key = (str(find_workspace().state_dir), *told)
    with _homes_lock:
        return _homes.setdefault(key, Home(private))


def is_listed(record: SessionRecord) -> bool:
    """Not the session that only holds tasks without one."""
    return OWN_SESSION not in record.metadata
