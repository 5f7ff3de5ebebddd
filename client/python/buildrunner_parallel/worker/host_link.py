"""One handler host as the runtime sees it: its socket, the shared page, and the tasks it was given.

Decides nothing; see handler_pool.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from typing import Any

from . import host_messages as say
from .framing import READ_SIZE_BYTES, Decoder, Message, encode
from .task_identity import Identity


@dataclass(slots=True)
class HandlerJob:
    """One task for a handler. `identity` is as in host_messages."""

    key: Any
    name: str
    payload: bytes
    content_type: str
    identity: Identity
    directory: str
    environment: dict[str, str]
    slots: int
    timeout_ns: int
    grace_ns: int
    start_told: bool = False


class HostLink:
    """`pending` has, by number and in order, the jobs that were given and not answered."""

    def __init__(self, key: str, slot: int) -> None:
        self.key = key
        self.slot = slot
        self.pid = 0
        self.is_ready = False
        self.is_open = True
        self.dying = False
        self.more_to_read = False
        self.load_error = ""
        self.last_words = b""
        self.pending: dict[int, HandlerJob] = {}
        self.intents: dict[int, tuple[int, str]] = {}
        self.recall_at_ns = 0
        self._abandoned: set[int] = set()
        self._skipped: set[int] = set()
        self._last_number = 0
        self._unsent: list[Message] = []
        self._outgoing = bytearray()
        self._decoder = Decoder()
        self._socket, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        page_fd = os.memfd_create("handler-host", os.MFD_CLOEXEC)
        os.ftruncate(page_fd, os.sysconf("SC_PAGESIZE"))
        self._page = say.map_page(page_fd)
        self._page[say.LIMIT] = say.NO_LIMIT
        self._capture_fds: dict[int, int] = {}
        self.fds_for_child = [child.detach(), page_fd]
        for stream in (1, 2):
            reading, writing = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(reading, False)
            self._capture_fds[stream] = reading
            self.fds_for_child += [os.dup(reading), writing]

    def fileno(self) -> int:
        """For loops that wait for readiness."""
        return self._socket.fileno()

    def close_fds_for_child(self) -> None:
        """Once they are sent, the child's ends are the supervisor's."""
        for fd in self.fds_for_child:
            os.close(fd)
        self.fds_for_child = []

    @property
    def current(self) -> int:
        """Number of the task that runs, or ran last; 0 before the first."""
        return int(self._page[say.CURRENT])

    @property
    def started_ns(self) -> int:
        """When it started, on the monotonic clock."""
        return int(self._page[say.STARTED_NS])

    @property
    def slots_used(self) -> int:
        """Slots of what it has: only tasks of one slot are queued behind one another.

        A host that still has to skip tasks counts as used.
        """
        for job in self.pending.values():
            return job.slots
        return 1 if self._abandoned or self.dying else 0

    @property
    def is_idle(self) -> bool:
        """Whether a task given now would start at once."""
        return not self.pending and self.takes_more(1)

    def takes_more(self, room: int) -> bool:
        """Whether fewer than `room` tasks are with it and nothing speaks against another."""
        if (
            len(self.pending) >= room
            or self.dying
            or not self.is_open
            or self.recall_at_ns
            or self._abandoned
        ):
            return False
        return not self.pending or self.slots_used == 1

    def add(self, job: HandlerJob) -> None:
        """Queues a job for `flush`."""
        self._last_number += 1
        self.pending[self._last_number] = job
        self._unsent.append(
            (
                *(say.TASK, self._last_number, job.name, job.payload, job.content_type, job.identity),
                *(job.directory, job.environment),
            )
        )

    def number_of(self, key: Any) -> int:
        """The number under which the job was given; raises StopIteration for one that it does not have."""
        return next(number for number, job in self.pending.items() if job.key == key)

    def flush(self) -> bool:
        """Sends what is queued; whether all of it has gone."""
        if self._unsent:
            self._outgoing += encode(self._unsent)
            self._unsent = []
        try:
            while self._outgoing and self.is_open:
                sent = self._socket.send(self._outgoing)
                del self._outgoing[:sent]
        except BlockingIOError:
            return False
        except OSError:
            return True  # its end comes as an event of the supervisor
        return True

    def read(self) -> list[Message]:
        """What has arrived; at the end of the stream `is_open` becomes False."""
        try:
            data = self._socket.recv(READ_SIZE_BYTES)
        except BlockingIOError:
            self.more_to_read = False
            return []
        except OSError:
            data = b""
        self.is_open = self.more_to_read = bool(data)
        return self._decoder.feed(data)

    def unread_output(self) -> list[tuple[int, bytes]]:
        """What the host's last task printed and the dead host could not pass on: streams and bytes."""
        found: list[tuple[int, bytes]] = []
        for stream, fd in self._capture_fds.items():
            with contextlib.suppress(BlockingIOError):
                while data := os.read(fd, READ_SIZE_BYTES):
                    found.append((stream, data))
        return found

    def begin_recall(self, settle_at_ns: int) -> None:
        """Lets the host start nothing beyond the present task; `settle_recall` tells what that kept back."""
        if not self.recall_at_ns:
            self._page[say.LIMIT] = self.current
            self.recall_at_ns = settle_at_ns

    def settle_recall(self) -> list[tuple[int, Any]]:
        """Numbers and keys of the jobs that certainly will not start here."""
        self.recall_at_ns = 0
        last_started = max(int(self._page[say.LIMIT]), self.current)
        kept = [
            (number, job.key)
            for number, job in self.pending.items()
            if number > last_started or number in self._skipped
        ]
        for number, _ in kept:
            del self.pending[number]
            if number not in self._skipped:
                self._abandoned.add(number)
        self._skipped.clear()
        self._lift_limit()
        return kept

    def on_skipped(self, number: int) -> Any | None:
        """The host has passed over a job; its key, if it was thought to run and has to be taken back now."""
        self._abandoned.discard(number)
        self._lift_limit()
        if number not in self.pending:
            return None
        if self.recall_at_ns:
            self._skipped.add(number)
            return None
        return self.pending.pop(number).key

    def _lift_limit(self) -> None:
        if not self._abandoned and not self.recall_at_ns:
            self._page[say.LIMIT] = say.NO_LIMIT

    def close(self) -> None:
        """Ends the connection; the host ends itself then."""
        self.is_open = False
        self._socket.close()
        for fd in self._capture_fds.values():
            os.close(fd)
        self._capture_fds = {}
