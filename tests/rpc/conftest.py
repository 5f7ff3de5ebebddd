"""A coordinator in the test's own process: real core, memory store, real server on a unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest

from buildrunner_coordinator.domain.core import Core
from buildrunner_coordinator.domain.model import Settings
from buildrunner_coordinator.engine.clock import CoreClock
from buildrunner_coordinator.engine.engine import Engine
from buildrunner_coordinator.engine.feed import Feed
from buildrunner_coordinator.rpc.convert.events import EventEncoder
from buildrunner_coordinator.rpc.house import House, Identity, Limits
from buildrunner_coordinator.rpc.server import CoordinatorServer
from buildrunner_coordinator.store.memory import MemoryStore
from buildrunner_parallel.v1 import session_service_pb2 as session_pb
from buildrunner_parallel.v1 import task_service_pb2 as task_pb
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1 import worker_service_pb2 as worker_pb
from buildrunner_parallel.v1.coordinator_service_pb2_grpc import CoordinatorServiceStub
from buildrunner_parallel.v1.event_service_pb2_grpc import EventServiceStub
from buildrunner_parallel.v1.lock_service_pb2_grpc import LockServiceStub
from buildrunner_parallel.v1.log_service_pb2_grpc import LogServiceStub
from buildrunner_parallel.v1.session_service_pb2_grpc import SessionServiceStub
from buildrunner_parallel.v1.task_service_pb2_grpc import TaskServiceStub
from buildrunner_parallel.v1.worker_service_pb2_grpc import WorkerServiceStub

TOKEN = "0123456789abcdef"
DEADLINE_S = 20


@dataclass
class Coordinator:
    """What a test talks to."""

    house: House
    engine: Engine
    store: MemoryStore
    server: CoordinatorServer
    address: str
    channel: grpc.aio.Channel

    def __post_init__(self) -> None:
        self.sessions = SessionServiceStub(self.channel)
        self.tasks = TaskServiceStub(self.channel)
        self.workers = WorkerServiceStub(self.channel)
        self.locks = LockServiceStub(self.channel)
        self.logs = LogServiceStub(self.channel)
        self.events = EventServiceStub(self.channel)
        self.info = CoordinatorServiceStub(self.channel)

    @property
    def meta(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {TOKEN}"), ("br-client-id", "test"))

    async def call(self, method, request, **keywords):
        """One unary call with token and deadline."""
        metadata = keywords.pop("metadata", self.meta)
        return await method(request, metadata=metadata, timeout=DEADLINE_S, **keywords)

    async def running_session(self, name: str = "one", **fields) -> types.Session:
        request = session_pb.CreateSessionRequest(name=name, **fields)
        session = (await self.call(self.sessions.CreateSession, request)).session
        starting = session_pb.StartSessionRequest(session_id=session.session_id)
        return (await self.call(self.sessions.StartSession, starting)).session

    async def submit(self, session_id: str, *specs: types.TaskSpec, **fields) -> task_pb.SubmitTasksResponse:
        request = task_pb.SubmitTasksRequest(session_id=session_id, tasks=specs, **fields)
        return await self.call(self.tasks.SubmitTasks, request)

    async def connect(self, **hello) -> WorkerClient:
        """A worker on a stream of its own, welcomed."""
        worker = WorkerClient(self.workers.Connect(metadata=self.meta))
        fields = {"host": "here", "pid": 77, "slots": 1, "kinds": types.WorkerKinds(commands=True), **hello}
        await worker.send(hello=worker_pb.Hello(**fields))
        first = await worker.receive()
        worker.welcome = first.welcome
        worker.early = [first]
        return worker


class WorkerClient:
    """A worker written by hand."""

    def __init__(self, call) -> None:
        self.call = call
        self.welcome = worker_pb.Welcome()
        self.early: list[worker_pb.ConnectResponse] = []
        """The message with the welcome: it may hold more."""

    async def send(self, **parts) -> None:
        await self.call.write(worker_pb.ConnectRequest(**parts))

    async def receive(self) -> worker_pb.ConnectResponse:
        """The next message. Raises AssertionError at the end of the stream."""
        message = await asyncio.wait_for(self.call.read(), DEADLINE_S)
        assert message is not grpc.aio.EOF, "the stream has ended"
        return message

    async def receive_assignments(self, count: int = 1) -> list[worker_pb.Assignment]:
        found = [one for message in self.early for one in message.assignments]
        self.early = []
        while len(found) < count:
            found += (await self.receive()).assignments
        return found

    async def receive_acknowledgement(self) -> worker_pb.Acknowledgement:
        while True:
            message = await self.receive()
            if message.acknowledgements:
                return message.acknowledgements[0]

    async def at_end(self) -> grpc.StatusCode:
        """The status, once everything has been read."""
        try:
            while await asyncio.wait_for(self.call.read(), DEADLINE_S) is not grpc.aio.EOF:
                pass
        except grpc.aio.AioRpcError as error:
            return error.code()
        return await self.call.code()


def command_task(task_id: str = "", *argv: str, **fields) -> types.TaskSpec:
    return types.TaskSpec(task_id=task_id, command=types.CommandWork(argv=argv or ("true",)), **fields)


def report_on(assignment: worker_pb.Assignment, **fields) -> worker_pb.TaskReport:
    values = {"outcome": types.OUTCOME_SUCCEEDED, "exit_code": 0, "pid": 5, "started_at_us": 10, **fields}
    return worker_pb.TaskReport(attempt_id=assignment.attempt_id, fence=assignment.fence, **values)


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def coordinator(
    tmp_path: Path, settings: Settings, limits: Limits, store: MemoryStore
) -> AsyncIterator[Coordinator]:
    snapshot = await store.open(1_700_000_000_000_000, "workspace")
    clock = CoreClock(snapshot.meta.last_us)
    core = Core.load(snapshot, settings, clock.now())
    feed = Feed(EventEncoder(core.meta.workspace_id, clock.now), core.revision)
    engine = Engine(core, store, clock, feed=feed)
    address = f"unix:{tmp_path}/s"
    identity = Identity("1", address, 1, "here", str(tmp_path), str(tmp_path), store.description, 1)
    house = House(engine, identity, settings, limits)
    server = CoordinatorServer(house, TOKEN)
    server.listen(address)
    loop = asyncio.ensure_future(engine.run())
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        yield Coordinator(house, engine, store, server, address, channel)
    await server.stop(0.1)
    engine.stop()
    await asyncio.gather(loop, return_exceptions=True)
    await store.close()


@pytest.fixture
def make() -> Make:
    return Make()


class Make:
    """Messages, for tests that cannot import from here."""

    task = staticmethod(command_task)
    report = staticmethod(report_on)

    @staticmethod
    async def asking(coordinator, method, request):
        """The same question again and again, for what comes a moment later."""
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(10_000):
                yield await coordinator.call(method, request)
                await asyncio.sleep(0.005)
