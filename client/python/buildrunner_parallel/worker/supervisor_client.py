"""The runtime's end of the supervisor: starts the process, sends requests, reads events.

Works with any loop: `fileno` for readiness, `read_events` when ready. Never blocks on reading.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from .framing import READ_SIZE_BYTES, Decoder, Message, encode

_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])


class SupervisorLost(Exception):
    """The supervisor process has ended: its tasks have to be found by their environment (see reaper)."""


def child_environment(env: dict[str, str]) -> dict[str, str]:
    """`env` with this package findable, for our own helper processes only."""
    paths = [_PACKAGE_ROOT, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    return env | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def start_companion(module: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Runs `module` in a session of its own, and our end of the socket that is its standard input: what a
    terminal sends to us does not reach it. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            env=child_environment(dict(os.environ)),
            start_new_session=True,
        )
    return process, ours


class SupervisorClient:
    """One supervisor process. Use from one thread."""

    def __init__(self) -> None:
        self.process, self._connection = start_companion("buildrunner_parallel.worker.supervisor")
        self._connection.setblocking(False)
        self._decoder = Decoder()
        self._outgoing = bytearray()

    def fileno(self) -> int:
        """The descriptor that becomes readable when there are events."""
        return self._connection.fileno()

    def send(self, messages: Iterable[Message]) -> bool:
        """Sends requests; False when some wait for `flush`, to be called when the socket is writable.

        Raises SupervisorLost.
        """
        self._outgoing += encode(messages)
        return self.flush()

    def send_with_fds(self, messages: Iterable[Message], fds: list[int]) -> None:
        """Sends requests together with descriptors, waiting for room; raises SupervisorLost."""
        while not self.flush():
            select.select([], [self._connection], [], 1.0)
        frame = encode(messages)
        try:
            sent = socket.send_fds(self._connection, [frame], fds)
        except BlockingIOError:
            select.select([], [self._connection], [])
            sent = socket.send_fds(self._connection, [frame], fds)
        except OSError as error:
            raise SupervisorLost(str(error)) from error
        self._outgoing += frame[sent:]
        self.flush()

    def flush(self) -> bool:
        """Sends what is waiting; whether nothing waits any more. Raises SupervisorLost."""
        try:
            while self._outgoing:
                sent = self._connection.send(self._outgoing)
                del self._outgoing[:sent]
        except BlockingIOError:
            return False
        except OSError as error:
            raise SupervisorLost(str(error)) from error
        return True

    def read_events(self) -> list[Message]:
        """The events that have arrived; raises SupervisorLost when there will be no more."""
        try:
            data = self._connection.recv(READ_SIZE_BYTES)
        except BlockingIOError:
            return []
        except OSError as error:
            raise SupervisorLost(str(error)) from error
        if not data:
            raise SupervisorLost("the supervisor has ended")
        return self._decoder.feed(data)

    def close(self, timeout_s: float = 5.0) -> None:
        """Ends the connection, and with it the supervisor and all that it runs; waits for its end."""
        self._connection.close()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
