"""A state of one's own beside a path: its coordinator lives for as long as a program uses it.

Each program holds a shared lock on `users.lock` until its end, however that comes. The coordinator looks
whether anybody does, and ends with its keeper and workers once nobody does; see app/lifetime.py.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from ..client import Client
from ..connection import Connection
from ..discovery import Target, local_target
from ..errors import CoordinatorStartError, UnreachableError
from ..starting import prepare_state_directory, start_local
from ..workspace import Workspace, find_workspace

START_TIMEOUT_S = 60.0
_USERS = "users.lock"
_RETRY_S = 0.02

# For the life of the process: one descriptor for each state directory.
_held: dict[Path, int] = {}


class PrivateState:
    """The state beside `path`, which is a file of sessions or the directory for one."""

    def __init__(self, path: Path) -> None:
        whole = Path(os.path.abspath(path))
        is_folder = whole.is_dir()
        self.sessions_file = whole / "sessions.json" if is_folder else whole
        name = self.sessions_file.name
        self.directory = self.sessions_file.with_name(f".{name.lstrip('.')}.buildrunner")

    def open_client(self) -> Client:
        """A client of its coordinator, which is started when it does not run.

        Raises CoordinatorStartError (an UnreachableError).
        """
        workspace = self._workspace()
        try:
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            prepare_state_directory(self.directory)
            self._join()
        except OSError as error:
            text = (error.strerror or str(error)).rstrip(".")
            raise CoordinatorStartError(
                f"cannot keep state in {self.directory}: {text}; give another storage_path"
            ) from None

        def locate(timeout_s: float, start: bool) -> Target:
            found = start_local(workspace, timeout_s) if start else local_target(self.directory)
            if found is None:
                raise UnreachableError(f"no coordinator runs for {self.directory}")
            return found

        connection = Connection(locate(START_TIMEOUT_S, True), relocate=locate)
        return Client(connection, workspace)

    def _workspace(self) -> Workspace:
        """Paths to lock are those of the repository that the program stands in."""
        here = find_workspace()
        return Workspace(here.root, here.worktree, self.directory, here.directory)

    def _join(self) -> None:
        """From now on this process is one of the users. Waits for a coordinator that is just ending."""
        if self.directory in _held:
            return
        deadline_s = time.monotonic() + START_TIMEOUT_S
        descriptor = os.open(self.directory / _USERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    os.close(descriptor)
                    raise
                time.sleep(_RETRY_S)
            else:
                _held[self.directory] = descriptor
                return
