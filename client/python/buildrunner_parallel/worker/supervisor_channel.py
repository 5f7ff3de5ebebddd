"""The supervisor's end of its socket: never blocks, says when the runtime does not keep up.

Bytes and descriptors only; what messages mean is the supervisor's.
"""

from __future__ import annotations

import select
import socket
from collections import deque

from .framing import READ_SIZE_BYTES, Message, encode

_CONGESTED_BYTES = 4 << 20
_MOST_FDS = 16


class Channel:
    """One connected unix stream socket, registered with the loop's epoll."""

    def __init__(self, connection: socket.socket, epoll: select.epoll) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._epoll = epoll
        self._outgoing = bytearray()
        self._fds: deque[int] = deque()
        self._wants_to_write = False
        self.fd = connection.fileno()
        self.is_open = True
        epoll.register(self.fd, select.EPOLLIN)

    @property
    def is_congested(self) -> bool:
        """Whether so much waits to be sent that no more output should be read."""
        return len(self._outgoing) > _CONGESTED_BYTES

    def on_ready(self, mask: int) -> bytes:
        """What has arrived, empty when nothing; closes itself at the end of the stream."""
        if mask & select.EPOLLOUT:
            self._write()
        if not mask & ~select.EPOLLOUT:
            return b""
        try:
            data, fds, _, _ = socket.recv_fds(self._connection, READ_SIZE_BYTES, _MOST_FDS)
        except BlockingIOError:
            return b""
        except OSError:
            data, fds = b"", []
        self._fds.extend(fds)
        if not data:
            self._close()
        return data

    def take_fds(self, count: int) -> list[int]:
        """The oldest `count` descriptors that have arrived and were not taken."""
        return [self._fds.popleft() for _ in range(count)]

    def send(self, messages: list[Message]) -> None:
        """Sends as much as goes now; the rest follows when the socket takes it."""
        if not self.is_open:
            return
        self._outgoing += encode(messages)
        self._write()

    def _write(self) -> None:
        try:
            while self._outgoing:
                sent = self._connection.send(self._outgoing)
                del self._outgoing[:sent]
        except BlockingIOError:
            pass  # the rest goes when the loop says that there is room
        except OSError:
            self._close()
            return
        if bool(self._outgoing) != self._wants_to_write:
            self._wants_to_write = bool(self._outgoing)
            self._epoll.modify(self.fd, select.EPOLLIN | (select.EPOLLOUT if self._wants_to_write else 0))

    def _close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._outgoing.clear()
            self._epoll.unregister(self.fd)
