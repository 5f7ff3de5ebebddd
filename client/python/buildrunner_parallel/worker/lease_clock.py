"""How long a worker may still act: the deadlines that its supervisor enforces by itself.

On the coordinator's own host the clock stands still while no coordinator holds the state directory, for then
nobody can give the work to another worker. No process is signalled here.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable

VALID = "valid"
TERMINATE = "terminate"
KILL = "kill"

_PROBE_INTERVAL_NS = 500_000_000
_PROBE_AFTER_SHARE = 0.4
CLOCKS = {"boottime": time.CLOCK_BOOTTIME, "monotonic": time.CLOCK_MONOTONIC}


def nobody_holds(lock_path: str) -> bool:
    """Whether the coordinator's lock file is free (or gone), asked without waiting."""
    try:
        fd = os.open(lock_path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


class LeaseClock:
    """The lease as last told by the runtime. Without one nothing is ever due."""

    def __init__(
        self,
        read_clock: Callable[[int], int] = time.clock_gettime_ns,
        probe: Callable[[str], bool] = nobody_holds,
    ) -> None:
        self._read_clock = read_clock
        self._probe = probe
        self._clock = time.CLOCK_BOOTTIME
        self._term_at_ns = 0
        self._kill_at_ns = 0
        self._lock_path = ""
        self._probe_interval_ns = _PROBE_INTERVAL_NS
        self._next_probe_at_ns = 0
        self._last_probe_at_ns = 0

    def renew(self, clock: str, term_at_ns: int, kill_at_ns: int, lock_path: str) -> None:
        """Sets both deadlines, in nanoseconds of `clock` (`boottime` or `monotonic`).

        A `lock_path` that is not empty makes the clock stand still while nobody holds that lock.
        """
        self._clock = CLOCKS[clock]
        self._term_at_ns, self._kill_at_ns, self._lock_path = term_at_ns, kill_at_ns, lock_path
        now_ns = self._read_clock(self._clock)
        left_ns = max(term_at_ns - now_ns, 0)
        self._probe_interval_ns = max(1_000_000, min(_PROBE_INTERVAL_NS, left_ns // 10))
        self._last_probe_at_ns = now_ns + int(left_ns * _PROBE_AFTER_SHARE)
        self._next_probe_at_ns = self._last_probe_at_ns + self._probe_interval_ns

    def state(self) -> str:
        """VALID, TERMINATE or KILL, as of now."""
        if not self._kill_at_ns:
            return VALID
        now_ns = self._read_clock(self._clock)
        if self._lock_path and now_ns >= self._next_probe_at_ns:
            self._extend_if_free(now_ns)
        if now_ns >= self._kill_at_ns:
            return KILL
        return TERMINATE if now_ns >= self._term_at_ns else VALID

    def _extend_if_free(self, now_ns: int) -> None:
        """Adds the time since the last look, at most that of two: who held it in a long gap nobody knows."""
        if self._probe(self._lock_path):
            passed_ns = min(now_ns - self._last_probe_at_ns, 2 * self._probe_interval_ns)
            self._term_at_ns += passed_ns
            self._kill_at_ns += passed_ns
        self._last_probe_at_ns = now_ns
        self._next_probe_at_ns = now_ns + self._probe_interval_ns

    def wait_ns(self) -> int | None:
        """Nanoseconds until `state` should be asked again; None when there is no lease."""
        if not self._kill_at_ns:
            return None
        now_ns = self._read_clock(self._clock)
        due_ns = self._term_at_ns if now_ns < self._term_at_ns else self._kill_at_ns
        if self._lock_path:
            due_ns = min(due_ns, self._next_probe_at_ns)
        return max(due_ns - now_ns, 0)
