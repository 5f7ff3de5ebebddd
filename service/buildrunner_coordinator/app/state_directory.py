"""The state directory: made private, locked for life, with token, address file and socket.

The lock comes first: what lies in the directory, a stale socket too, is touched only by its holder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

from buildrunner_coordinator.app.errors import StartError, start_error
from buildrunner_coordinator.config import EXIT_IN_USE

MAX_SOCKET_BYTES = 100
TOKEN_BYTES = 32
LOCK_PATIENCE_S = 10.0
"""How long to wait for a lock whose holder's process is gone: its store's writer may still finish."""
_RETRY_S = 0.05


class StateDirectory:
    """Use `prepare()` first, `close()` last. Raises StartError for what is wrong with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock_fd = -1
        self._identity: tuple[int, int] = (0, 0)

    @property
    def database(self) -> Path:
        return self.path / "state.db"

    @property
    def log(self) -> Path:
        return self.path / "coordinator.log"

    @property
    def address_file(self) -> Path:
        return self.path / "coordinator.json"

    @property
    def is_gone(self) -> bool:
        """The directory was removed, or another one stands in its place."""
        try:
            found = self.path.stat()
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != self._identity

    def prepare(self) -> None:
        """Makes and locks the directory."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.path.stat()
            self._identity = (found.st_dev, found.st_ino)
            if stat.S_IMODE(found.st_mode) != 0o700:
                self.path.chmod(0o700)
            self._lock()
            ignore = self.path / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        except OSError as error:
            raise start_error(f"the state directory {self.path} cannot be used", error) from error

    def _lock(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.path / "coordinator.lock", flags, 0o600)
        deadline_s = time.monotonic() + LOCK_PATIENCE_S
        while not _try_lock(descriptor):
            pid = _pid_in(descriptor)
            if (pid and _is_alive(pid)) or time.monotonic() > deadline_s:
                os.close(descriptor)
                raise StartError(
                    f"another coordinator (pid {pid or 'unknown'}) runs on {self.path}. "
                    f"Use it, or stop it with `br parallel stop`.",
                    EXIT_IN_USE,
                )
            time.sleep(_RETRY_S)
        # Only the holder may ever touch what lies in the directory.
        self.lock_fd = descriptor
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def token(self) -> str:
        """The token that clients present; made when there is none. Never seen half-written."""
        file = self.path / "token"
        try:
            if not file.exists():
                fresh = self.path / f"token.{secrets.token_hex(8)}.tmp"
                write_private(fresh, secrets.token_hex(TOKEN_BYTES))
                try:
                    os.link(fresh, file)
                finally:
                    fresh.unlink()
            if stat.S_IMODE(file.stat().st_mode) != 0o600:
                file.chmod(0o600)
            token = file.read_text().strip()
        except OSError as error:
            raise start_error(f"the token file {file} cannot be used", error) from error
        if len(token) < TOKEN_BYTES:
            raise StartError(f"the token file {file} holds no token. Remove it, then start again.")
        return token

    def socket(self, asked: Path | None) -> Path:
        """Where to listen, with a stale socket out of the way."""
        path = asked or choose_socket(self.path)
        if len(os.fsencode(path)) > MAX_SOCKET_BYTES:
            raise StartError(
                f"the socket path {path} has more than {MAX_SOCKET_BYTES} bytes. Give a shorter --socket."
            )
        try:
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
            else:
                raise StartError(f"{path} is in the way of the socket and is not one. Move it away.")
        except FileNotFoundError:
            pass
        except OSError as error:
            raise start_error(f"the stale socket {path} cannot be removed", error) from error
        return path

    def write_address(self, content: dict[str, Any]) -> None:
        """Tells clients where this coordinator is, all at once or not at all."""
        fresh = self.path / "coordinator.json.tmp"
        try:
            fresh.unlink(missing_ok=True)
            write_private(fresh, json.dumps(content, indent=1) + "\n")
            fresh.replace(self.address_file)
        except OSError as error:
            raise start_error(f"{self.address_file} cannot be written", error) from error

    def close(self, socket: Path | None = None) -> None:
        """Removes what would mislead clients, then lets go of the lock."""
        if self.lock_fd < 0:
            return
        for path in (self.address_file, socket):
            # What lies in a directory that took this one's place is not ours.
            if path is not None and not (self.is_gone and path.is_relative_to(self.path)):
                with contextlib.suppress(OSError):
                    path.unlink()
        os.close(self.lock_fd)
        self.lock_fd = -1


def choose_socket(state_directory: Path) -> Path:
    """In the state directory where the path is short enough, else in a private directory elsewhere."""
    near = state_directory / "coordinator.sock"
    if len(os.fsencode(near)) <= MAX_SOCKET_BYTES:
        return near
    name = hashlib.sha256(os.fsencode(state_directory)).hexdigest()[:16] + ".sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and _is_private(Path(runtime)) and len(runtime) + 30 <= MAX_SOCKET_BYTES:
        return Path(runtime) / name
    folder = Path(tempfile.gettempdir()) / f"buildrunner-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not _is_private(folder):
        raise StartError(f"{folder} is not a private directory of yours. Remove it, or give --socket.")
    return folder / name


def write_private(path: Path, text: str) -> None:
    """A new file that only its owner can read. Raises FileExistsError when there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _is_private(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return is_ours and not stat.S_IMODE(found.st_mode) & 0o077


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid_in(descriptor: int) -> int:
    text = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
    return int(text) if text.isdigit() else 0


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
