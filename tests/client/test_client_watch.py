"""The feed resumes where it stopped; waiting is built on it. The coordinator is scripted."""

from __future__ import annotations

import threading
from typing import Any

import grpc
import pytest

from buildrunner_parallel import errors
from buildrunner_parallel.client import Client
from buildrunner_parallel.connection import Connection
from buildrunner_parallel.discovery import Target
from buildrunner_parallel.records import Pool, Session
from buildrunner_parallel.v1 import event_service_pb2 as wire
from buildrunner_parallel.v1 import session_service_pb2, task_service_pb2, types_pb2
from buildrunner_parallel.watch import Cursor, watch_request

DEADLINE_S = 10.0


def pool(wanted: int) -> wire.Change:
    return wire.Change(pool=types_pb2.Pool(wanted=wanted))


def session(status: Any, session_id: str = "a3f2e1d9") -> wire.Change:
    return wire.Change(session=types_pb2.Session(session_id=session_id, status=status))


def change(revision: int, *changes: wire.Change, **fields: Any) -> wire.WatchResponse:
    return wire.WatchResponse(revision=revision, changes=changes, store_id="store", **fields)


def snapshot(revision: int, *changes: wire.Change, reset: bool = True, **fields: Any):
    return change(revision, *changes, snapshot=True, reset=reset, **fields)


def then(*messages, end: object = None, hold: bool = False):
    """A Watch answer: these messages, then an abort with `end`, a held stream, or its plain end."""

    def stream(_request, context):
        yield from messages
        if isinstance(end, grpc.StatusCode):
            context.abort(end, "scripted")
        if end is not None:
            from grpc_status import rpc_status

            context.abort_with_status(rpc_status.to_status(end))
        if hold:
            gone = threading.Event()
            context.add_callback(gone.set)
            gone.wait(DEADLINE_S)

    return stream


def take(watcher, count: int) -> list:
    events = [watcher.poll(DEADLINE_S) for _ in range(count)]
    assert None not in events
    return events


def test_a_broken_feed_is_resumed_after_its_last_revision(client, coordinator):
    coordinator.on(
        "Watch",
        then(snapshot(7, pool(1)), change(8, pool(2)), end=grpc.StatusCode.UNAVAILABLE),
        then(change(9, pool(3)), hold=True),
    )
    with client.watch(kinds=["pool"]) as watcher:
        events = take(watcher, 5)
        assert watcher.poll(0.05) is None
    assert [event.connection for event in events] == ["ok", "ok", "lost", "back", "ok"]
    assert [event.revision for event in events] == [7, 8, 0, 0, 9]
    assert events[4].changes == (Pool(wanted=3),)
    first, second = coordinator.seen["Watch"]
    assert not first.HasField("since_revision")
    assert (second.since_revision, second.store_id) == (8, "store")
    assert list(second.kinds) == [wire.ENTITY_KIND_POOL]


def test_a_stream_that_merely_ends_is_a_loss_too(client, coordinator):
    coordinator.on("Watch", then(snapshot(3)), then(change(4), hold=True))
    with client.watch() as watcher:
        assert [event.connection for event in take(watcher, 4)] == ["ok", "lost", "back", "ok"]


def test_a_snapshot_that_broke_off_is_asked_for_anew():
    cursor = Cursor(watch_request(), since_revision=5, store_id="store")
    assert cursor.request().since_revision == 5
    assert not cursor.advance(snapshot(0, pool(1), compacted=True)).complete
    assert not cursor.request().HasField("since_revision")
    assert cursor.advance(snapshot(9, pool(2), reset=False)).complete
    assert cursor.request().since_revision == 9


def test_a_slow_watcher_goes_on_without_a_word(client, coordinator, refusal):
    slow = refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "WATCHER_TOO_SLOW")
    coordinator.on("Watch", then(snapshot(3), end=slow), then(change(4), hold=True))
    with client.watch() as watcher:
        assert [(event.revision, event.connection) for event in take(watcher, 2)] == [(3, "ok"), (4, "ok")]
    assert coordinator.seen["Watch"][1].since_revision == 3


def test_a_refusal_ends_the_feed_with_its_error(client, coordinator, refusal):
    coordinator.on("Watch", then(end=refusal(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND", "no session")))
    watcher = client.watch(session_ids=["ffff"])
    with pytest.raises(errors.NotFoundError, match="no session"):
        next(watcher)
    assert watcher.ended
    assert list(watcher) == []


def test_without_reconnect_the_feed_ends_with_the_stream(client, coordinator):
    coordinator.on("Watch", then(snapshot(3)))
    assert [event.revision for event in client.watch(reconnect=False)] == [3]
    assert len(coordinator.seen["Watch"]) == 1


def test_closing_a_watcher_ends_its_call_and_iteration(client, coordinator):
    coordinator.on("Watch", then(snapshot(3), hold=True))
    watcher = client.watch()
    assert next(watcher).revision == 3
    watcher.close()
    assert watcher.poll(DEADLINE_S) is None


def test_a_feed_survives_a_restart_of_the_coordinator(client, coordinator):
    coordinator.on("Watch", then(snapshot(3), hold=True), then(change(4), hold=True))
    with client.watch() as watcher:
        assert next(watcher).revision == 3
        coordinator.stop()
        assert next(watcher).connection == "lost"
        coordinator.start()
        assert [event.connection for event in take(watcher, 2)] == ["back", "ok"]


def test_a_stopped_coordinator_is_not_started_by_who_watches_it(coordinator, tmp_path):
    asked = []

    def relocate(_timeout_s, start):
        asked.append(start)
        raise errors.UnreachableError("none")

    connection = Connection(Target(coordinator.address), relocate=relocate, patience_s=0.3)
    coordinator.on("Watch", then(snapshot(3), change(4, closing=True)))
    with Client(connection) as client, client.watch() as watcher, pytest.raises(errors.UnreachableError):
        list(watcher)
    assert asked and not any(asked)


def test_whoever_asked_is_woken_by_each_event(client, coordinator):
    woken = threading.Semaphore(0)
    coordinator.on("Watch", then(snapshot(3), change(4), hold=True))
    with client.watch(on_event=woken.release):
        assert woken.acquire(timeout=DEADLINE_S) and woken.acquire(timeout=DEADLINE_S)


# ------------------------------------------------------------------- waiting

RUNNING, COMPLETED = types_pb2.SESSION_STATUS_RUNNING, types_pb2.SESSION_STATUS_COMPLETED


def got(status: Any) -> session_service_pb2.GetSessionResponse:
    return session_service_pb2.GetSessionResponse(session=session(status).session)


def test_waiting_for_a_session_makes_one_watch_call_and_tells_each_change(client, coordinator):
    coordinator.on("GetSession", got(RUNNING))
    coordinator.on(
        "Watch",
        then(change(4, session(RUNNING, "ffffffff")), change(5, session(COMPLETED)), hold=True),
    )
    told: list[Session] = []
    done = client.wait_session("last", timeout_s=DEADLINE_S, on_change=told.append)
    assert done.is_over
    assert [item.status for item in told] == ["running", "completed"]
    assert len(coordinator.seen["Watch"]) == 1
    assert list(coordinator.seen["Watch"][0].session_ids) == ["a3f2e1d9"]


def test_a_session_that_ended_before_the_watch_began_is_noticed(client, coordinator):
    coordinator.on("GetSession", got(RUNNING), got(COMPLETED))
    coordinator.on("Watch", then(snapshot(5), hold=True))
    assert client.wait_session("a3f2", timeout_s=DEADLINE_S).status == "completed"


def test_waiting_has_an_end_and_says_that_the_session_goes_on(client, coordinator):
    coordinator.on("GetSession", got(RUNNING))
    coordinator.on("Watch", then(snapshot(5, session(RUNNING)), hold=True))
    with pytest.raises(errors.DeadlineError, match="is not over yet") as caught:
        client.wait_session("a3f2", timeout_s=0.1)
    assert caught.value.exit_code == 124


def test_a_session_deleted_while_waited_for_is_not_found(client, coordinator):
    coordinator.on("GetSession", got(RUNNING))
    removed = wire.Change(removed=wire.Removed(kind=wire.ENTITY_KIND_SESSION, id="a3f2e1d9"))
    coordinator.on("Watch", then(change(5, removed), hold=True))
    with pytest.raises(errors.NotFoundError, match="deleted"):
        client.wait_session("a3f2", timeout_s=DEADLINE_S)


def task_answer(status: Any) -> task_service_pb2.GetTaskResponse:
    summary = types_pb2.TaskSummary(session_id="a3f2e1d9", task_id="t", status=status)
    return task_service_pb2.GetTaskResponse(task=types_pb2.Task(summary=summary))


def test_waiting_for_a_task_goes_on_through_a_loss(client, coordinator):
    running, done = types_pb2.TASK_STATUS_RUNNING, types_pb2.TASK_STATUS_SUCCEEDED
    coordinator.on("GetTask", task_answer(running), task_answer(running), task_answer(done))
    ended = wire.Change(task=types_pb2.TaskSummary(session_id="a3f2e1d9", task_id="t", status=done))
    coordinator.on(
        "Watch",
        then(snapshot(4), end=grpc.StatusCode.UNAVAILABLE),
        then(change(5, ended), hold=True),
    )
    assert client.wait_task("a3f2", "t", timeout_s=DEADLINE_S).summary.status == "succeeded"


def test_closing_the_client_ends_its_watchers(client, coordinator):
    coordinator.on("Watch", then(snapshot(3), hold=True))
    watcher = client.watch()
    assert next(watcher).revision == 3
    client.close()
    assert [event.connection for event in watcher] in ([], ["lost"])


def test_closing_a_watcher_wakes_who_waits_for_it(client, coordinator):
    coordinator.on("Watch", then(hold=True))
    watcher = client.watch()
    seen = []
    waiter = threading.Thread(target=lambda: seen.append(watcher.poll(None)))
    waiter.start()
    watcher.close()
    waiter.join(DEADLINE_S)
    assert seen == [None]
