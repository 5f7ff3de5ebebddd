"""Reading the output pipes of runs and passing on what comes, in the order read.

A new run's pipes are watched only once it has lived for a few milliseconds: a short one is read when it ends,
which spares it every registration. Knows nothing of processes.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable
from os import close, read

from .framing import Message
from .runs import Run
from .supervisor_messages import OUTPUT

_READ_SIZE_BYTES = 1 << 16
_WATCH_AFTER_NS = 4_000_000


class OutputPump:
    """Owns the reading ends of all output pipes."""

    def __init__(self, epoll: select.epoll, emit: Callable[[Message], None]) -> None:
        self._epoll = epoll
        self._emit = emit
        self._fresh: deque[Run] = deque()
        self._by_fd: dict[int, Run] = {}
        self._held = False

    def add(self, run: Run) -> None:
        """Takes over the pipes of a run that has just started."""
        self._fresh.append(run)

    def watch_due(self, now_ns: int) -> None:
        """Watches the pipes of runs that have outlived the first milliseconds."""
        fresh = self._fresh
        while fresh and (fresh[0].ended_ns or not fresh[0].fds or self._is_due(fresh[0], now_ns)):
            run = fresh.popleft()
            if not run.ended_ns and run.fds:
                run.watched = True
                self._register(run)

    @staticmethod
    def _is_due(run: Run, now_ns: int) -> bool:
        return now_ns >= run.started_ns + _WATCH_AFTER_NS

    def due_at_ns(self) -> int | None:
        """When `watch_due` has something to do; None when never."""
        return self._fresh[0].started_ns + _WATCH_AFTER_NS if self._fresh else None

    def _register(self, run: Run) -> None:
        if self._held or run.paused:
            return
        for fd in run.fds:
            if fd not in self._by_fd:
                self._by_fd[fd] = run
                self._epoll.register(fd, select.EPOLLIN)

    def _unregister(self, run: Run) -> None:
        for fd in run.fds:
            if self._by_fd.pop(fd, None) is not None:
                self._epoll.unregister(fd)

    def owns(self, fd: int) -> bool:
        """Whether this ready descriptor is one of the watched pipes."""
        return fd in self._by_fd

    def on_ready(self, fd: int, mask: int) -> None:
        """Reads once what is there; at the end of the stream the pipe is closed."""
        run = self._by_fd.get(fd)
        if run is None:
            return
        data = read(fd, _READ_SIZE_BYTES) if mask & select.EPOLLIN else b""
        if data:
            self._emit((OUTPUT, run.request.key, run.fds[fd], data))
            return
        self._by_fd.pop(fd)
        self._epoll.unregister(fd)
        del run.fds[fd]
        close(fd)

    def pause(self, run: Run) -> None:
        """Leaves the run's output in its pipes until `resume`."""
        run.paused = True
        self._unregister(run)

    def resume(self, run: Run) -> None:
        """Goes on reading."""
        run.paused = False
        if run.watched:
            self._register(run)

    def hold(self, runs: list[Run]) -> None:
        """Stops all reading: the runtime does not take what was read already."""
        self._held = True
        for run in runs:
            self._unregister(run)

    def release(self, runs: list[Run]) -> None:
        """Ends `hold`."""
        self._held = False
        for run in runs:
            if run.watched:
                self._register(run)

    def drain(self, run: Run) -> None:
        """Passes on what is still in the pipes of a run that is over, and closes them."""
        if run.watched:
            self._unregister(run)
        for fd, stream in run.fds.items():
            try:
                while data := read(fd, _READ_SIZE_BYTES):
                    self._emit((OUTPUT, run.request.key, stream, data))
            except BlockingIOError:
                pass  # somebody out of reach still has the other end: there is no more to read now
            close(fd)
        run.fds = {}
