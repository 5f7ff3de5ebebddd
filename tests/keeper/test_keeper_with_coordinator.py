"""Client, keeper, coordinator and workers as they are shipped: losses cost nothing, a stop leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buildrunner_parallel.client import Client
from buildrunner_parallel.errors import CoordinatorStartError
from buildrunner_parallel.records import Session, TaskSpec
from buildrunner_parallel.worker import reaper

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
DEADLINE_S = 60.0


class State:
    """The state directory of one test's workspace."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.directory = workspace / ".buildrunner"
        self.mark = f"KEEPER_TEST_STATE={workspace}"

    def pid_of(self, process: str) -> int:
        try:
            return int(json.loads((self.directory / f"{process}.json").read_text())["pid"])
        except (OSError, ValueError):
            return 0

    def kill(self, *names: str) -> dict[str, int]:
        killed = {name: self.pid_of(name) for name in names}
        for process_id in killed.values():
            os.kill(process_id, signal.SIGKILL)
        return killed


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    workspace = tmp_path / "w"
    (workspace / ".git").mkdir(parents=True)
    made = State(workspace)
    monkeypatch.setenv("KEEPER_TEST_STATE", str(workspace))
    for name in ("BR_COORDINATOR", "BR_TOKEN", "BR_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    yield made
    reaper.kill_marked(made.mark)


@pytest.fixture
def client(state: State) -> Iterator[Client]:
    with Client.connect(cwd=state.workspace, timeout_s=DEADLINE_S) as made:
        yield made


@pytest.fixture
def eventually() -> Callable[..., None]:
    def wait(condition: Callable[[], object], what: str) -> None:
        ticker = threading.Event()
        for _ in range(int(DEADLINE_S / 0.05)):
            if condition():
                return
            ticker.wait(0.05)
        raise AssertionError(f"not in time: {what}")

    return wait


def test_losses_of_every_kind_cost_no_task_and_the_stop_leaves_no_process(state, client, eventually):
    tasks = [TaskSpec(task_id=f"t{number}", argv=("sleep", "0.2")) for number in range(39)]
    # It keeps the session, and with it the workers, until both losses are behind us.
    until_told = f"until test -e {state.workspace}/go; do sleep 0.1; done"
    tasks.append(TaskSpec(task_id="t39", shell_line=until_told))
    session, count = client.submit_plan(tasks, create={"name": "losses", "wanted_workers": 2})
    assert count == 40
    seen: list[Session] = []
    waiter = threading.Thread(
        target=lambda: seen.append(client.wait_session(session.session_id, timeout_s=DEADLINE_S))
    )
    waiter.start()
    eventually(lambda: client.get_session(session.session_id).counts.done >= 2, "the first tasks")
    workers = {worker.pid for worker in client.list_workers()}
    for names in (["coordinator"], ["keeper", "coordinator"]):
        killed = state.kill(*names)
        assert not client.get_session(session.session_id).counts.failed
        eventually(
            lambda killed=killed: all(state.pid_of(name) not in (0, pid) for name, pid in killed.items()),
            f"{names} again",
        )
    assert {worker.pid for worker in client.list_workers()} == workers
    (state.workspace / "go").touch()
    waiter.join()
    assert (seen[0].status, seen[0].counts.succeeded) == ("completed", 40)
    attempts = [client.get_task(session.session_id, f"t{number}").attempts for number in range(40)]
    assert {len(runs) for runs in attempts} == {1}
    client.shutdown()
    eventually(lambda: not reaper.find_marked(state.mark), "the end of everything")


def test_what_ran_at_the_stop_is_known_to_be_lost_at_the_next_start(state, client, eventually):
    session, _ = client.submit_plan(
        [TaskSpec(task_id="t", argv=("sh", "-c", "setsid sleep 600 & exec sleep 600"))],
        create={"name": "stopped", "wanted_workers": 1},
    )
    eventually(lambda: client.get_session(session.session_id).counts.running == 1, "the task")
    client.shutdown()
    eventually(lambda: not reaper.find_marked(state.mark), "the end of everything")
    eventually(lambda: client.get_task(session.session_id, "t").summary.attempt == 2, "its next attempt")
    client.cancel_session(session.session_id)
    assert client.wait_session(session.session_id, timeout_s=DEADLINE_S).status == "cancelled"
    client.shutdown()
    eventually(lambda: not reaper.find_marked(state.mark), "the end of everything")


def test_a_damaged_database_is_one_line_and_is_not_touched(state, client, eventually):
    client.create_session("x")
    client.shutdown()
    eventually(lambda: not reaper.find_marked(state.mark), "the end of everything")
    database = state.directory / "state.db"
    damaged = database.read_bytes()[:100] + b"garbage" * 100
    database.write_bytes(damaged)
    with pytest.raises(CoordinatorStartError, match=r"state\.db is damaged"):
        Client.connect(cwd=state.workspace, timeout_s=DEADLINE_S)
    assert database.read_bytes() == damaged
    eventually(lambda: not reaper.find_marked(state.mark), "the end of everything")
