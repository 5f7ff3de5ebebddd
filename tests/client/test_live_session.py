"""A session as a block: what goes in, what comes out, how it ends. The coordinator is made of lists."""

from __future__ import annotations

import concurrent.futures
import gc
import itertools
import json
import sys
import threading
from pathlib import Path

import grpc
import pytest

from buildrunner_parallel import TaskFailedError, TaskSpec, errors
from buildrunner_parallel.v1 import event_service_pb2 as events
from buildrunner_parallel.v1 import types_pb2
from tests.client.instant import CANCELLED, FAILED, SESSION_ID, SUCCEEDED, Gone, Instant

DEADLINE_S = 20.0


def held(_spec):
    """A task that goes on until it is told to end."""


def odd_ones_fail(spec):
    number = int(spec.command.argv[-1])
    return (FAILED, b"") if number % 2 else (SUCCEEDED, b"")


@pytest.fixture
def instant():
    return Instant()


@pytest.fixture
def session(instant):
    with instant.client().session("work", workers=2) as made:
        yield made


def test_a_block_creates_starts_seals_and_waits(instant):
    with instant.client().session("work", workers=2, slots=3, handlers=["shop"]) as session:
        assert session.session_id == SESSION_ID
        assert session.record.status == "running"
        session.submit(["true"])
    assert session.record.status == "completed"
    assert instant.calls[:3] == ["CreateSession", "StartSession", "SetPool"]
    assert "CloseSession" in instant.calls
    (pool,) = (request.pool for request in instant.requests["SetPool"])
    assert (pool.session_id, pool.wanted, pool.slots) == (SESSION_ID, 2, 3)
    assert list(pool.handler_modules) == ["shop"]


def test_without_workers_of_its_own_no_pool_is_asked_for(instant):
    with instant.client().session("work", workers=0):
        pass
    assert "SetPool" not in instant.calls


def test_a_future_gives_the_result_of_its_task(session):
    future = session.submit(handler="resize", payload={"width": 7})
    result = future.result(DEADLINE_S)
    assert (result.ok, result.value, result.task_id) == (True, {"width": 7}, future.task_id)
    assert future.exception() is None and future.outcome() is result


def test_a_failed_task_raises_where_its_result_is_asked_for_and_nowhere_else(instant):
    instant.end = odd_ones_fail
    with instant.client().session("work", workers=1) as session:
        good, bad = session.submit(["exit", "0"]), session.submit(["exit", "1"])
        assert good.result(DEADLINE_S).ok
        with pytest.raises(TaskFailedError, match="failed") as caught:
            bad.result(DEADLINE_S)
        assert caught.value.exit_code == 6 and caught.value.reason == "TASK_FAILED"
        assert caught.value.result is bad.outcome(DEADLINE_S)
    assert session.record.status == "completed"


def test_waiting_for_a_future_has_an_end(instant):
    instant.end = held
    with instant.client().session("work", workers=1) as session:
        future = session.submit(["sleep", "9"])
        with pytest.raises(TimeoutError):
            future.result(0.05)
        with pytest.raises(errors.DeadlineError, match="go on"):
            session.wait(timeout_s=0.05)
        with pytest.raises(TimeoutError):
            next(session.as_completed(timeout_s=0.05))
        instant.finish(future.task_id)
        session.wait(timeout_s=DEADLINE_S)
        assert future.done()


def test_futures_are_those_of_the_standard_library(session):
    futures = [session.submit(["true"]) for _ in range(3)]
    done, pending = concurrent.futures.wait(futures, timeout=DEADLINE_S)
    assert len(done) == 3 and not pending
    told = threading.Event()
    futures[0].add_done_callback(lambda _future: told.set())
    assert told.wait(DEADLINE_S)


def test_cancelling_a_future_has_its_task_stopped(instant):
    instant.end = held
    with instant.client().session("work", workers=1) as session:
        future = session.submit(["sleep", "9"])
        assert future.cancel()
        with pytest.raises(TaskFailedError, match="was cancelled"):
            future.result(DEADLINE_S)
        assert not future.cancel()


def test_as_completed_yields_every_result_once_as_they_come(instant):
    instant.end = held
    with instant.client().session("work", workers=1) as session:
        first, second = session.submit(["a"]), session.submit(["b"])
        done = session.as_completed(timeout_s=DEADLINE_S)
        instant.finish(second.task_id)
        assert next(done).task_id == second.task_id
        third = session.submit(["c"])
        instant.finish(third.task_id, FAILED)
        instant.finish(first.task_id)
        assert {(one.task_id, one.ok) for one in done} == {(third.task_id, False), (first.task_id, True)}
        assert list(session.as_completed()) == []


def test_many_tasks_are_submitted_in_few_requests_without_summaries(instant, session):
    futures = session.submit_many(TaskSpec(argv=["true"]) for _ in range(2500))
    assert len({future.task_id for future in futures}) == 2500
    assert [len(request.tasks) for request in instant.requests["SubmitTasks"]] == [1000, 1000, 500]
    assert all(request.omit_tasks for request in instant.requests["SubmitTasks"])
    assert len(list(session.as_completed(timeout_s=DEADLINE_S))) == 2500


def test_a_refused_task_is_not_waited_for(instant, session):
    instant.refuse["SubmitTasks"] = [Gone(grpc.StatusCode.INVALID_ARGUMENT)]
    with pytest.raises(errors.InvalidRequestError):
        session.submit(["true"])
    assert list(session.as_completed()) == []
    session.wait(timeout_s=DEADLINE_S)


def test_options_are_fields_of_the_task(instant, session):
    session.submit(["make", Path("all")], retries=2, task_id="mine", files=["out/"], env={"A": "1"})
    session.submit(TaskSpec(argv=["make"], retries=1), priority=5)
    first, second = (request.tasks[0] for request in instant.requests["SubmitTasks"])
    assert (first.task_id, list(first.command.argv), first.retry.max_retries) == ("mine", ["make", "all"], 2)
    assert (second.retry.max_retries, second.priority) == (1, 5)


@pytest.mark.parametrize("work", ["make all", b"make"])
def test_a_lone_string_is_refused_before_it_is_sent(session, instant, work):
    with pytest.raises(errors.InvalidRequestError, match="no list of words"):
        session.submit(work)
    assert "SubmitTasks" not in instant.calls


# ------------------------------------------------------------------------------- map


def test_map_gives_results_in_the_order_of_the_items(instant):
    instant.end = held
    with instant.client().session("work", workers=1) as session:
        results = session.map(["gzip", "{}.txt"], "abc", window=12)
        threading.Timer(0.05, lambda: [instant.finish(name) for name in reversed(list(instant.live))]).start()
        assert [(one.item, one.ok) for one in results] == [("a", True), ("b", True), ("c", True)]
    argv = [list(task.command.argv) for request in instant.requests["SubmitTasks"] for task in request.tasks]
    assert argv == [["gzip", "a.txt"], ["gzip", "b.txt"], ["gzip", "c.txt"]]


def test_map_can_give_results_as_tasks_end(instant):
    instant.end = lambda spec: None if spec.command.argv[1] == "0" else (SUCCEEDED, b"")
    with instant.client().session("work", workers=1) as session:
        results = session.map(["gzip", "{}"], range(20), in_order=False)
        first = [next(results).item for _ in range(19)]
        assert sorted(first) == list(range(1, 20))
        instant.finish(*instant.live)
        assert [one.item for one in results] == [0]


def test_map_of_a_handler_sends_each_item_as_payload(session):
    items = [{"n": 1}, [2], 3]
    assert [one.value for one in session.map("resize", items)] == items


def test_map_takes_a_function_that_makes_tasks(session, instant):
    made = session.map(lambda item: TaskSpec(task_id=f"t{item}", argv=["x"]), range(3), retries=4)
    assert [one.task_id for one in made] == ["t0", "t1", "t2"]
    assert instant.requests["SubmitTasks"][0].tasks[0].retry.max_retries == 4


def test_the_first_failure_of_a_map_raises_and_cancels_what_is_under_way(instant):
    instant.end = lambda spec: (FAILED, b"") if spec.command.argv[1] == "2" else None
    with instant.client().session("work", workers=1) as session:
        results = session.map(["exit", "{}"], itertools.count(), window=8, in_order=False)
        with pytest.raises(TaskFailedError) as caught:
            list(results)
        assert caught.value.result.item == 2
        session.wait(timeout_s=DEADLINE_S)
    assert not instant.live
    assert {one.status for one in instant.over.values()} == {FAILED, CANCELLED}


def test_without_check_failures_are_results_like_others(instant):
    instant.end = odd_ones_fail
    with instant.client().session("work", workers=1) as session:
        results = list(session.map(["exit", "{}"], range(6), check=False))
    assert [(one.item, one.ok) for one in results] == [(n, n % 2 == 0) for n in range(6)]


def test_who_stops_early_has_the_rest_cancelled(instant):
    instant.end = lambda spec: None if int(spec.command.argv[1]) > 3 else (SUCCEEDED, b"")
    with instant.client().session("work", workers=1) as session:
        results = session.map(["exit", "{}"], range(100), window=10)
        assert next(results).item == 0
        results.close()
        session.wait(timeout_s=DEADLINE_S)
    assert instant.submitted <= 20


def test_an_error_of_the_items_reaches_who_maps(session):
    def broken():
        yield 1
        raise RuntimeError("no more paper")

    with pytest.raises(RuntimeError, match="no more paper"):
        list(session.map(["echo", "{}"], broken()))


@pytest.mark.parametrize("template", ["gzip {}", "", ["gzip", "-9"]])
def test_a_template_without_a_place_for_the_item_is_refused_at_once(session, template):
    with pytest.raises(errors.InvalidRequestError):
        session.map(template, ["a"])


def test_a_map_never_has_more_under_way_than_its_window(instant):
    ended: list[str] = []

    def some_end(spec):
        ended.append(spec.task_id)
        return SUCCEEDED, b""

    instant.end = some_end
    taken = 0
    with instant.client().session("work", workers=1) as session:
        for _ in session.map(["x", "{}"], range(3000), window=100):
            assert instant.submitted - taken <= 100
            taken += 1
    assert taken == 3000
    sizes = [len(request.tasks) for request in instant.requests["SubmitTasks"]]
    assert sizes[0] == 1 and max(sizes) <= 25


def test_a_map_over_many_items_keeps_none_of_them(instant):
    instant.remember = False
    instant.end = lambda _spec: (SUCCEEDED, b"[1,2,3]")
    count, early = 40_000, 6_000
    with instant.client().session("work", workers=1) as session:
        results = session.map("resize", ({"number": number} for number in range(count)), in_order=False)
        consume(results, early)
        first = kept_blocks()
        consume(results, count - early - 1)
        last = kept_blocks()
        assert next(results).ok
    assert instant.submitted == count
    # A window's worth may be under way at either moment, and the stand-in keeps the last attempts.
    assert last - first < 60_000, (first, last)


def consume(results, count: int) -> None:
    assert sum(1 for _ in itertools.islice(results, count)) == count


def kept_blocks() -> int:
    """Blocks of memory in use. Asking for the objects themselves disturbs the threads that make tuples."""
    gc.collect()
    return sys.getallocatedblocks()


# ------------------------------------------------------------------------ ends and breaks


def test_a_session_whose_workers_are_refused_is_not_left_running(instant):
    instant.refuse["SetPool"] = [Gone(grpc.StatusCode.UNIMPLEMENTED)]
    session = instant.client().session("work", workers=2)
    with pytest.raises(errors.UnsupportedError):
        session.__enter__()
    assert instant.calls[-1] == "CancelSession"


def test_an_exception_cancels_the_session_and_is_kept_as_the_reason(instant):
    instant.end = held
    with pytest.raises(ValueError, match="out of paper"), instant.client().session("w", workers=1) as session:
        future = session.submit(["sleep", "9"])
        raise ValueError("out of paper")
    assert session.record.status == "cancelled"
    assert "ValueError: out of paper" in instant.requests["CancelSession"][0].reason
    assert future.outcome(DEADLINE_S).status == "cancelled"


def test_a_session_that_cannot_be_cancelled_does_not_hide_the_exception(instant):
    instant.refuse["CancelSession"] = [Gone(grpc.StatusCode.PERMISSION_DENIED)]
    with pytest.raises(ValueError) as caught, instant.client().session("w", workers=1):
        raise ValueError("the real one")
    assert "could not be cancelled" in caught.value.__notes__[0]


def test_a_block_in_a_session_that_is_there_leaves_it_open(instant):
    client = instant.client()
    client.create_session("there")
    with client.session(session_id=SESSION_ID) as session:
        assert session.submit(["true"]).result(DEADLINE_S).ok
    assert "CloseSession" not in instant.calls and "SetPool" not in instant.calls
    assert instant.calls.count("CreateSession") == 1
    assert session.record.status == "running"


def test_an_exception_there_cancels_only_what_the_block_submitted(instant):
    instant.end = held
    client = instant.client()
    client.submit_tasks(SESSION_ID, [TaskSpec(task_id="another's", argv=["x"])])
    with pytest.raises(KeyError), client.session(session_id=SESSION_ID) as session:
        session.submit(["true"], task_id="mine")
        raise KeyError
    assert list(instant.live) == ["another's"]
    assert "CancelSession" not in instant.calls


@pytest.mark.parametrize("arguments", [{}, {"name": "x", "session_id": SESSION_ID}])
def test_a_block_needs_a_name_or_an_id(instant, arguments):
    with pytest.raises(errors.InvalidRequestError, match="one of the two"):
        instant.client().session(**arguments)


def test_settings_of_new_sessions_are_refused_for_one_that_is_there(instant):
    with pytest.raises(errors.InvalidRequestError, match="for new sessions"):
        instant.client().session(session_id=SESSION_ID, max_parallel=3)


@pytest.mark.parametrize("count", [3, 300])
def test_what_ended_while_the_feed_was_broken_is_found_out(instant, count):
    instant.end = held
    with instant.client().session("work", workers=1) as session:
        futures = session.submit_many([TaskSpec(argv=["x"]) for _ in range(count)])
        told, instant.tell = instant.tell, lambda *_changes: None
        for future in futures[1:]:
            instant.finish(future.task_id, result=b"5")
        instant.tell = told
        instant.break_feeds()
        assert [future.result(DEADLINE_S).value for future in futures[1:]] == [5] * (count - 1)
        assert not futures[0].done()
        instant.finish(futures[0].task_id)
        assert futures[0].result(DEADLINE_S).ok


def test_a_closed_client_fails_whoever_waits(instant):
    instant.end = held
    client = instant.client()
    with pytest.raises(errors.UnreachableError, match="closed"), client.session("work", workers=1) as session:
        future = session.submit(["sleep", "9"])
        client.close()
        instant.break_feeds()
        with pytest.raises(errors.UnreachableError, match="closed"):
            future.result(DEADLINE_S)
        session.wait()


def test_a_session_that_is_deleted_fails_whoever_waits(instant):
    instant.end = held
    client = instant.client()
    with pytest.raises(errors.NotFoundError, match="deleted"), client.session("work", workers=1) as session:
        future = session.submit(["sleep", "9"])
        instant.tell(events.Change(removed=events.Removed(kind=events.ENTITY_KIND_SESSION, id=SESSION_ID)))
        with pytest.raises(errors.NotFoundError):
            future.result(DEADLINE_S)
        list(session.as_completed())


def test_a_skipped_task_has_no_attempt_and_says_why(instant):
    instant.end = held
    with instant.client().session("work", workers=1) as session:
        future = session.submit(["x"])
        summary = events.Change()
        summary.task.session_id, summary.task.task_id = SESSION_ID, future.task_id
        summary.task.status, summary.task.reason = types_pb2.TASK_STATUS_SKIPPED, "NEED_FAILED"
        del instant.live[future.task_id]
        instant.tell(summary)
        result = future.outcome(DEADLINE_S)
    assert (result.status, result.error, result.attempt) == ("skipped", "NEED_FAILED", None)
    with pytest.raises(TaskFailedError, match="was skipped: NEED_FAILED"):
        result.check()


def test_results_keep_their_json(session):
    text = json.dumps({"umlaut": "ü", "n": [1, None]})
    assert session.submit(handler="h", payload=json.loads(text)).result(DEADLINE_S).value == json.loads(text)
