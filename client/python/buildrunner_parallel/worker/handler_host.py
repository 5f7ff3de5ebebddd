"""The process in which Python handlers run: one task at a time, for one slot of a worker.

It owns nothing but its standard streams and its socket; it is killed like any command when a task is
cancelled or runs too long. Run by the supervisor as `python -m buildrunner_parallel.worker.handler_host
[MODULE...]`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator

from . import handlers
from . import host_messages as say
from .framing import READ_SIZE_BYTES, Decoder, Message, encode
from .host_output import HostOutput

_SOCKET_FD = 3
_PAGE_FD = 4
_STDOUT_FDS = (5, 6)
_STDERR_FDS = (7, 8)
_MEMORY_AFTER_NS = 10_000_000


class HandlerHost:
    """Takes tasks from the socket and answers each with DONE or SKIPPED."""

    def __init__(self, connection: socket.socket, page: memoryview, output: HostOutput) -> None:
        self._connection = connection
        self._page = page
        self._output = output
        self._decoder = Decoder()
        self._tasks: deque[Message] = deque()
        self._handlers: dict[str, handlers.Handler] = {}
        self._directory = ""
        self._peak_bytes = 0
        self._cpu_ns = 0

    def serve(self, modules: list[str]) -> int:
        """Runs until the socket ends; the process's exit code."""
        try:
            self._handlers = handlers.load(modules)
        except handlers.HandlerLoadError as error:
            self._output.send([(say.LOAD_FAILED, str(error))])
            return 1
        self._output.send([(say.READY, sorted(self._handlers))])
        while self._receive():
            while self._tasks:
                self._run(self._tasks.popleft())
            self._output.flush_answers()
        return 0

    def _receive(self) -> bool:
        data = self._connection.recv(READ_SIZE_BYTES)
        self._tasks.extend(self._decoder.feed(data))
        self._cpu_ns = time.process_time_ns()
        return bool(data)

    def _run(self, task: Message) -> None:
        _, number, name, payload, content_type, identity, directory, environment = task
        start_ns = time.monotonic_ns()
        page = self._page
        page[say.STARTED_NS] = start_ns
        page[say.CURRENT] = number
        if number > page[say.LIMIT]:
            self._output.answer((say.SKIPPED, number))
            return
        started_at_us = time.time_ns() // 1000
        self._output.begin(number)
        data, media_type, error = self._call(
            name, number, payload, content_type, identity, directory, environment
        )
        self._output.end()
        wall_ns = time.monotonic_ns() - start_ns
        if wall_ns > _MEMORY_AFTER_NS or not self._peak_bytes:
            self._peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        # What the host itself does between two tasks is little: one reading of the clock serves both.
        cpu_ns = time.process_time_ns()
        cpu_us = (cpu_ns - self._cpu_ns) // 1000
        self._cpu_ns = cpu_ns
        self._output.answer(
            (
                say.DONE,
                number,
                data,
                media_type,
                error,
                started_at_us,
                wall_ns // 1000,
                cpu_us,
                self._peak_bytes,
            )
        )

    def _call(
        self,
        name: str,
        number: int,
        payload: bytes,
        content_type: str,
        identity: tuple[str, str, str, int, int],
        directory: str,
        environment: dict[str, str],
    ) -> tuple[bytes | None, str, str]:
        def report_progress(percent: float, message: str = "") -> None:
            clean = " ".join(message.split())[:256]
            self._output.send([(say.PROGRESS, number, min(100.0, max(0.0, percent)), clean)])

        function = self._handlers.get(name)
        if function is None:
            return None, "", f"no handler is named {name!r}"
        try:
            self._enter(directory)
            call = handlers.HandlerCall(payload, content_type, *identity, environment, report_progress)
            if not environment:
                data, media_type = handlers.to_result(function(call))
            else:
                with _environment(environment):
                    data, media_type = handlers.to_result(function(call))
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            # whatever a handler raises is the outcome of its task, and the host serves the next one
            _print_traceback(error)
            return None, "", handlers.describe(error)[:4096]
        return data, media_type, ""

    def _enter(self, directory: str) -> None:
        if directory != self._directory:
            os.chdir(directory)
            self._directory = directory


def _print_traceback(error: BaseException) -> None:
    import traceback

    traceback.print_exception(error)


@contextlib.contextmanager
def _environment(added: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def main() -> int:
    """Serves the socket that the supervisor passed on."""
    for fd in (_SOCKET_FD, _PAGE_FD, *_STDOUT_FDS, *_STDERR_FDS):
        os.set_inheritable(fd, False)
    connection = socket.socket(fileno=_SOCKET_FD)
    connection.setblocking(True)
    output = HostOutput(lambda messages: connection.sendall(encode(messages)), _STDOUT_FDS, _STDERR_FDS)
    host = HandlerHost(connection, say.map_page(_PAGE_FD), output)
    try:
        return host.serve(sys.argv[1:])
    except (BrokenPipeError, ConnectionResetError):
        return 0


if __name__ == "__main__":
    code = main()
    # Threads that a handler left running must not keep the process.
    os._exit(code)
