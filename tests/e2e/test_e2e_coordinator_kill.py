"""kill -9 of the coordinator: nothing is lost, nothing is done twice, what runs goes on running."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from buildrunner_parallel.specs import TaskSpec

from .conftest import Town, eventually

pytestmark = pytest.mark.e2e

TASKS = 500
SLOTS = 4
SCRIPT = 'echo "$BR_TASK_ID $BR_ATTEMPT $$" >> "$0/begun"; sleep 0.05; echo "$BR_TASK_ID" >> "$0/ended"'


def _submit(town: Town) -> str:
    with town.client() as client:
        tasks = [TaskSpec(task_id=f"t{i}", argv=("sh", "-c", SCRIPT, str(town.folder))) for i in range(TASKS)]
        session, count = client.submit_plan(tasks, create={"name": "five hundred"})
    assert count == TASKS
    return session.session_id


def _running(town: Town, session_id: str) -> dict[str, tuple[int, int]]:
    """Attempt number and pid of the tasks that run now, by id."""
    with town.client() as client:
        found = client.list_tasks(session_id, statuses=("running",))
    return {task.task_id: (task.attempt, task.pid) for task in found}


def _kill_under_load(town: Town, session_id: str) -> dict[str, tuple[int, int]]:
    """kill -9 while at least three tasks run; what ran is read from their own processes, not from us."""
    running = eventually(
        lambda: len(found := _running(town, session_id)) >= 3 and found, "three tasks run at once"
    )
    os.kill(town.coordinator_pid(), signal.SIGKILL)
    eventually(lambda: not town.coordinator_pid(), "the coordinator is dead")
    return running


def _revived(town: Town, before: int) -> None:
    eventually(lambda: town.coordinator_pid() not in (0, before), "the keeper revives it")


def _check_record(town: Town, session_id: str) -> dict[str, list[tuple[int, int, str]]]:
    """Each task ended exactly once; returns number, pid and outcome of its attempts."""
    with town.client() as client:
        session = client.wait_session(session_id, timeout_s=120)
        assert str(session.status) == "completed"
        assert session.counts.succeeded == TASKS
    ended = (town.folder / "ended").read_text().split()
    assert sorted(ended) == sorted(f"t{i}" for i in range(TASKS))
    town.br("parallel", "stop")
    rows = town.rows("SELECT task_id, number, pid, outcome FROM attempts")
    found: dict[str, list[tuple[int, int, str]]] = {}
    for task_id, number, pid, outcome in rows:
        found.setdefault(task_id, []).append((number, pid, outcome))
    succeeded = [
        task_id for task_id, mine in found.items() if [one[2] for one in mine].count("succeeded") == 1
    ]
    assert len(succeeded) == TASKS
    return found


def _begun(folder: Path) -> list[str]:
    return [line.split()[0] for line in (folder / "begun").read_text().splitlines()]


def test_each_of_500_tasks_ends_once_and_running_ones_keep_attempt_and_pid(town: Town) -> None:
    town.coordinator()
    for _ in range(2):
        town.worker("--slots", str(SLOTS // 2))
    session_id = _submit(town)
    running = _kill_under_load(town, session_id)
    town.coordinator()
    attempts = _check_record(town, session_id)
    for task_id, (number, pid) in running.items():
        assert attempts[task_id] == [(number, pid, "succeeded")], f"{task_id} was {number} with pid {pid}"
    assert sorted(_begun(town.folder)) == sorted(f"t{i}" for i in range(TASKS)), "something ran twice"


def test_three_kills_in_one_run_are_mended_by_the_keeper_alone(town: Town) -> None:
    started = town.json("parallel", "start", "kept", "--workers", "2")
    open_session = started["session"]["session_id"]
    with town.client() as client:
        tasks = [TaskSpec(task_id=f"t{i}", argv=("sh", "-c", SCRIPT, str(town.folder))) for i in range(TASKS)]
        client.set_pool(4, session_id=open_session)
        client.submit_tasks(open_session, tasks, seal=True)
    running: dict[str, tuple[int, int]] = {}
    for _ in range(3):
        before = town.coordinator_pid()
        running |= _kill_under_load(town, open_session)
        _revived(town, before)
    attempts = _check_record(town, open_session)
    for task_id, (number, pid) in running.items():
        assert attempts[task_id] == [(number, pid, "succeeded")], f"{task_id} was {number} with pid {pid}"
