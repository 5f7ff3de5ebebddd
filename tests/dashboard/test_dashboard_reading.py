"""What of a change becomes a record: whole where it is shown, short where not."""

from __future__ import annotations

from typing import Any

import pytest

from buildrunner_parallel.convert import change_from_wire
from buildrunner_parallel.dashboard import reading
from buildrunner_parallel.records import TaskStatus
from buildrunner_parallel.v1 import event_service_pb2, types_pb2


def read_change(change) -> Any:
    return reading.read_change(change)


def wire(status: str, **changes) -> event_service_pb2.Change:
    number = types_pb2.TaskStatus.Value(f"TASK_STATUS_{status.upper()}")
    summary = types_pb2.TaskSummary(
        session_id="a3", task_id="t", status=number, title="make", attempt=2, revision=7, **changes
    )
    return event_service_pb2.Change(task=summary)


@pytest.mark.parametrize("status", ["running", "cancelling", "failed"])
def test_what_is_shown_is_whole(status):
    change = wire(status, worker_id="w", progress_message="half")
    assert read_change(change) == change_from_wire(change)


def test_so_is_a_task_that_waits_for_a_reason_of_its_own():
    change = wire("queued", wait=types_pb2.Wait(kind=types_pb2.WAIT_KIND_LOCKS, names=["x"]))
    read = read_change(change)
    assert read == change_from_wire(change) and read.wait.names == ("x",)


@pytest.mark.parametrize("status", [one.value for one in TaskStatus])
def test_of_every_other_its_place_state_and_revision_are_known(status):
    read = read_change(wire(status))
    assert (read.session_id, read.task_id, read.status, read.attempt, read.revision) == (
        "a3", "t", TaskStatus(status), 2, 7,
    )  # fmt: skip


def test_what_is_no_task_is_read_as_ever():
    change = event_service_pb2.Change(worker=types_pb2.Worker(worker_id="w"))
    assert read_change(change) == change_from_wire(change)
    assert read_change(event_service_pb2.Change()) is None


def test_a_state_that_is_not_known_yet_is_read_whole():
    change = event_service_pb2.Change(task=types_pb2.TaskSummary(task_id="t", status=99))  # type: ignore[arg-type]
    assert read_change(change).status == "unknown"
