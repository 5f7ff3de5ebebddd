"""WorkerCoordinator and Worker: each method by what it does, and what another process sees of it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from buildrunner_parallel.compat import SessionStatus, WorkerCoordinator, WorkerStatus
from buildrunner_parallel.compat.tasks import task_spec
from tests.compat.conftest import eventually


@pytest.fixture
def session(manager):
    return manager.create_session("Build")


def test_a_registered_worker_is_idle(coordinator):
    worker = coordinator.register_worker(metadata={"type": "custom"})
    assert (worker.status, worker.current_task, worker.current_session, worker.session_id) == ("idle",) + (
        None,
    ) * 3
    assert (worker.tasks_completed, worker.tasks_failed, worker.metadata) == (0, 0, {"type": "custom"})
    assert worker.created_at.tzinfo is None and worker.last_heartbeat >= worker.created_at
    assert coordinator.get_worker(worker.worker_id) is worker
    assert coordinator.workers[worker.worker_id] is worker
    assert coordinator.get_worker("ffffffff") is None


def test_each_coordinator_has_a_pool_of_its_own(manager, coordinator):
    other = WorkerCoordinator()
    assert (other.workers, other.task_queue, other.task_assignments) == ({}, [], {})
    worker = coordinator.register_worker()
    assert other.get_worker(worker.worker_id) is None and other.list_workers() == []
    other.unregister_worker(worker.worker_id)
    other.heartbeat(worker.worker_id)
    assert coordinator.get_worker(worker.worker_id) is worker


def test_tasks_go_to_the_first_idle_worker_in_order_of_registration(coordinator, session):
    first, second = coordinator.register_worker(), coordinator.register_worker()
    assert coordinator.assign_task("a", {"n": 1}, session.session_id) == first.worker_id
    assert coordinator.assign_task("b", {"n": 2}, session_id=session.session_id) == second.worker_id
    assert coordinator.assign_task("c", {"n": 3}, session.session_id) is None
    assert session.status is SessionStatus.RUNNING  # its first task started it
    assert (first.status, first.current_task, first.session_id) == ("busy", "a", session.session_id)
    assert coordinator.task_assignments == {"a": first.worker_id, "b": second.worker_id}
    assert coordinator.task_queue == [
        {"task_id": "c", "task_data": {"n": 3}, "session_id": session.session_id}
    ]
    assert [coordinator.get_task(one) for one in "abc"] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert coordinator.get_task("unknown") is None
    assert coordinator.list_workers() == [first, second] == coordinator.list_workers(WorkerStatus.BUSY)
    assert coordinator.list_workers(status="idle") == []


def test_a_finished_task_counts_and_brings_the_next_one(coordinator, session):
    worker = coordinator.register_worker()
    for name in ("a", "b"):
        coordinator.assign_task(name, {}, session.session_id)
    coordinator.complete_task(worker.worker_id, "a", success=True)
    assert (worker.tasks_completed, worker.status, worker.current_task) == (1, "busy", "b")
    coordinator.complete_task(worker.worker_id, "b", success=False)
    assert (worker.tasks_completed, worker.tasks_failed) == (1, 1)
    assert (worker.status, worker.current_task, worker.current_session) == (WorkerStatus.IDLE, None, None)
    assert coordinator.get_task("a") == {}


def test_a_task_that_was_never_assigned_counts_all_the_same(coordinator, session):
    worker = coordinator.register_worker()
    coordinator.complete_task(worker.worker_id, "made up")
    coordinator.complete_task(worker.worker_id, "made up", success=False)
    assert (worker.tasks_completed, worker.tasks_failed, worker.status) == (1, 1, "idle")
    coordinator.complete_task("ffffffff", "made up")
    coordinator.assign_task("real", {}, session.session_id)
    coordinator.complete_task(worker.worker_id, "another")
    assert (worker.current_task, worker.tasks_completed) == ("real", 2)


def test_session_ids_may_be_absent_or_unknown(manager, coordinator):
    before = manager.get_stats()
    worker = coordinator.register_worker()
    assert coordinator.assign_task("a", {"k": 1}) == worker.worker_id
    assert (worker.current_task, worker.current_session) == ("a", None)
    assert coordinator.assign_task("b", {"k": 2}, session_id="nobody knows it") is None
    assert coordinator.task_queue == [
        {"task_id": "b", "task_data": {"k": 2}, "session_id": "nobody knows it"}
    ]
    assert manager.get_stats() == before  # they are in no session that anybody sees


def test_a_session_that_has_ended_takes_no_task(manager, coordinator, session):
    manager.complete_session(session.session_id)
    with pytest.raises(ValueError, match="completed"):
        coordinator.assign_task("a", {}, session.session_id)


def test_a_worker_can_be_asked_for(coordinator, session):
    first, second = coordinator.register_worker(), coordinator.register_worker()
    assert (
        coordinator.assign_task("a", {}, session.session_id, worker_id=second.worker_id) == second.worker_id
    )
    assert coordinator.assign_task("b", {}, session.session_id, worker_id=second.worker_id) is None
    assert first.status == "idle"
    assert coordinator.assign_task("c", {}, session.session_id, worker_id="unknown") == first.worker_id
    coordinator.complete_task(second.worker_id, "a")
    assert second.current_task == "b"


def test_a_task_may_be_assigned_again_under_its_id(coordinator, session):
    worker = coordinator.register_worker()
    for run in (1, 2, 3):
        assert coordinator.assign_task("again", {"run": run}, session.session_id) == worker.worker_id
        assert (worker.current_task, coordinator.get_task("again")) == ("again", {"run": run})
        coordinator.complete_task(worker.worker_id, "again")
    assert worker.tasks_completed == 3


def test_a_task_assigned_very_often_costs_no_more_each_time(coordinator, session, monkeypatch):
    client, asked = coordinator._home.client, []
    submit = client.submit_task

    def counted(*given):
        asked.append(given)
        return submit(*given)

    monkeypatch.setattr(client, "submit_task", counted)
    worker = coordinator.register_worker()
    for run in range(30):
        assert coordinator.assign_task("often", {"run": run}, session.session_id) == worker.worker_id
        coordinator.complete_task(worker.worker_id, "often")
    assert len(asked) == 30
    coordinator._places.clear()  # as in another process
    assert coordinator.assign_task("often", {"run": 30}, session.session_id) == worker.worker_id
    assert len(asked) < 30 + 15
    assert (worker.current_task, coordinator.get_task("often")) == ("often", {"run": 30})


@pytest.mark.parametrize("unknown", ["ffffffff", "", None, 5])
def test_unknown_workers_are_passed_over(coordinator, unknown):
    coordinator.unregister_worker(unknown)
    coordinator.heartbeat(unknown)
    coordinator.complete_task(unknown, "a")
    assert coordinator.get_worker(unknown) is None
    assert coordinator.get_load_distribution()["total_completed"] == 0


@pytest.mark.parametrize("task_id", [5, None, ""])
def test_an_id_that_is_no_text_is_refused(coordinator, session, task_id):
    with pytest.raises(ValueError, match=rf"^a task's id must be a text, found {task_id!r}$"):
        coordinator.assign_task(task_id, {}, session.session_id)
    assert coordinator.task_queue == []
    assert coordinator.get_task(task_id) is None


def test_a_session_that_is_no_text_is_an_unknown_one(coordinator, session):
    worker = coordinator.register_worker()
    assert coordinator.assign_task("odd", {}, 5) == worker.worker_id
    assert worker.current_session is None
    coordinator.complete_task(worker.worker_id, "odd")
    coordinator.assign_task("even", {}, session)
    assert worker.current_session == session.session_id


@pytest.mark.parametrize("data", [{1, 2}, "\ud800"])
def test_a_refusal_of_data_names_the_task_as_the_program_does(coordinator, session, data):
    coordinator.assign_task("again", {}, session.session_id)
    with pytest.raises(ValueError, match=r"^the data of task 'again' must be JSON: "):
        coordinator.assign_task("again", data, session.session_id)


def test_data_must_be_json(coordinator, session):
    with pytest.raises(ValueError, match=r"^the data of task 'a' must be JSON"):
        coordinator.assign_task("a", {"k": object()}, session.session_id)


def test_who_leaves_gives_its_task_back_with_its_data(coordinator, session):
    first, second = coordinator.register_worker(), coordinator.register_worker()
    coordinator.assign_task("a", {"deep": {"n": [1]}}, session.session_id)
    coordinator.unregister_worker(first.worker_id)
    coordinator.unregister_worker("ffffffff")
    assert (second.current_task, coordinator.get_task("a")) == ("a", {"deep": {"n": [1]}})
    assert coordinator.get_worker(first.worker_id) is None
    coordinator.unregister_worker(second.worker_id)
    assert [one["task_data"] for one in coordinator.task_queue] == [{"deep": {"n": [1]}}]


# --------------------------------------------------------------------------- heartbeats


def test_the_timeout_is_30_seconds_and_each_object_may_have_another(coordinator):
    assert WorkerCoordinator.HEARTBEAT_TIMEOUT == 30 == coordinator.HEARTBEAT_TIMEOUT
    worker = coordinator.register_worker()
    assert coordinator._find(worker.worker_id).lease_ms == 30_000
    coordinator.HEARTBEAT_TIMEOUT = 5
    assert coordinator._find(worker.worker_id).lease_ms == 5000
    assert WorkerCoordinator.HEARTBEAT_TIMEOUT == 30


def test_a_silent_worker_goes_offline_and_another_gets_its_task_with_its_data(coordinator, session):
    silent = coordinator.register_worker()
    assert coordinator.assign_task("a", {"payload": "kept"}, session.session_id) == silent.worker_id
    coordinator.HEARTBEAT_TIMEOUT = 0.2
    eventually(lambda: silent.status == WorkerStatus.OFFLINE, "it is offline")
    coordinator.HEARTBEAT_TIMEOUT = 60
    assert [one["task_data"] for one in coordinator.task_queue] == [{"payload": "kept"}]
    other = coordinator.register_worker()
    assert (other.current_task, coordinator.get_task("a")) == ("a", {"payload": "kept"})
    coordinator.complete_task(silent.worker_id, "a")  # too late: it is not its own any more
    assert (other.current_task, silent.tasks_completed) == ("a", 0)
    coordinator.heartbeat(silent.worker_id)
    assert silent.status is WorkerStatus.IDLE


def test_a_heartbeat_set_back_shows_at_the_next_look(coordinator, session):
    worker = coordinator.register_worker()
    coordinator.assign_task("a", {}, session.session_id)
    worker.last_heartbeat = datetime.now() - timedelta(seconds=60)
    coordinator.check_worker_health()
    assert worker.status is WorkerStatus.OFFLINE
    assert [one["task_id"] for one in coordinator.task_queue] == ["a"]
    coordinator.heartbeat(worker.worker_id)
    assert (worker.status, worker.current_task) == ("busy", "a")
    assert datetime.now() - worker.last_heartbeat < timedelta(seconds=30)
    coordinator.heartbeat("ffffffff")


# --------------------------------------------------------------------------- attributes that are set


def test_what_a_worker_says_of_itself(coordinator, session):
    worker = coordinator.register_worker()
    worker.status = WorkerStatus.BUSY
    worker.current_task = "its own"
    assert coordinator.assign_task("a", {}, session.session_id) is None
    assert coordinator.get_worker(worker.worker_id).current_task == "its own"
    coordinator.complete_task(worker.worker_id, "its own")
    assert (worker.tasks_completed, worker.current_task, worker.status) == (1, "a", "busy")
    coordinator.complete_task(worker.worker_id, "a")
    worker.status = WorkerStatus.ERROR
    assert coordinator.assign_task("b", {}, session.session_id) is None
    assert coordinator.list_workers("error") == [worker]
    worker.metadata["k"] = 1
    worker.tasks_failed += 2
    record = coordinator._find(worker.worker_id)
    assert (record.metadata, record.tasks_failed, record.status.value) == ({"k": 1}, 2, "error")
    with pytest.raises(AttributeError, match="cannot be undone"):
        worker.tasks_completed = 0


# --------------------------------------------------------------------------- scaling and statistics


def test_scaling_goes_up_to_the_limit_and_down_over_idle_ones(manager, session):
    coordinator = WorkerCoordinator(manager, max_workers=3)
    coordinator.scale_workers(2)
    assert len(coordinator.workers) == 2
    coordinator.scale_workers(10)
    assert len(coordinator.get_all_workers()) == 3
    busy = coordinator.assign_task("a", {}, session.session_id) or ""
    coordinator.scale_workers(2)
    assert len(coordinator.workers) == 2
    coordinator.scale_workers(0)
    assert list(coordinator.workers) == [busy]
    coordinator.unregister_worker(busy)


def test_the_load_is_counted(coordinator, session):
    assert coordinator.get_load_distribution()["utilization"] == 0.0
    workers = [coordinator.register_worker() for _ in range(4)]
    for name in "abcde":
        coordinator.assign_task(name, {}, session.session_id)
    coordinator.complete_task(workers[0].worker_id, "a")  # gets e
    coordinator.complete_task(workers[1].worker_id, "b", success=False)
    workers[3].status = WorkerStatus.OFFLINE
    distribution = coordinator.get_load_distribution()
    assert distribution == {
        "total_workers": 4, "idle_workers": 0, "busy_workers": 3, "offline_workers": 1, "queued_tasks": 0,
        "total_completed": 1, "total_failed": 1, "utilization": 75.0,
    }  # fmt: skip
    statistics = coordinator.get_statistics()
    assert statistics == coordinator.get_stats() and statistics["distribution"] == distribution
    assert statistics["workers"][0] == {
        "worker_id": workers[0].worker_id, "status": "busy", "tasks_completed": 1, "tasks_failed": 0,
        "current_task": "e",
    }  # fmt: skip


def test_more_than_a_thousand_tasks_wait_in_order(coordinator, session):
    pool, client = coordinator._pool, coordinator._home.client
    specs = [task_spec(f"t{n}", {"n": n}, pool, given_session=None, worker_id="") for n in range(1090)]
    client.start_session(session.session_id)
    client.submit_tasks(session.session_id, specs)
    for number in range(1090, 1100):
        assert coordinator.assign_task(f"t{number}", {"n": number}, session.session_id) is None
    queue = coordinator.task_queue
    assert [one["task_data"]["n"] for one in queue] == list(range(1100))
    assert coordinator.get_load_distribution()["queued_tasks"] == 1100
    assert coordinator.register_worker().current_task == "t0"


# --------------------------------------------------------------------------- other processes


def test_the_command_line_sees_workers_and_tasks(place, coordinator, session):
    worker = coordinator.register_worker({"rack": 3})
    coordinator.assign_task("seen", {}, session.session_id)
    shown = place.run("-m", "buildrunner_parallel.cli", "parallel", "workers", "--json").stdout
    (found,) = [one for one in json.loads(shown)["workers"] if one["worker_id"] == worker.worker_id]
    assert (found["status"], found["metadata"]) == ("busy", {"rack": 3})
    tasks = place.run(
        "-m", "buildrunner_parallel.cli", "parallel", "tasks", session.session_id, "--json"
    ).stdout
    assert [(one["task_id"], one["status"]) for one in json.loads(tasks)["tasks"]] == [("seen", "running")]


_PROGRAM = """
import os, sys
from buildrunner_parallel.compat import *
c = WorkerCoordinator()
c.HEARTBEAT_TIMEOUT = 0.3
w = c.register_worker()
c.assign_task('loose', {})
print(w.worker_id, c._mine.own_session_id, flush=True)
"""


def test_a_program_that_ends_takes_its_workers_along(place, manager):
    _nothing_is_left_of(place.run("-c", _PROGRAM), manager)


def test_what_a_program_has_let_go_of_leaves_with_it_too(place, manager):
    _nothing_is_left_of(place.run("-c", _PROGRAM + "import gc; del c, w; gc.collect()"), manager)


def _nothing_is_left_of(program, manager):
    worker_id, session_id = program.stdout.split()
    client = manager._home.client
    assert worker_id not in [one.worker_id for one in client.list_workers()]
    assert session_id not in [one.session_id for one in client.list_sessions()]


def test_what_a_killed_program_leaves_is_noticed(place, manager):
    killed = place.run("-c", _PROGRAM + "os.kill(os.getpid(), 9)", check=-9)
    worker_id, session_id = killed.stdout.split()
    client = manager._home.client
    eventually(lambda: client.get_worker(worker_id).status.value == "offline", "its worker is offline")
    assert client.get_session(session_id).status.value == "running"
    WorkerCoordinator(manager).assign_task("another", {})  # the next program that needs such a session
    assert session_id not in [one.session_id for one in client.list_sessions()]


def test_the_end_of_a_program_starts_no_coordinator_that_was_stopped(own_place):
    command = "[sys.executable, '-m', 'buildrunner_parallel.cli', 'parallel', 'stop']"
    stop = f"import subprocess; subprocess.run({command}, check=True)"
    own_place.run("-c", f"{_PROGRAM}{stop}")
    own_place.nothing_is_left()
