"""The supervisor process: starts, watches and ends the processes of one worker's tasks.

Single-threaded, standard library only, no gRPC: it can fork cheaply, be a child subreaper, and keep the
lease even while the worker's runtime is stopped. It speaks supervisor_messages over the socket on its
stdin, and when that socket ends, everything that it started ends. Run as `python -m
buildrunner_parallel.worker.supervisor`.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from . import process_tree, spawning
from . import supervisor_messages as say
from .endings import Endings
from .framing import Decoder, Message
from .lease_clock import KILL, VALID, LeaseClock
from .output_pump import OutputPump
from .runs import Request, Run, SlotPool, remove_folder
from .supervisor_channel import Channel

_SET_CHILD_SUBREAPER = 36
_QUIT_GRACE_NS = 500_000_000
_QUIT_LIMIT_NS = 2_500_000_000
_EXPIRED_CHECK_NS = 20_000_000
_LONGEST_WAIT_NS = 1_000_000_000
_LEASE_GRACE_NS = 3_600_000_000_000
_SECOND_NS = 1_000_000_000
_GATHER_NS = 2_000_000
_GATHER_LONGER_NS = 8_000_000
_DEEP_QUEUE = 8
_GATHER_EVENTS = 256


class Supervisor:
    """The loop and the meaning of each request."""

    def __init__(self, connection: socket.socket, signals_fd: int) -> None:
        self._epoll = select.epoll()
        self._events: list[Message] = []
        self._gathering_since_ns = 0
        self._channel = Channel(connection, self._epoll)
        self._signals_fd = signals_fd
        self._epoll.register(signals_fd, select.EPOLLIN)
        self._pump = OutputPump(self._epoll, self._events.append)
        self._endings = Endings(self._on_over)
        self._lease = LeaseClock()
        self._decoder = Decoder()
        self._queue: deque[Request] = deque()
        self._by_key: dict[Any, Run] = {}
        self._slots = SlotPool(0, "")
        self._scratch_folder = ""
        self._base_env: dict[str, str] = {}
        self._null_fd = spawning.out_of_the_way(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
        self._quitting_since_ns = 0
        self._held = False
        self._handlers: dict[str, Callable[..., None]] = {
            say.CONFIGURE: self._configure,
            say.LEASE: self._lease.renew,
            say.RUN: self._run,
            say.HOST: self._host,
            say.REVOKE: self._revoke,
            say.CANCEL: self._cancel,
            say.PAUSE: self._pause,
            say.RESUME: self._resume,
            say.STOP: self._quit,
        }

    # The loop

    def serve(self) -> None:
        """Runs until the runtime is gone or asked to stop, and nothing is left."""
        while not self._is_done():
            ready = self._epoll.poll(self._wait_s())
            reap = False
            for fd, mask in ready:
                if fd == self._channel.fd:
                    self._on_channel(mask)
                elif fd == self._signals_fd:
                    reap = True
                else:
                    self._pump.on_ready(fd, mask)
            if reap:
                self._on_signals()
            now_ns = time.monotonic_ns()
            self._enforce_lease()
            self._endings.on_time(now_ns)
            self._start_queued()
            self._pump.watch_due(now_ns)
            if self._events and self._is_time_to_send(now_ns):
                self._channel.send(self._events)
                self._events.clear()
                self._quit_if_alone()
            self._hold_or_release()
        if self._scratch_folder:
            remove_folder(self._scratch_folder)

    def _is_done(self) -> bool:
        if not self._quitting_since_ns:
            return False
        if time.monotonic_ns() - self._quitting_since_ns > _QUIT_LIMIT_NS:
            for pid in process_tree.tree_of(process_tree.children_of(os.getpid())):
                process_tree.signal_process(pid, signal.SIGKILL)
            return not self._channel.is_open
        return not self._endings.runs and not (self._channel.is_open and self._channel.is_congested)

    def _wait_s(self) -> float:
        waits_ns = [_LONGEST_WAIT_NS]
        now_ns = time.monotonic_ns()
        for at_ns in (self._endings.due_at_ns(), self._pump.due_at_ns()):
            if at_ns is not None:
                waits_ns.append(at_ns - now_ns)
        if self._events:
            waits_ns.append(self._gathering_since_ns + self._gather_ns - now_ns)
        if self._by_key and (lease_ns := self._lease.wait_ns()) is not None:
            waits_ns.append(max(lease_ns, _EXPIRED_CHECK_NS))
        return max(0, min(waits_ns)) / _SECOND_NS

    def _on_channel(self, mask: int) -> None:
        for message in self._decoder.feed(self._channel.on_ready(mask)):
            self._handlers[message[0]](*message[1:])
        self._quit_if_alone()

    def _quit_if_alone(self) -> None:
        """The runtime is gone: its end of the stream was read, or what was sent to it came to nothing."""
        if not self._channel.is_open and not self._quitting_since_ns:
            self._quit(_QUIT_GRACE_NS)

    def _on_signals(self) -> None:
        numbers = os.read(self._signals_fd, 4096)
        if signal.SIGTERM in numbers:
            self._quit(_QUIT_GRACE_NS)
        self._endings.reap()

    @property
    def _gather_ns(self) -> int:
        return _GATHER_LONGER_NS if len(self._queue) >= _DEEP_QUEUE else _GATHER_NS

    def _is_time_to_send(self, now_ns: int) -> bool:
        """At once, unless more work is waiting here: then events are gathered for some milliseconds."""
        if not self._queue or len(self._events) > _GATHER_EVENTS:
            self._gathering_since_ns = 0
            return True
        self._gathering_since_ns = self._gathering_since_ns or now_ns
        if now_ns - self._gathering_since_ns < self._gather_ns:
            return False
        self._gathering_since_ns = 0
        return True

    def _hold_or_release(self) -> None:
        """Nothing more is read from tasks while the runtime does not take what was read."""
        if self._channel.is_congested != self._held:
            self._held = not self._held
            (self._pump.hold if self._held else self._pump.release)(self._endings.runs)

    def _enforce_lease(self) -> None:
        if not self._by_key:
            return
        state = self._lease.state()
        if state != VALID:
            for run in self._endings.runs:
                self._endings.stop(run, say.CAUSE_LEASE, 0 if state == KILL else _LEASE_GRACE_NS)

    # Requests

    def _configure(self, slots: int, scratch_folder: str, base_env: dict[str, str]) -> None:
        self._slots = SlotPool(slots, scratch_folder)
        self._scratch_folder = scratch_folder
        self._base_env = base_env

    def _run(self, *fields: Any) -> None:
        if self._quitting_since_ns:
            self._events.append((say.REVOKED, fields[0]))
        else:
            self._queue.append(Request(*fields))

    def _host(
        self,
        key: Any,
        argv: list[str],
        cwd: str,
        env: dict[str, str],
        grace_ns: int,
        mark: str,
        inherited: int,
    ) -> None:
        fds = tuple(map(spawning.out_of_the_way, self._channel.take_fds(inherited)))
        self._start(Request(key, argv, cwd, env, 0, 0, grace_ns, mark, fds))
        for fd in fds:
            os.close(fd)

    def _revoke(self, key: Any) -> None:
        for request in self._queue:
            if request.key == key:
                self._queue.remove(request)
                self._events.append((say.REVOKED, key))
                return

    def _cancel(self, key: Any, grace_ns: int, cause: str) -> None:
        run = self._by_key.get(key)
        if run is not None:
            self._endings.stop(run, cause, grace_ns)
        else:
            self._revoke(key)

    def _pause(self, key: Any) -> None:
        if (run := self._by_key.get(key)) is not None:
            self._pump.pause(run)

    def _resume(self, key: Any) -> None:
        if (run := self._by_key.get(key)) is not None:
            self._pump.resume(run)

    def _quit(self, grace_ns: int) -> None:
        for run in self._endings.runs:
            self._endings.stop(run, say.CAUSE_STOP, grace_ns)
        for request in self._queue:
            self._events.append((say.REVOKED, request.key))
        self._queue.clear()
        self._quitting_since_ns = self._quitting_since_ns or time.monotonic_ns()

    # Runs

    def _start_queued(self) -> None:
        queue = self._queue
        while queue and self._slots.fits(queue[0].slots):
            self._start(queue.popleft())
            if not queue:
                os.chdir("/")

    def _start(self, request: Request) -> None:
        slots = self._slots.take(request.slots)
        env = self._base_env | request.env
        if slots:
            env |= self._slots.environment(slots[0])
        try:
            if self._lease.state() != VALID:
                raise spawning.SpawnFailure(spawning.LEASE, "the worker's lease has run out")
            spawned = spawning.spawn(request.argv, env, request.cwd, self._null_fd, request.inherited)
        except spawning.SpawnFailure as failure:
            self._slots.give_back(slots)
            self._events.append((say.REFUSED, request.key, failure.kind, str(failure)))
            return
        at_us = time.time_ns() // 1000
        fds = {spawned.stdout_fd: say.STDOUT, spawned.stderr_fd: say.STDERR}
        run = Run(request, spawned.pid, slots, time.monotonic_ns(), at_us, fds)
        self._by_key[request.key] = run
        self._events.append((say.STARTED, request.key, run.pid, slots[0] if slots else -1, at_us))
        self._pump.add(run)
        self._endings.add(run)

    def _on_over(self, run: Run) -> None:
        self._pump.drain(run)
        result, error = self._slots.collect(run.slots[0]) if run.slots else (None, "")
        self._slots.give_back(run.slots)
        del self._by_key[run.request.key]
        code = os.waitstatus_to_exitcode(run.wait_status)
        wall_us = (run.ended_ns - run.started_ns) // 1000
        ended = say.Ended(
            say.ENDED,
            run.request.key,
            max(code, 0),
            max(-code, 0),
            run.cause,
            run.started_at_us + wall_us,
            wall_us,
            run.user_cpu_us,
            run.system_cpu_us,
            run.peak_memory_bytes,
            result,
            error,
        )
        self._events.append(tuple(ended))


def _become_subreaper() -> None:
    """Orphans of every generation come to this process instead of init."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _signals_as_bytes() -> int:
    """SIGCHLD and SIGTERM become bytes on a pipe, whose reading end is returned."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(spawning.out_of_the_way(writing), warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return spawning.out_of_the_way(reading)


def main() -> int:
    """Serves the socket on stdin until it ends."""
    connection = socket.socket(fileno=spawning.out_of_the_way(os.dup(0)))
    _become_subreaper()
    Supervisor(connection, _signals_as_bytes()).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
