"""scale and drain with real processes: pools grow and shrink under load, no task is lost or begun twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from buildrunner_parallel.client import Client
from buildrunner_parallel.records import Worker

from .conftest import Town, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Tasks end when the test opens the gate, however slow the machine is.
PLAN = """
tasks:
  - {id: "t{n}", run: "until [ -e gate ]; do sleep 0.05; done", matrix: {n: [%s]}}
"""


@pytest.fixture
def client(town: Town) -> Iterator[Client]:
    """Of a coordinator with a keeper, and a pool of two workers for all sessions."""
    town.br("parallel", "scale", "2", "--wait")
    with town.client() as made:
        yield made


def start(town: Town, tasks: int) -> str:
    town.write("plan.yaml", PLAN % ", ".join(map(str, range(tasks))))
    started = town.json("parallel", "start", "Load", "--plan", "plan.yaml", "-w", "0")
    return str(started["session"]["session_id"])


def staying(client: Client) -> list[Worker]:
    return [worker for worker in client.list_workers() if not worker.draining]


def assert_each_runs_once(town: Town, client: Client, session_id: str, tasks: int) -> None:
    (town.folder / "gate").touch()
    assert client.wait_session(session_id, timeout_s=90).status.value == "completed"
    found = client.list_tasks(session_id)
    assert [(task.status.value, task.attempt) for task in found] == [("succeeded", 1)] * tasks


def test_a_pool_grows_and_shrinks_under_load_and_every_task_runs_once(town: Town, client: Client) -> None:
    session_id = start(town, 12)
    town.br("parallel", "scale", "4", "--wait", "--timeout", "60s")
    eventually(lambda: [bool(one.tasks) for one in client.list_workers()] == [True] * 4, "four at work")
    running = {one.task_id for one in client.list_tasks(session_id) if one.status.value == "running"}
    told = town.br("parallel", "scale", "1").stdout
    assert told == "1 worker wanted for all sessions: 1 up, 3 leaving, busy ones once they are done\n"
    eventually(lambda: len(staying(client)) == 1, "three draining")
    # They do not leave what they run.
    assert len(client.list_workers()) == 4
    still = {one.task_id for one in client.list_tasks(session_id) if one.status.value == "running"}
    assert running <= still
    assert_each_runs_once(town, client, session_id, 12)
    town.br("parallel", "scale", "1", "--wait", "--timeout", "60s")
    assert len(client.list_workers()) == 1
    town.br("parallel", "scale", "0", "--wait", "--timeout", "60s")
    assert client.list_workers() == []


def test_idle_workers_go_before_busy_ones(town: Town, client: Client) -> None:
    session_id = start(town, 1)
    busy = eventually(lambda: [one for one in client.list_workers() if one.tasks], "one at work")
    town.br("parallel", "scale", "1", "--wait", "--timeout", "60s")
    assert [one.worker_id for one in client.list_workers()] == [one.worker_id for one in busy]
    assert_each_runs_once(town, client, session_id, 1)


def test_what_was_started_by_hand_is_not_the_pools_to_end(town: Town, client: Client) -> None:
    by_hand = town.spawn("buildrunner_parallel.cli", "parallel", "worker", "--label", "mine")
    eventually(lambda: len(client.list_workers()) == 3, "the worker started by hand")
    town.br("parallel", "scale", "0", "--wait", "--timeout", "60s")
    (left,) = client.list_workers()
    assert (left.labels, left.draining, by_hand.poll()) == (("mine",), False, None)


def test_other_labels_and_slots_replace_the_workers(town: Town, client: Client) -> None:
    before = {one.worker_id for one in client.list_workers()}
    town.br("parallel", "scale", "1", "--slots", "2", "--label", "gpu")

    def shapes() -> list[tuple[tuple[str, ...], int]]:
        return [(one.labels, one.slots) for one in client.list_workers()]

    eventually(lambda: shapes() == [(("gpu",), 2)], "a worker with the label")
    # What is not said stays as it was.
    town.br("parallel", "scale", "2", "--wait", "--timeout", "60s")
    assert shapes() == [(("gpu",), 2)] * 2
    assert not before & {one.worker_id for one in client.list_workers()}


def test_a_drain_under_load_loses_nothing_and_another_takes_the_place(town: Town, client: Client) -> None:
    session_id = start(town, 6)
    drained = eventually(lambda: [one for one in client.list_workers() if one.tasks], "one at work")[0]
    told = town.br("parallel", "drain", drained.worker_id[:6]).stdout.splitlines()
    assert told[0].startswith(f"Worker {drained.worker_id} finishes ")
    assert told[1].startswith("2 workers stay wanted for all sessions")
    # The other one comes while the drained one still finishes what it runs.
    eventually(lambda: len(staying(client)) == 2, "another in its place")
    assert drained.worker_id in {one.worker_id for one in client.list_workers()}
    assert_each_runs_once(town, client, session_id, 6)
    town.br("parallel", "scale", "2", "--wait", "--timeout", "60s")
    assert drained.worker_id not in {one.worker_id for one in client.list_workers()}


def test_a_pool_that_does_not_come_up_in_time_is_124_and_another_order_mends_it(
    town: Town, client: Client
) -> None:
    options = ("--handlers", "no_such_module", "--wait", "--timeout", "1s")
    done = town.br("parallel", "scale", "1", *options, check=124)
    assert "0 of 1 workers are up" in done.stderr
    town.br("parallel", "scale", "1", "--handlers", "", "--wait", "--timeout", "60s")
    assert len(client.list_workers()) == 1
