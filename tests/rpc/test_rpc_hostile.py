"""Messages that nobody in his senses would send: refused or answered, never a fault of the coordinator."""

from __future__ import annotations

import asyncio
import random

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import FieldDescriptor

from buildrunner_coordinator.domain.invariants import check
from buildrunner_parallel.v1 import (
    coordinator_service_pb2,
    event_service_pb2,
    lock_service_pb2,
    log_service_pb2,
    session_service_pb2,
    task_service_pb2,
    worker_service_pb2,
)

MODULES = (
    coordinator_service_pb2,
    event_service_pb2,
    lock_service_pb2,
    log_service_pb2,
    session_service_pb2,
    task_service_pb2,
    worker_service_pb2,
)
LEFT_OUT = {"Shutdown", "Watch", "ReadOutput", "ClaimTasks", "Backup"}
"""The first ends it, the others may rightly wait, or take nothing."""
FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}
TEXTS = (
    "",
    "a",
    "last",
    "a\0b",
    "../x",
    "/x",
    "x/",
    "res:",
    "*{",
    "ä" * 300,
    "[" * 5000,
    "{}",
    "1",
    "-1",
    "\u202e",
)
WHOLE = (0, 1, -1, 2, 5, 1000, 2**31 - 1, -(2**31))
WIDE = (*WHOLE, 2**63 - 1, -(2**63))
NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: WHOLE,
    FieldDescriptor.CPPTYPE_INT64: WIDE,
    FieldDescriptor.CPPTYPE_ENUM: (0, 1, 2, 3, 99),
    FieldDescriptor.CPPTYPE_BOOL: (True, False),
    FieldDescriptor.CPPTYPE_DOUBLE: (0.0, -1.0, 1e300, float("nan"), float("inf")),
}
METHODS = [
    (service.full_name, method.name)
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if not method.client_streaming and method.name not in LEFT_OUT
]


def message_class(service: str, method: str):
    for module in MODULES:
        if service.rsplit(".", 1)[1] in module.DESCRIPTOR.services_by_name:
            return getattr(module, f"{method}Request")
    raise AssertionError(service)


def fill(message, dice: random.Random, ids: list[str], depth: int = 0):
    for field in message.DESCRIPTOR.fields:
        if dice.random() < 0.4:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            getattr(message, field.name)[dice.choice(TEXTS)] = dice.choice(TEXTS)
        elif field.message_type is not None:
            if depth < 4:
                part = getattr(message, field.name)
                fill(part.add() if field.is_repeated else part, dice, ids, depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).append(value_of(field, dice, ids))
        else:
            setattr(message, field.name, value_of(field, dice, ids))
    return message


def value_of(field, dice: random.Random, ids: list[str]):
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return dice.randbytes(dice.choice((0, 5, 3000)))
        return dice.choice(ids if dice.random() < 0.5 else TEXTS)
    return dice.choice(NUMBERS[field.cpp_type])


async def code_of(call) -> grpc.StatusCode:
    """The status, which comes behind everything that is to be read."""
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code()
    return await call.code()


@pytest.fixture
async def ids(coordinator, make) -> list[str]:
    """Of things that are there, so that the nonsense gets further than the first look-up."""
    coordinator.engine._check = check
    session = await coordinator.running_session()
    worker = await coordinator.connect(credit=2)
    await coordinator.submit(session.session_id, make.task("t1"), make.task("t2", needs=["t1"]))
    (assignment,) = await worker.receive_assignments()
    return [session.session_id, worker.welcome.worker_id, "t1", "t2", assignment.attempt_id]


@pytest.mark.parametrize(("service", "method"), METHODS)
async def test_no_unary_call_fails_by_a_fault_of_the_coordinator(coordinator, ids, service, method, caplog):
    dice = random.Random(f"{service}/{method}")
    stub = coordinator.channel.unary_unary(
        f"/{service}/{method}", request_serializer=lambda message: message.SerializeToString()
    )
    for _ in range(40):
        request = fill(message_class(service, method)(), dice, ids)
        answer = stub(request, metadata=coordinator.meta, timeout=20)
        code = await answer.code()
        assert code not in FAULTS, f"{code} {await answer.details()}: {request}\n{caplog.text}"


async def test_no_stream_of_a_worker_fails_by_a_fault_of_the_coordinator(coordinator, ids, caplog):
    dice = random.Random(1)
    for number in range(30):
        call = coordinator.workers.Connect(metadata=coordinator.meta, timeout=20)
        hello = worker_service_pb2.Hello(worker_id=dice.choice(["", ids[1]]), slots=2)
        fill(hello, dice, ids) if number % 3 == 0 else hello.kinds.CopyFrom(
            worker_service_pb2.Hello().kinds.__class__(commands=True)
        )
        try:
            await call.write(worker_service_pb2.ConnectRequest(hello=hello))
            for _ in range(10):
                message = fill(worker_service_pb2.ConnectRequest(), dice, ids)
                message.ClearField("hello")
                await call.write(message)
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # refused already
        await code_of(call)
        # A write that meets the end of its call makes up a code of the client's own, so the log decides.
        assert "unexpected error" not in caplog.text
    assert (await coordinator.running_session("still there")).name == "still there"


async def test_no_stream_of_output_fails_by_a_fault_of_the_coordinator(coordinator, ids, caplog):
    dice = random.Random(2)
    for _ in range(30):
        call = coordinator.logs.WriteOutput(metadata=coordinator.meta, timeout=20)
        for _ in range(5):
            await call.write(fill(log_service_pb2.WriteOutputRequest(), dice, ids))
        await call.done_writing()
        assert await code_of(call) not in FAULTS, caplog.text


async def test_no_reading_of_output_fails_by_a_fault_of_the_coordinator(coordinator, ids, caplog):
    dice = random.Random(3)
    for _ in range(60):
        request = fill(log_service_pb2.ReadOutputRequest(), dice, ids)
        request.follow = False
        call = coordinator.logs.ReadOutput(request, metadata=coordinator.meta, timeout=20)
        assert await code_of(call) not in FAULTS, f"{request} {caplog.text}"
