"""A process that is watched through a pidfd, whether it is our child or not. Linux only."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from pathlib import Path


def start_ticks(process_id: int) -> int | None:
    """When the process was started, in clock ticks since boot: with its number a name that is not reused.
    None when there is no such process."""
    fields = _stat_fields(process_id)
    return int(fields[19]) if fields is not None else None


def is_session_leader(process_id: int) -> bool:
    fields = _stat_fields(process_id)
    return fields is not None and int(fields[3]) == process_id


def _stat_fields(process_id: int) -> list[str] | None:
    """The fields of /proc/PID/stat behind the name, the state first; None for a process gone or a zombie."""
    try:
        text = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields


def command_line(process_id: int) -> list[str]:
    """The arguments that it was started with; empty when it is gone."""
    return _null_separated(f"/proc/{process_id}/cmdline")


def environment(process_id: int) -> dict[str, str]:
    """The environment that it was started with; empty when it is gone or somebody else's."""
    entries = _null_separated(f"/proc/{process_id}/environ")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def _null_separated(path: str) -> list[str]:
    try:
        return Path(path).read_bytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
    except OSError:
        return []


class WatchedProcess:
    """`fileno()` becomes readable when it ends, so it can be given to a selector."""

    def __init__(
        self, process_id: int, descriptor: int, child: subprocess.Popen[bytes] | None, started_at_s: float
    ) -> None:
        self.pid = process_id
        self.started_at_s = started_at_s
        self._descriptor = descriptor
        self._child = child

    @classmethod
    def of_child(cls, child: subprocess.Popen[bytes]) -> WatchedProcess:
        return cls(child.pid, os.pidfd_open(child.pid), child, time.monotonic())

    @classmethod
    def adopt(cls, process_id: int, ticks: int | None = None) -> WatchedProcess | None:
        """A process that somebody else started; None when it is gone, or is another than the one that
        started at `ticks`."""
        try:
            descriptor = os.pidfd_open(process_id)
        except OSError:
            return None
        found = start_ticks(process_id)
        if found is None or (ticks is not None and ticks != found):
            os.close(descriptor)
            return None
        since_s = time.clock_gettime(time.CLOCK_BOOTTIME) - found / os.sysconf("SC_CLK_TCK")
        return cls(process_id, descriptor, None, time.monotonic() - max(0.0, since_s))

    def fileno(self) -> int:
        return self._descriptor

    @property
    def lived_s(self) -> float:
        return time.monotonic() - self.started_at_s

    def has_ended(self) -> bool:
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        return bool(poller.poll(0))

    def exit_code(self) -> int | None:
        """Of one that has ended: negative for a signal; None when it was not our child."""
        return self._child.wait() if self._child is not None else None

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to this very process; harmless when it has ended."""
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            pass

    def close(self) -> None:
        os.close(self._descriptor)
