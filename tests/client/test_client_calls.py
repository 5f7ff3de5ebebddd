"""What goes over the wire: tokens, request ids, batches, pages; and what a restart does to a call."""

from __future__ import annotations

import threading

import grpc
import pytest

from buildrunner_parallel import errors
from buildrunner_parallel.batches import batches
from buildrunner_parallel.channel import open_aio_channel
from buildrunner_parallel.client import Client
from buildrunner_parallel.connection import Connection
from buildrunner_parallel.discovery import Target
from buildrunner_parallel.records import FailurePolicy, TaskSpec
from buildrunner_parallel.v1 import (
    coordinator_service_pb2,
    coordinator_service_pb2_grpc,
    session_service_pb2,
    task_service_pb2,
    types_pb2,
    worker_service_pb2,
)


def session_answer(**fields):
    return session_service_pb2.CreateSessionResponse(session=types_pb2.Session(**fields))


def accept_tasks(request, _context):
    tasks = [types_pb2.TaskSummary(task_id=task.task_id) for task in request.tasks]
    return task_service_pb2.SubmitTasksResponse(tasks=tasks)


def test_every_call_carries_the_token_and_the_client_id(client, coordinator):
    coordinator.on("GetInfo", coordinator_service_pb2.GetInfoResponse(version="1"))
    client.info()
    assert coordinator.metadata["GetInfo"][0]["authorization"] == "Bearer secret"
    assert coordinator.metadata["GetInfo"][0]["br-client-id"] == client.client_id


async def test_the_asyncio_channel_carries_them_on_calls_of_every_kind(coordinator):
    coordinator.on("GetInfo", coordinator_service_pb2.GetInfoResponse(version="1"))
    async with open_aio_channel(coordinator.address, "secret", client_id="me") as channel:
        stub = coordinator_service_pb2_grpc.CoordinatorServiceStub(channel)
        assert (await stub.GetInfo(coordinator_service_pb2.GetInfoRequest(), timeout=10)).version == "1"
        answer = await stub.GetInfo(
            coordinator_service_pb2.GetInfoRequest(), metadata=(("x-own", "kept"),), timeout=10
        )
        assert answer.version == "1"
    assert coordinator.metadata["GetInfo"][1]["authorization"] == "Bearer secret"
    assert coordinator.metadata["GetInfo"][1]["x-own"] == "kept"


def test_creating_a_session_says_all_that_was_asked(client, coordinator):
    coordinator.on("CreateSession", session_answer(session_id="a3f2e1d9", status=1))
    session = client.create_session(
        "Build v3.1",
        declared_tasks=50,
        driver="owner",
        on_failure=FailurePolicy("stop-now", 2),
        wanted_workers=3,
        metadata={"k": 1},
    )
    assert (session.session_id, session.status) == ("a3f2e1d9", "created")
    (request,) = coordinator.seen["CreateSession"]
    assert request.request_id
    assert (request.name, request.declared_tasks, request.wanted_workers) == ("Build v3.1", 50, 3)
    assert request.driver == types_pb2.SESSION_DRIVER_OWNER
    assert request.on_failure == types_pb2.FailurePolicy(action=types_pb2.FAILURE_ACTION_STOP_NOW, limit=2)


def test_a_repeated_delivery_has_the_same_request_id_and_another_call_has_not(client, coordinator):
    answers = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE, session_answer(session_id="a")]
    coordinator.on("CreateSession", *answers)
    client.create_session("x")
    client.create_session("x")
    first, second, third, other = (request.request_id for request in coordinator.seen["CreateSession"])
    assert first == second == third != other


def test_a_call_waits_for_a_coordinator_that_restarts(client, coordinator):
    coordinator.on("GetInfo", coordinator_service_pb2.GetInfoResponse(version="2"))
    coordinator.stop()
    back = threading.Timer(0.3, coordinator.start)
    back.start()
    coordinator.on("GetInfo", coordinator_service_pb2.GetInfoResponse(version="2"))
    assert client.info().version == "2"
    back.join()


def test_a_coordinator_that_stays_away_is_unreachable_and_named(tmp_path):
    client = Client(Connection(Target(f"unix:{tmp_path}/none"), patience_s=0.2))
    with client, pytest.raises(errors.UnreachableError, match="cannot be reached") as caught:
        client.info()
    assert caught.value.address == f"unix:{tmp_path}/none"


def test_a_coordinator_that_moved_is_found_where_it_is_now(coordinator, tmp_path):
    coordinator.on("GetInfo", coordinator_service_pb2.GetInfoResponse(version="3"))
    moved = Target(coordinator.address, "new token")
    connection = Connection(Target(f"unix:{tmp_path}/old", "old"), relocate=lambda _s, _start: moved)
    with Client(connection) as client:
        assert client.info().version == "3"
    assert coordinator.metadata["GetInfo"][0]["authorization"] == "Bearer new token"


def test_a_token_that_was_replaced_is_read_again(coordinator, refusal):
    def check(_request, context):
        if ("authorization", "Bearer new") not in context.invocation_metadata():
            return grpc.StatusCode.UNAUTHENTICATED
        return coordinator_service_pb2.GetInfoResponse(version="4")

    coordinator.on("GetInfo", check)
    connection = Connection(
        Target(coordinator.address, "old"), relocate=lambda _s, _start: Target(coordinator.address, "new")
    )
    with Client(connection) as client:
        assert client.info().version == "4"


def test_a_shutdown_is_never_repeated(client, coordinator):
    coordinator.on("Shutdown", grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(errors.UnreachableError):
        client.shutdown()
    assert len(coordinator.seen["Shutdown"]) == 1


def test_a_closed_client_says_so(client):
    client.close()
    with pytest.raises(errors.UnreachableError, match="closed"):
        client.info()


def test_tasks_go_in_requests_of_a_thousand_and_the_last_one_seals(client, coordinator):
    coordinator.on("SubmitTasks", accept_tasks)
    tasks = (TaskSpec(task_id=f"t{number}", argv=("true",)) for number in range(2001))
    summaries = client.submit_tasks("a3f2", tasks, seal=True)
    assert [len(request.tasks) for request in coordinator.seen["SubmitTasks"]] == [1000, 1000, 1]
    assert [request.seal for request in coordinator.seen["SubmitTasks"]] == [False, False, True]
    assert summaries[-1].task_id == "t2000"


def test_sealing_without_tasks_is_one_request(client, coordinator):
    coordinator.on("SubmitTasks", accept_tasks)
    assert client.submit_tasks("a3f2", [], seal=True) == []
    assert coordinator.seen["SubmitTasks"][0].seal
    assert client.submit_tasks("a3f2", []) == []
    assert len(coordinator.seen["SubmitTasks"]) == 1


def test_batches_keep_within_the_size_of_a_message():
    specs = [types_pb2.TaskSpec(task_id=str(number), metadata_json="x" * 900) for number in range(10)]
    made = list(batches(specs, max_bytes=3000))
    assert [len(batch) for batch in made] == [3, 3, 3, 1]
    assert [spec.task_id for batch in made for spec in batch] == [str(number) for number in range(10)]


def test_a_task_too_large_for_any_message_is_refused_by_name():
    with pytest.raises(errors.LimitError, match="task big is"):
        list(batches([types_pb2.TaskSpec(task_id="big", metadata_json="x" * 5000)], max_bytes=3000))


def test_a_plan_is_one_stream_with_its_header_first(client, coordinator):
    answer = task_service_pb2.SubmitPlanResponse(session=types_pb2.Session(session_id="a"), task_count=1500)
    coordinator.on("SubmitPlan", grpc.StatusCode.UNAVAILABLE, answer)
    tasks = [TaskSpec(task_id=str(number), argv=("true",)) for number in range(1500)]
    session, count = client.submit_plan(tasks, create={"name": "plan", "wanted_workers": 2})
    assert (session.session_id, count) == ("a", 1500)
    first, second = coordinator.seen["SubmitPlan"][-2:]
    assert first == second
    header, *rest = second
    assert (header.header.create.name, header.header.create.wanted_workers) == ("plan", 2)
    assert header.header.seal and header.header.start and header.header.request_id
    assert [len(message.tasks) for message in rest] == [1000, 500]


def test_a_plan_needs_exactly_one_place_to_go(client):
    for arguments in ({}, {"session_id": "a", "create": {"name": "x"}}):
        with pytest.raises(errors.InvalidRequestError):
            client.submit_plan([], **arguments)


def test_lists_read_all_pages_and_stop_at_their_limit(client, coordinator):
    def page(request, _context):
        start = int(request.page_token or 0)
        workers = [types_pb2.Worker(worker_id=str(start + number)) for number in range(3)]
        return worker_service_pb2.ListWorkersResponse(
            workers=workers, next_page_token=str(start + 3) if start < 6 else ""
        )

    coordinator.on("ListWorkers", page)
    assert [worker.worker_id for worker in client.list_workers()] == [str(number) for number in range(9)]
    assert len(client.list_workers(limit=4)) == 4
    assert coordinator.seen["ListWorkers"][-2].page_size == 4


def test_counting_sessions_fetches_one_of_them(client, coordinator):
    coordinator.on("ListSessions", session_service_pb2.ListSessionsResponse(total_count=12))
    assert client.count_sessions() == 12
    assert coordinator.seen["ListSessions"][0].page_size == 1


def test_unset_settings_are_not_sent(client, coordinator):
    coordinator.on("UpdateSession", session_service_pb2.UpdateSessionResponse())
    client.update_session("a", max_parallel=0, metadata={})
    (request,) = coordinator.seen["UpdateSession"]
    assert request.HasField("max_parallel") and not request.HasField("wanted_workers")
    assert request.metadata_json == "{}"


def test_a_backup_appears_whole_or_not_at_all(client, coordinator, tmp_path):
    pieces = [
        coordinator_service_pb2.BackupResponse(data=b"ab", total_bytes=4),
        coordinator_service_pb2.BackupResponse(data=b"cd"),
    ]
    coordinator.on("Backup", lambda _request, _context: iter(pieces), lambda _r, _c: iter(pieces[:1]))
    assert client.backup(tmp_path / "copy.db") == 4
    assert (tmp_path / "copy.db").read_bytes() == b"abcd"
    with pytest.raises(errors.UnreachableError, match="broke off after 2 of 4"):
        client.backup(tmp_path / "other.db")
    assert [path.name for path in tmp_path.glob("*.db*")] == ["copy.db"]


def test_a_task_runs_where_it_was_submitted_from_unless_it_says_otherwise(coordinator, tmp_path):
    (tmp_path / "w" / ".git").mkdir(parents=True)
    below = tmp_path / "w" / "a" / "b"
    below.mkdir(parents=True)
    coordinator.on("SubmitTasks", accept_tasks)
    tasks = [
        TaskSpec(argv=("x",)),
        TaskSpec(argv=("x",), cwd="c"),
        TaskSpec(argv=("x",), cwd="/abs"),
        TaskSpec(argv=("x",), worktree="/other"),
    ]
    with Client.connect(coordinator.address, token="t", cwd=below) as client:
        client.submit_tasks("a3f2", tasks)
    directories = [
        (task.directory.worktree, task.directory.path) for task in coordinator.seen["SubmitTasks"][0].tasks
    ]
    here = str(tmp_path / "w")
    assert directories == [(here, "a/b"), (here, "c"), ("", "/abs"), ("/other", "")]
