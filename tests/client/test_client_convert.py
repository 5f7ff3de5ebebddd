"""Records and wire messages: everything that the protocol says arrives, nothing unknown breaks a reader."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from buildrunner_parallel import enums, records
from buildrunner_parallel.convert import change_from_wire, from_wire
from buildrunner_parallel.convert_specs import task_spec_from_wire, task_spec_to_wire
from buildrunner_parallel.errors import InvalidRequestError
from buildrunner_parallel.specs import ExternalWork, PathRequest, Payload, TaskSpec
from buildrunner_parallel.v1 import (
    coordinator_service_pb2,
    event_service_pb2,
    lock_service_pb2,
    task_service_pb2,
    types_pb2,
)

PAIRS = [
    (records.Session, types_pb2.Session),
    (records.TaskCounts, types_pb2.TaskCounts),
    (records.TaskSummary, types_pb2.TaskSummary),
    (records.Task, types_pb2.Task),
    (records.Attempt, types_pb2.Attempt),
    (records.Wait, types_pb2.Wait),
    (records.Worker, types_pb2.Worker),
    (records.Pool, types_pb2.Pool),
    (records.PathLock, types_pb2.PathLock),
    (records.LockConflict, types_pb2.LockConflict),
    (records.LockWaiter, lock_service_pb2.LockWaiter),
    (records.LockReport, lock_service_pb2.GetLockStatisticsResponse),
    (records.LockStatistics, lock_service_pb2.LockStatistics),
    (records.LockSessionStatistics, lock_service_pb2.LockSessionStatistics),
    (records.LockPeriodStatistics, lock_service_pb2.LockPeriodStatistics),
    (records.LockWaitFigures, lock_service_pb2.LockWaitFigures),
    (records.LockHolder, types_pb2.LockHolder),
    (records.OutputChunk, types_pb2.OutputChunk),
    (records.Removed, event_service_pb2.Removed),
    (records.CoordinatorInfo, coordinator_service_pb2.GetInfoResponse),
    (records.Summary, coordinator_service_pb2.Summary),
    (records.TaskExplanation, task_service_pb2.TaskExplanation),
]


def fill(message: Message, depth: int = 0) -> Message:
    """Sets every field of a message to something that is not its default."""
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof is not None and len(field.containing_oneof.fields) > 1:
            continue
        value = _value(field, depth)
        target = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            target["name"] = "value"
        elif field.is_repeated:
            if field.message_type is not None:
                fill(target.add(), depth + 1)
            else:
                target.append(value)
        elif field.message_type is not None:
            fill(target, depth + 1)
        else:
            setattr(message, field.name, value)
    return message


def _value(field, depth: int) -> object:
    if field.name.endswith("_json"):
        return '{"a": 1}'
    if field.enum_type is not None:
        return 1
    return {
        FieldDescriptor.CPPTYPE_STRING: b"x" if field.type == FieldDescriptor.TYPE_BYTES else f"{field.name}",
        FieldDescriptor.CPPTYPE_BOOL: True,
        FieldDescriptor.CPPTYPE_DOUBLE: 1.5,
    }.get(field.cpp_type, 7 + depth)


@pytest.mark.parametrize(("record_class", "message_class"), PAIRS)
def test_every_field_of_a_message_reaches_its_record(record_class, message_class):
    record = from_wire(record_class, fill(message_class()))
    for name in message_class.DESCRIPTOR.fields_by_name:
        value = getattr(record, name.removesuffix("_json"))
        assert value not in (None, "", 0, (), {}, False), name


@pytest.mark.parametrize(("record_class", "message_class"), PAIRS)
def test_an_empty_message_becomes_a_record_without_complaint(record_class, message_class):
    record = from_wire(record_class, message_class())
    assert isinstance(record, record_class)
    assert all(not isinstance(value, Message) for value in dataclasses.astuple(record))


def test_records_have_no_field_that_the_protocol_lacks():
    pairs: list[Any] = PAIRS
    for record_class, message_class in pairs:
        names = {field.name for field in dataclasses.fields(record_class)}
        wire = {name.removesuffix("_json") for name in message_class.DESCRIPTOR.fields_by_name}
        assert names == wire, record_class.__name__


def test_enum_values_of_the_protocol_all_have_their_word():
    for enum_class in (
        enums.SessionStatus, enums.SessionDriver, enums.TaskStatus, enums.Outcome, enums.WaitKind,
        enums.WorkerStatus, enums.LockMode, enums.LockKind, enums.AuditMode, enums.IsolationMode,
        enums.OutputChannel, enums.FailureAction,
    ):  # fmt: skip
        descriptor = types_pb2.DESCRIPTOR.enum_types_by_name[enum_class.__name__]
        assert len(enum_class) == len(descriptor.values) - 1, enum_class.__name__


def test_a_status_that_a_newer_coordinator_made_up_is_unknown():
    message = types_pb2.Session(session_id="a3f2e1d9")
    message.MergeFromString(b"\x20\x63")
    status = from_wire(records.Session, message).status
    assert status == "unknown"
    assert status is enums.SessionStatus("unknown")
    assert "unknown" not in list(enums.SessionStatus)


def test_unset_optional_fields_are_none_and_zero_is_not():
    summary = from_wire(records.TaskSummary, types_pb2.TaskSummary())
    assert (summary.exit_code, summary.wait, summary.outcome, summary.started_at) == (None, None, None, None)
    assert from_wire(records.TaskSummary, types_pb2.TaskSummary(exit_code=0)).exit_code == 0


def test_times_are_aware_and_in_utc():
    message = types_pb2.Session()
    message.created_at.FromDatetime(datetime(2026, 11, 23, 18, 59, 0, 250000))
    assert from_wire(records.Session, message).created_at == datetime(
        2026, 11, 23, 18, 59, 0, 250000, tzinfo=UTC
    )


@pytest.mark.parametrize("text", ["[1]", "{", "null", "3"])
def test_metadata_that_is_no_object_is_an_empty_one(text):
    assert from_wire(records.Worker, types_pb2.Worker(metadata_json=text)).metadata == {}


def test_big_integers_in_metadata_stay_exact():
    message = types_pb2.Worker(metadata_json='{"n": 9007199254740993}')
    assert from_wire(records.Worker, message).metadata == {"n": 9007199254740993}


@pytest.mark.parametrize(
    "spec",
    [
        TaskSpec(),
        TaskSpec(task_id="t", argv=("make", "-j2"), needs=("a", "b"), labels=("linux",), slots=2),
        TaskSpec(shell_line="echo $X", env={"X": "1"}, passed_env={"Y": "2"}, worktree="/w", cwd="sub"),
        TaskSpec(handler="f", payload=Payload(b"\xff", "application/octet-stream"), metadata={"k": [1]}),
        TaskSpec(external=ExternalWork("pool", Payload(b"{}", "application/json"))),
        TaskSpec(external=ExternalWork()),
        TaskSpec(argv=("x",), timeout_s=1.5, grace_s=0.0, retries=3, backoff_s=0.25, backoff_max_s=60.0),
        TaskSpec(
            argv=("x",),
            files=(PathRequest("src/", "shared", "tree"), PathRequest("res:db", kind="resource")),
            priority=-5,
            worker_id="b2c4d5e6",
            audit="on",
            isolation="worktree",
            merge=True,
        ),
    ],
)
def test_a_task_spec_survives_the_way_there_and_back(spec):
    assert task_spec_from_wire(task_spec_to_wire(spec)) == spec


def test_a_grace_of_zero_differs_from_none():
    assert task_spec_to_wire(TaskSpec(grace_s=0.0)).HasField("grace_ms")
    assert not task_spec_to_wire(TaskSpec()).HasField("grace_ms")


def test_a_very_short_timeout_is_not_rounded_to_none():
    assert task_spec_to_wire(TaskSpec(timeout_s=0.0001)).timeout_ms == 1


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (TaskSpec(argv="make all"), "argv must be a list"),
        (TaskSpec(files="src/"), "files must be a list"),  # type: ignore[arg-type]
        (TaskSpec(needs="lint"), "needs must be a list"),
        (TaskSpec(audit="maybe"), "use one of auto, on, off"),
        (TaskSpec(files=(PathRequest("a", "excl"),)), "exclusive, shared"),
        (TaskSpec(argv=("x",), shell_line="y"), "more than one of"),
        (TaskSpec(metadata={"k": object()}), "metadata is not JSON"),
        (TaskSpec(argv=("x",), payload=Payload(b"1")), "a payload but no handler"),
    ],
)
def test_what_cannot_be_said_on_the_wire_is_refused_before_it_is_sent(spec, says):
    with pytest.raises(InvalidRequestError, match=says):
        task_spec_to_wire(spec)


def test_a_change_of_a_kind_that_is_not_known_here_is_passed_over():
    assert change_from_wire(event_service_pb2.Change()) is None
    change = event_service_pb2.Change(pool=types_pb2.Pool(wanted=3))
    assert change_from_wire(change) == records.Pool(wanted=3)


def test_progress_never_passes_a_hundred_percent():
    counts = records.TaskCounts(succeeded=3)
    session = records.Session("a", declared_tasks=2, counts=counts)
    assert (session.total_tasks, session.progress_percent) == (3, 100.0)
    reported = records.Session("a", declared_tasks=2, reported=records.ReportedProgress(completed=9))
    assert reported.progress_percent == 100.0
    assert records.Session("a").progress_percent == 0.0
    assert records.Session("a", status=records.SessionStatus.COMPLETED).progress_percent == 100.0


def test_records_compare_by_value_cannot_be_changed_and_show_their_fields():
    one = records.TaskRef("a3f2e1d9", "t", 1)
    assert one == records.TaskRef("a3f2e1d9", "t", 1)
    assert hash(one) == hash(records.TaskRef("a3f2e1d9", "t", 1))
    assert one != records.TaskRef("a3f2e1d9", "t", 2)
    assert one != ("a3f2e1d9", "t", 1)
    assert records.LockHolder() != records.TaskRef("", "")
    assert dataclasses.replace(one, attempt=2).attempt == 2
    assert repr(one) == "TaskRef(session_id='a3f2e1d9', task_id='t', attempt=1, attempt_id='', fence=0)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.attempt = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", ["timeout_s", "grace_s", "backoff_s", "backoff_max_s"])
@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan"), float("inf"), 10**12])
def test_what_is_no_time_is_refused(name: str, seconds: float) -> None:
    with pytest.raises(InvalidRequestError, match=r"^expected seconds from 0 to 315360000, found "):
        task_spec_to_wire(dataclasses.replace(TaskSpec(argv=["true"]), **{name: seconds}))  # type: ignore[arg-type]
