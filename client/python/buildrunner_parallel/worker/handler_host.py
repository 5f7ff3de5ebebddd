"""The process in which Python handlers run: one task at a time, for one slot of a worker.

It owns nothing but its standard streams and its socket. SIGTERM asks the present task to end; the supervisor
kills what does not, like any command. Run by the supervisor as `python -m
buildrunner_parallel.worker.handler_host [--import-path JSON] [MODULE...]`.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING

from . import handler_modules, handlers
from . import host_messages as say
from .framing import READ_SIZE_BYTES, Decoder, Message, encode
from .handler_context import Cancellation, HandlerContext
from .host_environment import reuse_memory
from .host_output import HostOutput
from .task_identity import Identity, task_identity

if TYPE_CHECKING:
    from .host_loop import HostLoop

_SOCKET_FD = 3
_PAGE_FD = 4
_STDOUT_FDS = (5, 6)
_STDERR_FDS = (7, 8)
_MEMORY_AFTER_NS = 10_000_000
_ERROR_LIMIT = 4096


class HandlerHost:
    """Takes tasks from the socket and answers each with DONE or SKIPPED, unless it is told to end."""

    def __init__(self, connection: socket.socket, page: memoryview, output: HostOutput) -> None:
        self._connection = connection
        self._page = page
        self._output = output
        self._decoder = Decoder()
        self._tasks: deque[Message] = deque()
        self._handlers: dict[str, handlers.Handler] = {}
        self._cancellation = Cancellation()
        self._loop: HostLoop | None = None
        self._directory = ""
        self._peak_bytes = 0
        self._cpu_ns = 0

    def serve(self, modules: list[str]) -> int:
        """Runs until the socket ends; the process's exit code."""
        try:
            self._handlers = handler_modules.load(modules)
        except handlers.HandlerLoadError as error:
            self._output.send([(say.LOAD_FAILED, str(error))])
            return 1
        signal.signal(signal.SIGTERM, self._on_terminate)
        self._output.send([(say.READY, sorted(self._handlers))])
        while self._receive():
            while self._tasks and not self._cancellation.is_set:
                self._run(self._tasks.popleft())
            self._output.flush_answers()
        if self._cancellation.is_set:
            _end_by_signal()
        return 0

    def _on_terminate(self, *_: object) -> None:
        """The task that runs is asked to end, and is the last one. What is being sent is sent whole."""
        self._cancellation.set()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RD)
        if self._loop is not None:
            self._loop.cancel()

    def _receive(self) -> bool:
        data = self._connection.recv(READ_SIZE_BYTES)
        self._tasks.extend(self._decoder.feed(data))
        self._cpu_ns = time.process_time_ns()
        return bool(data)

    def _run(self, task: Message) -> None:
        number, name = task[1], task[2]
        start_ns = time.monotonic_ns()
        page = self._page
        page[say.STARTED_NS] = start_ns
        page[say.CURRENT] = number
        if number > page[say.LIMIT]:
            self._output.answer((say.SKIPPED, number))
            return
        started_at_us = time.time_ns() // 1000
        self._output.begin(number)
        data, media_type, error = self._call(name, number, *task[3:])
        self._output.end()
        if self._cancellation.is_set:
            # How such a task ended depends on who stopped it; the runtime learns that from the supervisor.
            self._output.flush_answers()
            _end_by_signal()
        wall_us = (time.monotonic_ns() - start_ns) // 1000
        answer = (say.DONE, number, data, media_type, error, started_at_us, wall_us)
        self._output.answer((*answer, self._cpu_us(), self._peak_memory_bytes(wall_us)))

    def _cpu_us(self) -> int:
        """What the host itself does between two tasks is little: one reading of the clock serves both."""
        cpu_ns = time.process_time_ns()
        cpu_us = (cpu_ns - self._cpu_ns) // 1000
        self._cpu_ns = cpu_ns
        return cpu_us

    def _peak_memory_bytes(self, wall_us: int) -> int:
        if wall_us * 1000 > _MEMORY_AFTER_NS or not self._peak_bytes:
            self._peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return self._peak_bytes

    def _call(
        self,
        name: str,
        number: int,
        payload: bytes,
        content_type: str,
        identity: Identity,
        directory: str,
        environment: dict[str, str],
    ) -> tuple[bytes | None, str, str]:
        def report(percent: float, message: str) -> None:
            self._output.progress((say.PROGRESS, number, percent, message))

        handler = self._handlers.get(name)
        if handler is None:
            return None, "", f"no handler is named {name!r}"
        context = HandlerContext(
            payload, content_type, *identity[:5], environment, report, self._cancellation
        )
        try:
            # It takes the place of that of the task before.
            os.environ.update(task_identity(identity))
            self._enter(directory)
            if not environment:
                data, media_type = self._result(handler, context)
            else:
                with _environment(environment):
                    data, media_type = self._result(handler, context)
        except BaseException as error:
            # whatever a handler raises is the outcome of its task, and the host serves the next one
            return None, "", self._told(error)
        return data, media_type, ""

    def _result(self, handler: handlers.Handler, context: HandlerContext) -> tuple[bytes | None, str]:
        value = handler.call(context)
        if value is None:
            return None, ""
        if isinstance(value, Awaitable):
            value = self._await(value)
        return handlers.to_result(value)

    def _await(self, awaitable: Awaitable[object]) -> object:
        if self._loop is None:
            from .host_loop import HostLoop

            self._loop = HostLoop()
        return self._loop.run(awaitable, self._cancellation)

    def _told(self, error: BaseException) -> str:
        if not self._cancellation.is_set or isinstance(error, Exception):
            from .host_traceback import print_traceback

            print_traceback(error)
        return handlers.describe(error)[:_ERROR_LIMIT]

    def _enter(self, directory: str) -> None:
        if directory != self._directory:
            os.chdir(directory)
            self._directory = directory


def _end_by_signal() -> None:
    """As if SIGTERM had not been caught: what has to be said about this end the supervisor says."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


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
    handler_modules.become_host()
    reuse_memory()
    modules = sys.argv[1:]
    if modules[:1] == [say.IMPORT_PATH]:
        sys.path[:] = json.loads(modules[1])
        modules = modules[2:]
    else:
        sys.path.insert(0, os.getcwd())
    connection = socket.socket(fileno=_SOCKET_FD)
    connection.setblocking(True)
    output = HostOutput(lambda messages: connection.sendall(encode(messages)), _STDOUT_FDS, _STDERR_FDS)
    host = HandlerHost(connection, say.map_page(_PAGE_FD), output)
    try:
        return host.serve(modules)
    except (BrokenPipeError, ConnectionResetError):
        return 0


if __name__ == "__main__":
    code = main()
    # Threads that a handler left running must not keep the process.
    os._exit(code)
