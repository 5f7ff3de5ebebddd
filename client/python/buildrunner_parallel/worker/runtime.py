"""The worker program: one asyncio loop between the coordinator's stream and the worker's own processes.

User code never runs here, so nothing that a task does can hold up a heartbeat. Decisions about attempts are
in attempt_book; this file joins the parts and decides when to connect, to drain and to leave.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from importlib import metadata
from pathlib import Path

import grpc

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2, worker_service_pb2_grpc
from buildrunner_parallel.workspace import find_workspace, ignores_case

from . import output_spool
from .attempt_book import AttemptBook
from .credit import CreditGauge
from .handlers import HandlerLoadError, check_expected
from .lease import Lease
from .lock_questions import LockQuestions
from .options import WorkerOptions
from .outgoing import Outgoing
from .output_stream import OutputStream
from .stream import Broken, Conversation
from .workshop import Workshop

DONE = 0
FAILED = 1
UNREACHABLE = 3

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_HOUSEKEEPING_S = 0.1
_FAREWELL_S = 2.0
_STOP_GRACE_MS = 2_000
_UNARY_TIMEOUT_S = 5.0

_log = logging.getLogger("buildrunner_parallel.worker")

OpenChannel = Callable[[str, str], grpc.aio.Channel]


def _open_channel(address: str, token: str) -> grpc.aio.Channel:
    from buildrunner_parallel.channel import open_aio_channel

    return open_aio_channel(address, token)


def keep_what_is_loaded() -> None:
    """Tunes the collector: going through that again and again costs a tenth of a busy worker's time."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


IGNORES_CASE = "ignores-case"
"""A capability: names in this worker's checkout are not told apart by their case."""


class WorkerRuntime:
    """One worker. `run` returns the exit code: 0 after a drain, 1 refused or broken, 3 nobody to talk to."""

    def __init__(
        self,
        options: WorkerOptions,
        open_channel: OpenChannel = _open_channel,
        on_welcome: Callable[[str], None] = lambda _worker_id: None,
    ) -> None:
        self._options = options
        self._open_channel = open_channel
        self._on_welcome = on_welcome
        self.failure = ""
        self._outgoing = Outgoing()
        self._credit = CreditGauge(options.slots, options.credit)
        self._lease = Lease(options.lock_file)
        self._worker_id = ""
        self._store_id = ""
        self._epoch = 0
        self._generation = 0
        self._repeat_s = 5.0
        self._handlers: list[str] = []
        checkout = find_workspace(Path(options.directory))
        self._capabilities = [IGNORES_CASE] if ignores_case(checkout) else []
        self._conversation: Conversation | None = None
        self._output: OutputStream | None = None
        self._goodbye: worker_service_pb2.Goodbye | None = None
        self._leaving = asyncio.Event()
        self._left_unserved = asyncio.Event()
        self._exit_code: int | None = None
        self._supervisor_lost = False
        self._last_contact_s = time.monotonic()
        self._stopping_at_s = 0.0
        self._background: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Serves until drained, refused, or unable to reach the coordinator for too long."""
        questions = LockQuestions(lambda: self._channel)
        self._workshop = Workshop(
            self._options, self._changed, self._on_supervisor_lost, questions.held_by_others
        )
        self._book = AttemptBook(
            self._workshop.executor,
            self._outgoing,
            self._credit,
            lambda: time.time_ns() // 1000,
            self._workshop.groundwork,
        )
        self._book.spool_folder = output_spool.default_folder()
        self._workshop.book = self._book
        try:
            self._handlers = await self._workshop.handler_names()
            check_expected(self._options.expected_handlers, self._handlers)
            await self._serve()
        except HandlerLoadError as error:
            self._fail(FAILED, str(error))
        finally:
            for task in list(self._background):
                task.cancel()
            self._workshop.close(self._worker_id, is_lost=self._supervisor_lost)
        return self._exit_code if self._exit_code is not None else DONE

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        self._in_background(self._keep_house())
        channel = self._open_channel(self._options.coordinator, self._options.token)
        try:
            await self._converse_until_done(channel)
        finally:
            await channel.close()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def _converse_until_done(self, channel: grpc.aio.Channel) -> None:
        pause_s = _FIRST_PAUSE_S
        while self._exit_code is None:
            self._channel = channel
            self._conversation = Conversation(channel, self)
            try:
                broken = await self._conversation.run()
            finally:
                self._conversation = None
                self._stop_output()
            if self._exit_code is None:
                pause_s = _FIRST_PAUSE_S if broken.was_welcome else min(pause_s * 2, _LONGEST_PAUSE_S)
                self._judge(broken)
            if self._exit_code is None:
                await self._pause(random.uniform(0, pause_s))

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._left_unserved.wait()
        except TimeoutError:
            return

    def _judge(self, broken: Broken) -> None:
        """Whether to try again after a conversation has ended."""
        now_s = time.monotonic()
        if broken.was_welcome:
            self._last_contact_s = now_s
        away_s = now_s - self._last_contact_s
        _log.info("the stream has ended: %s", broken.reason)
        lock_file = self._options.lock_file
        if broken.is_unknown and self._worker_id:
            self._become_new()
        elif broken.is_refused or broken.is_unknown:
            self._fail(FAILED, f"the coordinator refuses this worker: {broken.reason}")
        elif self._leaving.is_set() and not len(self._book):
            self._exit_code = DONE
        elif away_s > self._options.unreachable_s:
            address = self._options.coordinator
            self._fail(UNREACHABLE, f"no coordinator at {address} for {away_s:.0f} s: {broken.reason}")
        elif lock_file and not os.path.isdir(os.path.dirname(lock_file)):
            self._fail(UNREACHABLE, f"the coordinator's state directory {os.path.dirname(lock_file)} is gone")

    def _fail(self, exit_code: int, why: str) -> None:
        _log.error("%s", why)
        self.failure, self._exit_code = why, exit_code

    def _become_new(self) -> None:
        """Nothing that was done before counts any more: stop it and register without an id."""
        _log.warning("starting anew: the coordinator or its store does not know worker %s", self._worker_id)
        self._book.disown_all()
        self._outgoing.clear()
        self._workshop.flush()
        self._worker_id = self._store_id = ""
        self._epoch = self._generation = 0

    # What a conversation asks and tells (stream.Conversationalist)

    def hello(self) -> worker_service_pb2.Hello:
        """Who this is and what it holds."""
        options = self._options
        self._credit.reset()
        return worker_service_pb2.Hello(
            worker_id=self._worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=_version(),
            slots=options.slots,
            labels=options.labels,
            kinds=types_pb2.WorkerKinds(commands=options.commands, handlers=self._handlers),
            session_id=options.session_id,
            metadata_json=options.metadata_json,
            held=self._book.held(),
            credit=self._credit.initial,
            store_id=self._store_id,
            epoch=self._epoch,
            workspace_id=options.workspace_id,
            capabilities=self._capabilities,
        )

    def welcomed(self, welcome: worker_service_pb2.Welcome, hello_sent_at_ns: int) -> str:
        """Checks that it is the same coordinator's store, then reconciles."""
        if not welcome.worker_id:
            return "the first message was no welcome"
        if self._store_id and welcome.store_id != self._store_id:
            self._become_new()
            return "another store answered"
        if welcome.epoch < self._epoch:
            return f"an impostor answered: epoch {welcome.epoch} is older than {self._epoch}"
        is_new = welcome.worker_id != self._worker_id
        if is_new and self._book.has_processes:
            return "what the old store had running is still being stopped"
        if is_new:
            self._workshop.serve_as(welcome.worker_id)
        self._worker_id, self._store_id = welcome.worker_id, welcome.store_id
        self._epoch, self._generation = welcome.epoch, welcome.generation
        self._repeat_s = max(welcome.report_repeat_ms / 1000, 0.05) if welcome.report_repeat_ms else 5.0
        self._book.output_head_bytes = welcome.output_head_bytes
        self._book.output_tail_bytes = welcome.output_tail_bytes
        self._workshop.send(self._lease.begin(welcome, hello_sent_at_ns, is_new=is_new))
        if is_new:
            self._book.lease_renewed()
        self._book.new_stream(time.monotonic())
        self._start_output()
        _log.info("worker %s serves %s", self._worker_id, self._options.coordinator)
        self._on_welcome(self._worker_id)
        if self._leaving.is_set():
            self._in_background(self._ask_for_drain())
        return ""

    def received(self, response: worker_service_pb2.ConnectResponse) -> None:
        """One message of the coordinator."""
        self._last_contact_s = time.monotonic()
        book = self._book
        if response.HasField("heartbeat_reply"):
            reply = response.heartbeat_reply
            if renewal := self._lease.answered(reply.sequence):
                self._workshop.send(renewal)
                book.lease_renewed()
            book.disown(reply.unknown_attempt_ids)
        for acknowledgement in response.acknowledgements:
            book.acknowledge(acknowledgement)
        book.assign(response.assignments, self._generation)
        for revocation in response.revocations:
            book.revoke(revocation)
        for cancellation in response.cancellations:
            book.cancel(cancellation)
        if response.HasField("drain"):
            self._drain(response.drain.reason or "asked by the coordinator")
        self._workshop.flush()
        self._leave_if_done()

    def next_request(self) -> worker_service_pb2.ConnectRequest | None:
        """The next message, or None."""
        if not self._outgoing.is_empty:
            return self._outgoing.take()
        if self._goodbye is not None:
            request = worker_service_pb2.ConnectRequest(goodbye=self._goodbye)
            self._goodbye = None
            return request
        return None

    def heartbeat(self) -> worker_service_pb2.Heartbeat:
        """A heartbeat that names everything held."""
        sequence = self._lease.next_heartbeat(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        return worker_service_pb2.Heartbeat(sequence=sequence, held=self._book.held())

    # Changes from below, and by the clock

    def _changed(self) -> None:
        if self._conversation is not None and not self._outgoing.is_empty:
            self._conversation.wake()
        if self._output is not None and self._book.with_output:
            self._output.wake()
        self._leave_if_done()

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            now_s = time.monotonic()
            self._book.repeat_reports(now_s, self._repeat_s)
            if self._stopping_at_s and now_s >= self._stopping_at_s:
                self._stop_now("its time to drain is over")
            self._changed()

    def _start_output(self) -> None:
        self._stop_output()
        self._output = OutputStream(self._channel, self._book, self._worker_id, self._changed)
        self._output_task = self._in_background(self._output.run())

    def _stop_output(self) -> None:
        if self._output is not None:
            self._output = None
            self._output_task.cancel()

    def _in_background(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def _on_supervisor_lost(self) -> None:
        self._supervisor_lost = True
        self._fail(FAILED, "the supervisor process has ended; its tasks are killed and this worker ends")
        self._interrupt()

    def _interrupt(self) -> None:
        self._left_unserved.set()
        if self._conversation is not None:
            self._conversation.cancel()

    # Leaving

    def _on_signal(self, number: int) -> None:
        """The first one drains within `drain_s`, the next one stops what runs at once."""
        if self._stopping_at_s:
            self._stop_now(f"a second {signal.Signals(number).name}")
        else:
            self.leave(f"received {signal.Signals(number).name}", self._options.drain_s)

    def leave(self, reason: str, within_s: float | None = None) -> None:
        """Takes nothing new; what still runs after `within_s` seconds is stopped, with None it may finish."""
        if within_s is not None and self._stopping_at_s >= 0:
            self._stopping_at_s = time.monotonic() + within_s
        if not self._leaving.is_set():
            self._drain(reason)
            self._in_background(self._ask_for_drain())
        self._workshop.flush()
        self._changed()

    def _drain(self, reason: str) -> None:
        """Nothing new is taken; what runs may finish, however long it takes."""
        if not self._leaving.is_set():
            _log.info("draining: %s", reason)
            self._leaving.set()
        self._book.drain()

    async def _ask_for_drain(self) -> None:
        """So that the coordinator sends nothing new; what comes nevertheless is given back."""
        if not self._worker_id:
            return
        stub = worker_service_pb2_grpc.WorkerServiceStub(self._channel)
        try:
            request = worker_service_pb2.DrainWorkerRequest(
                worker_id=self._worker_id, reason="the worker leaves"
            )
            await stub.DrainWorker(request, timeout=_UNARY_TIMEOUT_S)
        except grpc.RpcError as error:
            _log.info("could not announce the drain: %s", error.details())

    def _stop_now(self, reason: str) -> None:
        if self._stopping_at_s < 0:
            return
        _log.info("stopping what runs: %s", reason)
        self._stopping_at_s = -1.0
        self._book.stop_all(_STOP_GRACE_MS)
        self._workshop.flush()
        self._in_background(self._give_up_after(2 * _FAREWELL_S + _STOP_GRACE_MS / 1000))

    async def _give_up_after(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        if self._exit_code is None:
            self._exit_code = DONE
        self._interrupt()

    def _leave_if_done(self) -> None:
        if not self._leaving.is_set() or len(self._book) or self._exit_code is not None:
            return
        if not self._outgoing.is_empty and self._conversation is not None:
            self._conversation.wake()
            return
        self._exit_code = DONE
        if self._conversation is None:
            self._left_unserved.set()
        else:
            self._goodbye = worker_service_pb2.Goodbye(reason="drained")
            self._in_background(self._say_goodbye(self._conversation))

    async def _say_goodbye(self, conversation: Conversation) -> None:
        await conversation.end(_FAREWELL_S)
        await asyncio.sleep(0.05)
        conversation.cancel()


def _version() -> str:
    try:
        return metadata.version("buildrunner-parallel")
    except metadata.PackageNotFoundError:
        return "0"
