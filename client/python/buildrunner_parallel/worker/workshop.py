"""The worker's own processes on its event loop: the supervisor, and the handler hosts behind it.

Moves messages between their sockets and the attempt book. Knows nothing of the coordinator.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable

from . import reaper
from . import supervisor_messages as say
from .attempt_book import AttemptBook
from .executors import SlotExecutor
from .framing import Message
from .groundwork import Groundwork, HeldByOthers
from .handler_pool import HOST_FAILED, HOSTS_READY, HandlerPool
from .handlers import NO_OPERATION, HandlerLoadError
from .host_link import HostLink
from .host_messages import IMPORT_PATH
from .lease_clock import VALID, LeaseClock
from .options import WorkerOptions
from .supervisor_client import SupervisorClient, SupervisorLost, child_environment
from .task_environment import base_environment

_TICK_S = 0.01
_WARM_UP_S = 60.0


class Workshop:
    """One supervisor for a worker's life. `on_change` is called after events, `on_lost` when it dies."""

    def __init__(
        self,
        options: WorkerOptions,
        on_change: Callable[[], None],
        on_lost: Callable[[], None],
        held_by_others: HeldByOthers,
    ) -> None:
        self._options = options
        self._on_change = on_change
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._supervisor = SupervisorClient()
        self._scratch_folder = tempfile.mkdtemp(prefix="br-worker-")
        self._loop.add_reader(self._supervisor.fileno(), self._on_readable)
        self._is_writing = False
        self._is_open = True
        self._ticker: asyncio.TimerHandle | None = None
        self._names: asyncio.Future[list[str]] | None = None
        # From now on the supervisor removes the folder, however this process ends.
        self._send([(say.CONFIGURE, options.slots, self._scratch_folder, {})])
        self.executor = SlotExecutor(options.slots, options.directory)
        self._lease = LeaseClock()
        self.groundwork = Groundwork(
            f"{self._scratch_folder}/pictures",
            options.directory,
            self._on_ground_event,
            lambda: self._lease.state() == VALID,
            held_by_others,
        )
        self.book: AttemptBook | None = None

    # Setting up

    def serve_as(self, worker_id: str) -> None:
        """The worker has a new id: its tasks' environment changes. Nothing may be running."""
        options = self._options
        env = self._base_environment(worker_id)
        self._send([(say.CONFIGURE, options.slots, self._scratch_folder, env)])
        if self.executor.pool is not None:
            self.executor.pool.close()
        self.executor.pool = self._pool(env)

    def _base_environment(self, worker_id: str) -> dict[str, str]:
        options = self._options
        return base_environment(os.environ, worker_id, options.coordinator, options.pass_environment)

    def _host_arguments(self) -> list[str]:
        path = self._options.import_path
        return [*((IMPORT_PATH, json.dumps(path)) if path else ()), *self._options.handler_modules]

    def _pool(self, env: dict[str, str]) -> HandlerPool:
        env = child_environment(env | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")})
        return HandlerPool(
            self._host_arguments(),
            env,
            self._options.directory,
            self._supervisor.send_with_fds,
            self._on_pool_event,
            lambda host: self._loop.add_reader(host.fileno(), self._on_host_readable, host),
            self._unwatch,
        )

    def _unwatch(self, host: HostLink) -> None:
        if host.fileno() >= 0:
            self._loop.remove_reader(host.fileno())

    async def handler_names(self) -> list[str]:
        """The handlers that this worker has, learned from a host; raises HandlerLoadError."""
        if not self._options.handler_modules:
            return [NO_OPERATION]
        self._names = self._loop.create_future()
        env = self._base_environment("")
        self._send([(say.CONFIGURE, 1, self._scratch_folder, env)])
        self.executor.pool = self._pool(env)
        self.executor.pool.warm_up()
        try:
            async with asyncio.timeout(_WARM_UP_S):
                return await self._names
        except TimeoutError:
            raise HandlerLoadError(f"the handler modules did not load within {_WARM_UP_S:g} s") from None
        finally:
            self.executor.pool.close()

    # Messages

    def flush(self) -> None:
        """Hands on what there is room for and sends it."""
        if self.book is not None:
            self.book.dispatch()
        if self.executor.requests:
            requests, self.executor.requests = self.executor.requests, []
            self._send(requests)
        if self.executor.pool is not None:
            self.executor.pool.flush()
            if self.executor.pool.is_waiting and self._ticker is None and self._is_open:
                self._ticker = self._loop.call_later(_TICK_S, self._on_tick)

    def send(self, requests: list[Message]) -> None:
        """Requests of the runtime's own, such as the lease."""
        for request in requests:
            if request[0] == say.LEASE:
                self._lease.renew(*request[1:])
        if requests:
            self._send(requests)

    def _send(self, requests: list[Message]) -> None:
        try:
            sent = self._supervisor.send(requests)
        except SupervisorLost:
            self._lose()
            return
        if not sent and not self._is_writing:
            self._is_writing = True
            self._loop.add_writer(self._supervisor.fileno(), self._on_writable)

    def _on_writable(self) -> None:
        try:
            sent = self._supervisor.flush()
        except SupervisorLost:
            self._lose()
            return
        if sent:
            self._is_writing = False
            self._loop.remove_writer(self._supervisor.fileno())

    def _on_readable(self) -> None:
        try:
            messages = self._supervisor.read_events()
        except SupervisorLost:
            self._lose()
            return
        now_s = time.monotonic()
        pool, book = self.executor.pool, self.book
        for event in messages:
            if (pool is None or not pool.on_supervisor_event(event)) and book is not None:
                book.on_event(event, now_s)
        self._after_events()

    def _on_host_readable(self, host: HostLink) -> None:
        if self.executor.pool is not None:
            self.executor.pool.on_readable(host)
            self._after_events()

    def _on_tick(self) -> None:
        self._ticker = None
        if self.executor.pool is not None and self._is_open:
            self.executor.requests += self.executor.pool.on_time(time.monotonic_ns())
            self._after_events()

    def _after_events(self) -> None:
        self.flush()
        self._on_change()

    def _on_ground_event(self, event: Message) -> None:
        if self.book is not None and self._is_open:
            self.book.on_ground(event)
            self._after_events()

    def _on_pool_event(self, event: Message) -> None:
        if self._names is not None and not self._names.done():
            if event[0] == HOSTS_READY:
                self._names.set_result(event[1])
            elif event[0] == HOST_FAILED:
                self._names.set_exception(HandlerLoadError(event[2]))
        elif self.book is not None and event[0] != HOSTS_READY:
            self.book.on_event(event, time.monotonic())

    # The end

    def _lose(self) -> None:
        if self._is_open:
            self._stop_watching()
            self._on_lost()

    def _stop_watching(self) -> None:
        self._is_open = False
        self._loop.remove_reader(self._supervisor.fileno())
        self._loop.remove_writer(self._supervisor.fileno())
        if self._ticker is not None:
            self._ticker.cancel()

    def close(self, worker_id: str, *, is_lost: bool) -> None:
        """Ends the supervisor and with it every process; blocks for at most some seconds."""
        if self._is_open:
            self._stop_watching()
        if self.executor.pool is not None:
            self.executor.pool.close()
        self._supervisor.close()
        self.groundwork.close_down()
        if is_lost and worker_id:
            reaper.kill_worker(worker_id)
        _remove_folder(self._scratch_folder)


def _remove_folder(path: str) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)
