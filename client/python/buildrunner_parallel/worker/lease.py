"""The worker's lease as its runtime keeps it: counted from the sending of the last answered heartbeat. Pure.

It is enforced by the supervisor, see lease_clock.
"""

from __future__ import annotations

from buildrunner_parallel.v1 import worker_service_pb2

from .framing import Message
from .supervisor_messages import LEASE

_MS = 1_000_000
_REMEMBERED = 64


class Lease:
    """`lock_file` as in WorkerOptions. All moments are nanoseconds of CLOCK_BOOTTIME."""

    def __init__(self, lock_file: str) -> None:
        self._lock_file = lock_file
        self._stop_after_ms = 0
        self._kill_after_ms = 0
        self._sequence = 0
        self._sent_at_ns: dict[int, int] = {}

    def begin(
        self, welcome: worker_service_pb2.Welcome, hello_sent_at_ns: int, *, is_new: bool
    ) -> list[Message]:
        """A new stream. Only a new worker's hello counts as its first heartbeat; others keep their lease."""
        self._stop_after_ms, self._kill_after_ms = welcome.stop_after_ms, welcome.kill_after_ms
        self._sequence = 0
        self._sent_at_ns.clear()
        return [self._renewal(hello_sent_at_ns)] if is_new and self._kill_after_ms else []

    def next_heartbeat(self, now_ns: int) -> int:
        """The sequence number of a heartbeat that is sent now."""
        self._sequence += 1
        self._sent_at_ns[self._sequence] = now_ns
        self._sent_at_ns.pop(self._sequence - _REMEMBERED, None)
        return self._sequence

    def answered(self, sequence: int) -> list[Message]:
        """What to tell the supervisor when the heartbeat was answered; an unknown answer tells nothing."""
        sent_at_ns = self._sent_at_ns.pop(sequence, None)
        return [self._renewal(sent_at_ns)] if sent_at_ns is not None and self._kill_after_ms else []

    def _renewal(self, from_ns: int) -> Message:
        stop_at_ns = from_ns + self._stop_after_ms * _MS
        kill_at_ns = from_ns + self._kill_after_ms * _MS
        return (LEASE, "boottime", stop_at_ns, kill_at_ns, self._lock_file)
