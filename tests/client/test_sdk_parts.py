"""The pure parts below sessions and plans: windows, templates, results, streams that can be repeated."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildrunner_parallel import TaskSpec, errors
from buildrunner_parallel.calls import Call, Pages
from buildrunner_parallel.item_source import ItemSource
from buildrunner_parallel.map_window import MapWindow
from buildrunner_parallel.plan_stream import PlanStream
from buildrunner_parallel.records import Attempt, Payload, TaskStatus
from buildrunner_parallel.task_results import TaskResult
from buildrunner_parallel.task_templates import task_maker, task_of, to_payload
from buildrunner_parallel.v1 import task_service_pb2 as wire
from buildrunner_parallel.v1 import types_pb2


def result(task_id: str = "t", status: TaskStatus = TaskStatus.SUCCEEDED, **fields) -> TaskResult:
    return TaskResult(task_id, status, **fields)


# ---------------------------------------------------------------------------- windows


def test_an_ordered_window_holds_back_what_comes_early():
    window = MapWindow(10, 5, in_order=True)
    places = [window.admit() for _ in range(3)]
    window.put(places[2], result("c"))
    assert window.take() is None and not window.is_ready
    window.put(places[0], result("a"))
    window.put(places[1], result("b"))
    taken = [window.take() for _ in range(4)]
    assert [one.task_id for one in taken if one is not None] == ["a", "b", "c"]
    assert window.under_way == 0


def test_a_window_takes_nothing_in_until_a_batch_has_room():
    window = MapWindow(8, 100, in_order=False)
    for _ in range(7):
        window.admit()
    assert window.next_batch == 0
    window.put(0, result())
    assert window.next_batch == 0
    window.take()
    assert window.next_batch == 1


def test_batches_grow_while_the_source_is_quick_and_begin_again_when_it_is_slow():
    import time

    window = MapWindow(1000, 64, in_order=False)
    sizes = []
    for _ in range(9):
        sizes.append(window.next_batch)
        window.adapt(time.monotonic(), window.next_batch)
    assert sizes == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    window.adapt(time.monotonic() - 1, 64)
    assert window.next_batch == 1


def test_a_window_is_over_when_its_source_is_and_all_is_given_out():
    window = MapWindow(1, 1, in_order=True)
    window.admit()
    window.exhausted = True
    assert not window.is_over and window.next_batch == 0
    window.put(0, result())
    assert not window.is_over
    window.take()
    assert window.is_over


@pytest.mark.parametrize(("window", "batch_size"), [(0, 1), (1, 0), (-5, 1)])
def test_a_window_without_room_is_refused(window, batch_size):
    with pytest.raises(errors.InvalidRequestError):
        MapWindow(window, batch_size, in_order=True)


# --------------------------------------------------------------------------- templates


def test_words_are_filled_in_wherever_the_place_is():
    make = task_maker(["cp", "{}", Path("out/{}.bak")], {"retries": 1})
    assert make(Path("a b")) == TaskSpec(argv=("cp", "a b", "out/a b.bak"), retries=1)
    assert make("{}").argv == ("cp", "{}", "out/{}.bak")


def test_a_handler_gets_the_item_as_its_payload():
    make = task_maker("resize", {"priority": 3})
    assert make(b"\x00") == TaskSpec(
        handler="resize", payload=Payload(b"\x00", "application/octet-stream"), priority=3
    )


@pytest.mark.parametrize(
    ("value", "payload"),
    [
        (None, None),
        (b"x", Payload(b"x", "application/octet-stream")),
        (memoryview(b"x"), Payload(b"x", "application/octet-stream")),
        ("ü", Payload("ü".encode(), "text/plain; charset=utf-8")),
        ({"a": [1]}, Payload(b'{"a": [1]}', "application/json")),
        (7, Payload(b"7", "application/json")),
        (Payload(b"x", "image/png"), Payload(b"x", "image/png")),
    ],
)
def test_payloads_are_what_they_look_like(value, payload):
    assert to_payload(value) == payload


def test_what_is_no_json_is_refused_in_words():
    with pytest.raises(errors.InvalidRequestError, match="not JSON"):
        to_payload({1, 2})


def test_a_task_is_made_of_options_alone_or_of_a_spec_and_changes():
    assert task_of(None, {"shell_line": "make all"}) == TaskSpec(shell_line="make all")
    assert task_of(TaskSpec(argv=["a"], retries=1), {"retries": 2}) == TaskSpec(argv=["a"], retries=2)


# ----------------------------------------------------------------------------- results


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (None, None),
        (Payload(b'{"a": 1}', "application/json"), {"a": 1}),
        (Payload(b"[1]", "application/vnd.x+json; v=1"), [1]),
        (Payload("ü".encode(), "text/plain; charset=utf-8"), "ü"),
        (Payload(b"\xff", "application/octet-stream"), b"\xff"),
        (Payload(b"\xff", ""), b"\xff"),
    ],
)
def test_a_value_is_decoded_by_its_content_type(payload, value):
    assert result(attempt=Attempt("f1", result=payload)).value == value


def test_a_failure_says_what_happened_and_where_to_look():
    failed = result("unit", TaskStatus.FAILED, session_id="a3f2", error="exit code 1", attempt=Attempt("f1"))
    with pytest.raises(errors.TaskFailedError) as caught:
        failed.check()
    assert str(caught.value) == ("task unit failed: exit code 1; `br parallel logs a3f2 unit` has its output")


def test_a_failure_can_be_sent_to_another_process():
    failed = result("unit", TaskStatus.FAILED)
    error = errors.TaskFailedError("no", result=failed)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.result, copy.reason) == ("no", failed, "TASK_FAILED")


# ------------------------------------------------------------------------- plan streams


def messages(count: int, size_bytes: int) -> Iterator[wire.SubmitPlanRequest]:
    for number in range(count):
        spec = types_pb2.TaskSpec(task_id=str(number), metadata_json="x" * size_bytes)
        yield wire.SubmitPlanRequest(tasks=[spec])


@pytest.mark.parametrize("limit_bytes", [0, 2500, 1 << 20])
def test_a_plan_can_be_read_again_from_memory_and_disk(limit_bytes):
    with PlanStream(wire.SubmitPlanRequest, limit_bytes) as stream:
        for message in messages(10, 1000):
            stream.append(message)
        assert len(stream) == 10
        half = [next(one) for one in [iter(stream)] for _ in range(5)]
        assert list(stream) == list(stream) == list(messages(10, 1000))
        assert half == list(messages(10, 1000))[:5]


def test_who_still_reads_a_plan_that_is_over_reads_no_more():
    with PlanStream(wire.SubmitPlanRequest, 0) as stream:
        for message in messages(3, 10):
            stream.append(message)
        reader = iter(stream)
        next(reader)
    assert list(reader) == []


# ----------------------------------------------------------------------- tasks and pages


def test_a_generator_of_tasks_is_read_a_request_at_a_time(client, coordinator):
    read: list[int] = []
    most_ahead = 0

    def accept(request, _context):
        nonlocal most_ahead
        most_ahead = max(most_ahead, len(read) - sum(sent))
        sent.append(len(request.tasks))
        assert request.omit_tasks
        return wire.SubmitTasksResponse()

    def tasks():
        for number in range(5000):
            read.append(number)
            yield TaskSpec(task_id=str(number), argv=("true",))

    sent: list[int] = []
    coordinator.on("SubmitTasks", accept)
    assert client.submit_tasks("a3f2", tasks(), omit_tasks=True) == []
    assert sum(sent) == 5000
    assert most_ahead <= 1001


def test_pages_that_are_asked_for_nothing_make_no_call():
    def fetch(_size: int, _token: str) -> Call[tuple[list[int], str]]:
        raise AssertionError("nothing was asked for")

    with pytest.raises(StopIteration) as stop:
        next(iter(Pages(fetch, 0)))
    assert stop.value.value == []


# -------------------------------------------------------------------------------- items


async def test_items_of_both_kinds_are_read_in_batches_to_their_end():
    async def slow():
        for number in range(5):
            yield number

    for items in (range(5), slow()):
        source = ItemSource(items)
        async with source:
            assert await source.read(3) == [0, 1, 2]
            assert not source.ended
            assert await source.read(3) == [3, 4]
            assert source.ended


async def test_a_late_item_does_not_hold_up_those_before_it_and_is_not_lost():
    import asyncio

    more: asyncio.Queue[int] = asyncio.Queue()

    async def slow():
        while True:
            yield await more.get()

    async with ItemSource(slow()) as source:
        more.put_nowait(1)
        assert await source.read(10) == [1]
        more.put_nowait(2)
        assert await source.read(1) == [2]
