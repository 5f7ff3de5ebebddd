"""The two clients are one: the same names, parameters and words; the same messages on the wire."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.message import Message

from buildrunner_parallel import aio_locks, aio_session, live_session, locks
from buildrunner_parallel.aio import AsyncClient
from buildrunner_parallel.aio_connection import AsyncConnection
from buildrunner_parallel.aio_watch import AsyncWatcher
from buildrunner_parallel.client import Client
from buildrunner_parallel.discovery import Target
from buildrunner_parallel.futures import AsyncTaskFuture, TaskFuture
from buildrunner_parallel.records import Grant, Session
from buildrunner_parallel.specs import FailurePolicy, TaskSpec
from buildrunner_parallel.v1 import (
    coordinator_service_pb2,
    event_service_pb2,
    lock_service_pb2,
    log_service_pb2,
    session_service_pb2,
    task_service_pb2,
    types_pb2,
    worker_service_pb2,
)
from buildrunner_parallel.watch import Watcher

TWINS = [
    (Client, AsyncClient),
    (live_session.LiveSession, aio_session.AsyncLiveSession),
    (Watcher, AsyncWatcher),
]
# Of tasks, with what a future of the standard library has besides.
FUTURES = (TaskFuture, AsyncTaskFuture)


def public(kind: type) -> dict[str, Any]:
    return {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    found = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default) for one in found]


@pytest.mark.parametrize(("blocking", "awaiting"), TWINS)
def test_both_have_the_same_names(blocking, awaiting):
    assert set(public(blocking)) == set(public(awaiting))


@pytest.mark.parametrize(("blocking", "awaiting"), TWINS)
def test_both_take_the_same_parameters(blocking, awaiting):
    compared = 0
    for name, function in public(blocking).items():
        if callable(function):
            assert parameters(function) == parameters(public(awaiting)[name]), name
            compared += 1
        else:
            assert isinstance(public(awaiting)[name], property), name
    assert compared >= 2


def test_what_blocks_hold_is_asked_in_the_same_words():
    names = set(public(locks.LiveGrant))
    assert names == set(public(aio_locks.AsyncLiveGrant)) >= {"held", "lost", "check", "fence", "record"}


def test_a_future_for_asyncio_has_what_matters_of_one_for_threads():
    for name in ("outcome", "result", "cancel", "done"):
        assert parameters(getattr(FUTURES[0], name)) == parameters(getattr(FUTURES[1], name)), name


def test_what_streams_is_asynchronously_iterable_and_all_other_calls_are_coroutines():
    streams = {"iter_tasks", "iter_attempts", "iter_history"}
    plain = {"watch", "read_output", "session", "connect", "lock"}
    for name, function in public(AsyncClient).items():
        if name in streams:
            assert inspect.isasyncgenfunction(function), name
        elif callable(function) and name not in plain:
            assert inspect.iscoroutinefunction(function), name


def test_help_tells_what_a_call_returns_and_not_how_it_is_defined():
    told = {name: inspect.signature(function).return_annotation for name, function in calls().items()}
    assert told["pause_session"] == "Session"
    assert told["list_workers"] == "list[Worker]"
    assert told["submit_plan"] == "tuple[Session, int]"
    assert not [name for name, text in told.items() if text.startswith(("Call[", "Steps[", "Pages["))]
    assert all(function.__doc__ for function in calls().values())


def calls() -> dict[str, Any]:
    return {name: function for name, function in public(Client).items() if hasattr(function, "__wrapped__")}


# ------------------------------------------------------------------------ on the wire

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
TASKS = [TaskSpec(task_id="a", argv=["make", "all"], retries=2), TaskSpec(task_id="b", handler="resize")]

CALLS: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = [
    ("info", "GetInfo", (), {}),
    ("summary", "GetSummary", (), {}),
    ("shutdown", "Shutdown", (), {"drain": True, "drain_timeout_s": 2.5}),
    ("create_session", "CreateSession", ("x",), {"max_parallel": 3, "metadata": {"k": 1}}),
    ("get_session", "GetSession", ("a3f2",), {}),
    ("list_sessions", "ListSessions", (), {"statuses": ["running"], "limit": 7}),
    ("count_sessions", "ListSessions", (), {}),
    ("start_session", "StartSession", ("a3f2",), {"wanted_workers": 0}),
    ("pause_session", "PauseSession", ("a3f2",), {"now": True}),
    ("resume_session", "ResumeSession", ("a3f2",), {"worker_id": "ffff"}),
    ("cancel_session", "CancelSession", ("a3f2",), {"reason": "enough"}),
    ("close_session", "CloseSession", ("a3f2",), {}),
    ("complete_session", "CompleteSession", ("a3f2",), {}),
    ("fail_session", "FailSession", ("a3f2",), {"reason": "no"}),
    ("update_session", "UpdateSession", ("a3f2",), {"on_failure": FailurePolicy("stop-now", 2)}),
    ("update_progress", "UpdateProgress", ("a3f2", 5, 1, 2), {}),
    ("mark_files_modified", "MarkFilesModified", ("a3f2", ["x.py"]), {}),
    ("delete_sessions", "DeleteSessions", (), {"older_than_s": 60, "dry_run": True}),
    ("submit_tasks", "SubmitTasks", ("a3f2", TASKS), {"seal": True}),
    ("submit_plan", "SubmitPlan", (TASKS,), {"create": {"name": "plan"}}),
    ("preview_plan", "PreviewPlan", (TASKS,), {"session_id": "a3f2"}),
    ("get_task", "GetTask", ("a3f2", "a"), {}),
    ("get_patch", "GetPatch", ("a3f2", "a"), {"attempt": 2}),
    ("list_tasks", "ListTasks", ("a3f2",), {"statuses": ["failed"]}),
    ("iter_tasks", "ListTasks", ("a3f2",), {"limit": 3}),
    ("iter_attempts", "ListAttempts", ("a3f2",), {"task_ids": ["a"], "since_revision": 4}),
    ("cancel_task", "CancelTask", ("a3f2", "a"), {"reason": "late"}),
    ("retry_tasks", "RetryTasks", ("a3f2", ["a"]), {}),
    ("explain_tasks", "ExplainTasks", ("a3f2",), {"limit": 1}),
    ("acquire_locks", "AcquireLocks", ("a3f2", ["src/a.py", "lib/"]), {"mode": "shared", "wait": "3s"}),
    ("release_locks", "ReleaseLocks", ("a3f2", ["src/a.py"]), {"grant_id": "ab12", "fence": 7}),
    ("renew_lease", "RenewLease", (Grant("ab12", 7),), {}),
    ("list_locks", "ListLocks", ("src",), {"session": "a3f2"}),
    ("force_release", "ForceRelease", ("ab12-0", "its owner left"), {}),
    ("preview_locks", "PreviewLocks", (["src/*.py"],), {"session": "a3f2"}),
    ("lock_statistics", "GetLockStatistics", (), {"since": "1h", "limit": 3}),
    ("list_workers", "ListWorkers", (), {"statuses": ["idle"]}),
    ("get_worker", "GetWorker", ("ffff",), {}),
    ("drain_worker", "DrainWorker", ("ffff",), {"reason": "old"}),
    ("set_pool", "SetPool", (3,), {"slots": 2, "labels": ["gpu"], "handler_modules": ["m"]}),
    ("list_pools", "ListPools", (), {}),
    ("report_worker_death", "ReportWorkerDeath", ("ffff",), {"host": "h", "pid": 7, "processes_gone": True}),
    ("import_sessions", "ImportSessions", ([Session("a3f2e1d9", "old", metadata={"k": 1})],), {}),
    ("register_external_worker", "Register", ("pool",), {"metadata": {"k": 1}, "lease_s": 30}),
    ("heartbeat_worker", "Heartbeat", ("ffff",), {}),
    ("report_attempt", "ReportTasks", ("ffff", "ab12", 7), {"succeeded": False, "error": "no"}),
    ("unregister_worker", "Unregister", ("ffff",), {"reason": "done"}),
    ("update_worker", "UpdateWorker", ("ffff",), {"status": "busy", "lease_s": 2, "last_heartbeat_at": NOON}),
    ("list_pool_tasks", "ListTasks", ("pool",), {"statuses": ["queued"], "limit": 2}),
    ("count_pool_tasks", "ListTasks", ("pool",), {"statuses": ["queued"]}),
    ("submit_task", "SubmitTasks", ("a3f2", TASKS[0]), {}),
    ("iter_history", "ListHistory", ("a3f2", "a"), {"limit": 5}),
    ("read_output", "ReadOutput", ("a3f2", "a"), {"channel": "stderr", "offset": 9, "attempt": 2}),
]
MODULES = (
    coordinator_service_pb2,
    event_service_pb2,
    lock_service_pb2,
    log_service_pb2,
    session_service_pb2,
    task_service_pb2,
    worker_service_pb2,
)


def empty_answer(method: str) -> Any:
    (answer,) = [
        getattr(module, f"{method}Response") for module in MODULES if hasattr(module, f"{method}Response")
    ]
    if method == "ReportTasks":
        stale = worker_service_pb2.Acknowledgement(disposition=worker_service_pb2.DISPOSITION_STALE)
        return answer(acknowledgements=[stale])
    if method == "SubmitTasks":
        return answer(tasks=[types_pb2.TaskSummary(task_id="a")])
    return (lambda _request, _context: iter([answer()])) if method == "ReadOutput" else answer()


def without_ids(request: Any) -> list[Message]:
    """The messages of a request, with what is made anew for each call left out."""
    messages = [type(one).FromString(one.SerializeToString()) for one in _as_list(request)]
    for message in messages:
        for part in (message, getattr(message, "header", None)):
            if part is not None and "request_id" in part.DESCRIPTOR.fields_by_name:
                part.request_id = ""
        if "header" in message.DESCRIPTOR.fields_by_name and message.header.HasField("create"):
            message.header.create.request_id = ""
    return messages


def _as_list(request: Any) -> list[Any]:
    return request if isinstance(request, list) else [request]


@pytest.mark.parametrize(("name", "method", "arguments", "options"), CALLS, ids=[call[0] for call in CALLS])
async def test_both_send_the_same_and_read_the_same(client, coordinator, name, method, arguments, options):
    coordinator.on(method, empty_answer(method))
    answer = getattr(client, name)(*arguments, **options)
    blocking = list(answer) if name.startswith(("iter_", "read_")) else answer
    connection = AsyncConnection(Target(coordinator.address, "secret"), call_timeout_s=10.0)
    async with AsyncClient(connection) as twin:
        coming = getattr(twin, name)(*arguments, **options)
        awaited = [one async for one in coming] if hasattr(coming, "__aiter__") else await coming
    first, second = coordinator.seen[method]
    assert without_ids(first) == without_ids(second)
    assert blocking == awaited
    assert coordinator.metadata[method][1]["authorization"] == "Bearer secret"


def test_no_call_is_left_out_of_the_comparison():
    named = {name for name, *_ in CALLS}
    own = {"backup", "close", "connect", "lock", "session", "wait_session", "wait_task", "watch"}
    functions = {name for name, value in public(Client).items() if callable(value)}
    assert functions == named | own
