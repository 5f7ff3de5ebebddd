"""A TCP proxy below gRPC that can go silent without closing anything, or cut every connection."""

from __future__ import annotations

import socket
import struct
import threading

_PIECE_BYTES = 64 << 10
_RESET = struct.pack("ii", 1, 0)


class Connection:
    """One connection of a program and the one behind it; `silent` swallows what comes from either side."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self._sockets = (near, far)
        self.silent = False
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(_PIECE_BYTES):
                if not self.silent:
                    sink.sendall(data)
        except OSError:
            pass  # reset, or closed by the other direction
        if not self.silent:
            self.close()

    def close(self) -> None:
        for one in self._sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed already
            one.close()

    def reset(self) -> None:
        """Ends it as a crash of the other machine's network does: without a word of HTTP/2."""
        for one in self._sockets:
            try:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:
                continue  # it is closed already
        self.close()


class Proxy:
    """Forwards 127.0.0.1:PORT to the unix socket `target` (`unix:PATH`)."""

    def __init__(self, target: str) -> None:
        self._path = target.removeprefix("unix:")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._connections: list[Connection] = []
        self._lock = threading.Lock()
        self._swallows = False
        self._refuses = False
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            self._connect(near)

    def _connect(self, near: socket.socket) -> None:
        if self._refuses:
            near.close()
            return
        far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            far.connect(self._path)
        except OSError:
            near.close()
            far.close()
            return
        with self._lock:
            connection = Connection(near, far)
            connection.silent = self._swallows
            self._connections.append(connection)
            self.accepted += 1

    def go_silent(self, *, for_new_ones_too: bool = False) -> None:
        """Nothing comes through the connections that there are, ever again, and none of them is closed."""
        with self._lock:
            self._swallows = for_new_ones_too
            for connection in self._connections:
                connection.silent = True

    def heal(self) -> None:
        """New connections work; those that went silent stay silent."""
        with self._lock:
            self._swallows = self._refuses = False

    def block(self) -> None:
        """Resets every connection, and lets no new one through until it heals."""
        with self._lock:
            self._refuses = True
        self.cut()

    def cut(self) -> None:
        """Resets every connection; new ones work."""
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.reset()

    def close(self) -> None:
        # close alone leaves a thread in accept, and with it the port.
        try:
            self._listening.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # not connected: the thread has left already
        self._listening.close()
        self.cut()
