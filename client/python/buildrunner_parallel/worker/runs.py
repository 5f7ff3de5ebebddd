"""The supervisor's records: what was asked for, what runs, and the slots and scratch files that runs use.

No process is started or signalled here.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import stat
from dataclasses import dataclass, field
from typing import Any

RESULT_LIMIT_BYTES = 1 << 20  # as for handlers, see there
ERROR_LIMIT_BYTES = 4096


@dataclass(slots=True)
class Request:
    """A process to be started. `slots` is 0 for a handler host, which starts at once."""

    key: Any
    argv: list[str]
    cwd: str
    env: dict[str, str]
    slots: int
    timeout_ns: int
    grace_ns: int
    mark: str
    inherited: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class Run:
    """A started process with all that belongs to it, until nothing of it is left."""

    request: Request
    pid: int
    slots: list[int]
    started_ns: int
    started_at_us: int
    fds: dict[int, int]
    timeout_at_ns: int = 0
    kill_at_ns: int = 0
    check_at_ns: int = 0
    cause: str = ""
    stopping: bool = False
    exited: bool = False
    group_gone: bool = False
    paused: bool = False
    watched: bool = False
    wait_status: int = 0
    user_cpu_us: int = 0
    system_cpu_us: int = 0
    peak_memory_bytes: int = 0
    ended_ns: int = 0
    orphans: set[int] = field(default_factory=set)
    told: set[int] = field(default_factory=set)


class SlotPool:
    """Numbers the slots and knows each one's scratch files."""

    def __init__(self, count: int, scratch_folder: str) -> None:
        self.count = count
        self._scratch_folder = scratch_folder
        self._free = list(range(count))
        for slot in range(count):
            os.makedirs(f"{scratch_folder}/slot-{slot}", mode=0o700, exist_ok=True)

    def fits(self, wanted: int) -> bool:
        """Whether so many slots are free; more than there are counts as all of them."""
        return len(self._free) >= min(wanted, self.count)

    def take(self, wanted: int) -> list[int]:
        """The lowest free slots; call `fits` first."""
        return [heapq.heappop(self._free) for _ in range(min(wanted, self.count))]

    def give_back(self, slots: list[int]) -> None:
        """Frees what `take` gave."""
        for slot in slots:
            heapq.heappush(self._free, slot)

    def environment(self, slot: int) -> dict[str, str]:
        """What tells a task its slot and where it may write its result and error."""
        folder = f"{self._scratch_folder}/slot-{slot}"
        return {
            "BR_SLOT": str(slot),
            "BR_RESULT_FILE": folder + "/result",
            "BR_ERROR_FILE": folder + "/error",
        }

    def collect(self, slot: int) -> tuple[bytes | None, str]:
        """The result (None if none was written) and the error's last line; both files are removed."""
        folder = f"{self._scratch_folder}/slot-{slot}"
        result = _take_file(folder + "/result", RESULT_LIMIT_BYTES + 1)
        error = _last_line(_take_file(folder + "/error", ERROR_LIMIT_BYTES, from_end=True) or b"")
        if result is not None and len(result) > RESULT_LIMIT_BYTES:
            return None, error or f"the result file is larger than {RESULT_LIMIT_BYTES} bytes and was dropped"
        return result, error


def _take_file(path: str, limit_bytes: int, from_end: bool = False) -> bytes | None:
    """Reads a regular file up to a limit and removes it; whatever else stands there is removed unread."""
    if not os.access(path, os.F_OK):
        return None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        _remove(path)
        return None
    try:
        details = os.fstat(fd)
        if not stat.S_ISREG(details.st_mode):
            return None
        return os.pread(fd, limit_bytes, max(0, details.st_size - limit_bytes) if from_end else 0)
    finally:
        os.close(fd)
        _remove(path)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except IsADirectoryError:
        remove_folder(path)
    except OSError:
        return


def remove_folder(path: str) -> None:
    """Removes a folder and all in it, as far as that is permitted; imports late, it is rarely needed."""
    import shutil

    with contextlib.suppress(OSError):
        shutil.rmtree(path, ignore_errors=True)


def _last_line(text: bytes) -> str:
    lines = [line for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
