"""The program's end of its embedded worker's process: starting it, giving it orders, reading what it says.

Knows how to talk, not what about; see embedded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterator

from . import embedded_messages as say
from .framing import READ_SIZE_BYTES, Decoder, Message, encode
from .options import WorkerOptions
from .supervisor_client import start_companion


class EmbeddedLink:
    """One process, in a session of its own: what a terminal sends to the program does not reach it."""

    def __init__(self, options: WorkerOptions) -> None:
        self._process, self._connection = start_companion("buildrunner_parallel.worker.embedded_process")
        self._send((say.CONFIGURE, dataclasses.asdict(options), os.getpid()))

    @property
    def pid(self) -> int:
        """Of the worker's process."""
        return self._process.pid

    def leave(self, reason: str, within_s: float | None) -> None:
        """Orders it to end; see embedded_messages."""
        self._send((say.LEAVE, reason, within_s))

    def _send(self, message: Message) -> None:
        with contextlib.suppress(OSError):  # it has ended, which `messages` tells
            self._connection.sendall(encode([message]))

    def messages(self) -> Iterator[Message]:
        """All that it says, until it has ended."""
        decoder = Decoder()
        with contextlib.suppress(OSError):
            while data := self._connection.recv(READ_SIZE_BYTES):
                yield from decoder.feed(data)
        self._process.wait()
        self._connection.close()

    def kill(self) -> None:
        """Ends it at once; what it has started ends by itself within seconds."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
