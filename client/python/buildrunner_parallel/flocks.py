"""Advisory file locks that end with their process. Nothing is ever written into the files."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

_RETRY_INTERVAL_S = 0.05


class FileLock:
    """An exclusive flock on `path`, held until `release` or the process's end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Takes the lock if nobody has it. Raises OSError when the file cannot be made or opened."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise
        self._descriptor = descriptor
        return True

    def acquire(self, deadline_s: float) -> bool:
        """Tries until `deadline_s` on the monotonic clock; whether it worked."""
        while not self.try_acquire():
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_RETRY_INTERVAL_S)
        return True

    def release(self) -> None:
        """Gives the lock up; harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_held(path: Path) -> bool:
    """Whether some process holds the flock on `path`; a file that is not there is held by nobody."""
    if not path.exists():
        return False
    lock = FileLock(path)
    held = not lock.try_acquire()
    lock.release()
    return held
