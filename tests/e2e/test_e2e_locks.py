"""Path locks between real processes: races, kills of everybody, order and fences over a restart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from buildrunner_parallel.client import Client
from buildrunner_parallel.errors import DeadlockError, LockConflictError
from buildrunner_parallel.specs import PathRequest, TaskSpec

from .conftest import Town, eventually

pytestmark = pytest.mark.e2e

RACES = 500
SHORT = ("--heartbeat-interval", "500ms", "--lease", "3s", "--lock-delay", "1500ms")

RACER = """
import sys
from buildrunner_parallel import Client
from buildrunner_parallel.errors import LockConflictError
address, token, session = sys.argv[1:]
with Client.connect(address, token_file=token, start=False) as client:
    for line in sys.stdin:
        try:
            grant = client.acquire_locks(session, [f"hot/{line.strip()}"])
        except LockConflictError:
            print("lost", flush=True)
        else:
            print("won", grant.fence, flush=True)
"""
HOLDER = """
import sys, time
from buildrunner_parallel import Client
address, token, session, path, wait = sys.argv[1:]
with Client.connect(address, token_file=token, start=False) as client:
    with client.lock(session, [path], wait=wait == "wait", lease="3s") as grant:
        print(grant.fence, flush=True)
        time.sleep(600)
"""

Script = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def script(town: Town) -> Iterator[Script]:
    """Starts a Python program that speaks to the town's coordinator."""
    begun: list[subprocess.Popen[str]] = []

    def start(text: str, *arguments: str) -> subprocess.Popen[str]:
        address, token = town.info_file()["address"], str(town.state / "token")
        process = subprocess.Popen(
            [sys.executable, "-c", text, address, token, *arguments],
            cwd=town.folder, env=town.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def sessions(client: Client, *names: str) -> list[str]:
    return [client.start_session(client.create_session(name).session_id).session_id for name in names]


def in_background(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Runs a call that waits; its result, or what it raised, is in the list at its end."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(call())
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, result


def waiters(client: Client, count: int) -> None:
    eventually(lambda: len(client.list_locks().waiters) == count, f"{count} wait")


def test_two_processes_race_500_times_for_one_file_and_one_wins_each_time(town: Town, script: Script) -> None:
    town.coordinator()
    with town.client() as client:
        racers = [script(RACER, session) for session in sessions(client, "left", "right")]
        fences: list[int] = []
        for race in range(RACES):
            for racer in racers:
                assert racer.stdin is not None
                racer.stdin.write(f"{race}\n")
            for racer in racers:
                assert racer.stdin is not None
                racer.stdin.flush()
            outcome = [answer(racer).split() for racer in racers]
            assert sorted(one[0] for one in outcome) == ["lost", "won"], (race, outcome)
            fences += [int(one[1]) for one in outcome if one[0] == "won"]
        assert fences == sorted(set(fences)), "each winner's fence is above all before"
        held = Counter(lock.holder.session_name for lock in client.list_locks().locks)
        assert sum(held.values()) == RACES


def test_ten_paths_with_one_held_acquire_nothing(town: Town) -> None:
    town.coordinator()
    with town.client() as client:
        alpha, beta = sessions(client, "alpha", "beta")
        client.acquire_locks(alpha, ["p7"])
        with pytest.raises(LockConflictError, match=f"Files already locked by session {alpha}: p7"):
            client.acquire_locks(beta, [f"p{i}" for i in range(10)])
        assert [lock.path for lock in client.list_locks().locks] == ["p7"]


def test_a_killed_waiter_is_never_granted(town: Town, script: Script) -> None:
    town.coordinator()
    with town.client() as client:
        alpha, beta, gamma = sessions(client, "alpha", "beta", "gamma")
        client.acquire_locks(alpha, ["a"])
        killed = script(HOLDER, beta, "a", "wait")
        waiters(client, 1)
        thread, result = in_background(lambda: client.acquire_locks(gamma, ["a"], wait=True))
        waiters(client, 2)
        os.kill(killed.pid, signal.SIGKILL)
        waiters(client, 1)
        client.release_locks(alpha)
        thread.join(30)
        assert result[0].session_id == gamma
        assert {lock.holder.session_id for lock in client.list_locks().locks} == {gamma}


def test_a_cross_hold_ends_in_deadlock_naming_both(town: Town) -> None:
    town.coordinator()
    with town.client() as client:
        alpha, beta = sessions(client, "alpha", "beta")
        client.acquire_locks(alpha, ["x"])
        client.acquire_locks(beta, ["y"])
        thread, result = in_background(lambda: client.acquire_locks(alpha, ["y"], wait="60s"))
        waiters(client, 1)
        with pytest.raises(DeadlockError) as caught:  # its wait would run out with another error
            client.acquire_locks(beta, ["x"], wait="60s")
        assert f"session {alpha} (alpha)" in str(caught.value)
        assert f"session {beta} (beta)" in str(caught.value)
        client.release_locks(beta)
        thread.join(30)
        assert result[0].session_id == alpha


def test_a_killed_holder_keeps_its_path_for_lease_and_lock_delay(town: Town, script: Script) -> None:
    town.coordinator(*SHORT)
    with town.client() as client:
        alpha, beta = sessions(client, "alpha", "beta")
        holder = script(HOLDER, alpha, "a", "try")
        fence = int(answer(holder))
        os.kill(holder.pid, signal.SIGKILL)
        killed = time.monotonic()
        grant = client.acquire_locks(beta, ["a"], wait="60s")
        # The lease of 3 s was renewed at most a second before the kill.
        assert time.monotonic() - killed >= 2 + 1.5
        assert grant.fence > fence


def test_a_killed_machine_frees_its_tasks_locks_after_lease_and_delay(town: Town) -> None:
    """Worker and supervisor die together, as with their machine: nobody can tell that the task is gone."""
    town.coordinator(*SHORT)
    worker = town.worker()
    with town.client() as client:
        (waiting,) = sessions(client, "waiting")
        task = TaskSpec(task_id="holds", argv=("sleep", "600"), files=(PathRequest("a"),))
        session, _ = client.submit_plan([task], create={"name": "holding"})
        eventually(lambda: town.tasks_processes("holds"), "the task runs")
        family = [*_children(worker.pid), worker.pid]
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        stopped = time.monotonic()
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        client.acquire_locks(waiting, ["a"], wait="60s")
        # Its last heartbeat was sent half a second before, or a little more on a busy machine.
        assert time.monotonic() - stopped >= 1.5 + 1.5
        for process in town.tasks_processes("holds"):
            process.kill()
        client.cancel_session(session.session_id)


def _children(pid: int) -> list[int]:
    import psutil

    return [one.pid for one in psutil.Process(pid).children(recursive=True)]


def test_locks_queue_and_fences_outlive_the_coordinators_death(town: Town) -> None:
    town.coordinator()
    with town.client() as client:
        names = [f"s{i}" for i in range(6)]
        ids = sessions(client, *names)
        first = client.acquire_locks(ids[0], ["hot", "mine"])
        order: list[str] = []

        def take_turn(index: int) -> None:
            grant = client.acquire_locks(ids[index], ["hot"], wait=True)
            order.append(names[index])
            fences.append(grant.fence)
            client.release_locks(ids[index])

        fences: list[int] = [first.fence]
        with ThreadPoolExecutor(5) as pool:
            turns = []
            for index in range(1, 6):
                turns.append(pool.submit(take_turn, index))
                waiters(client, index)
            os.kill(town.coordinator_pid(), signal.SIGKILL)
            eventually(lambda: not town.coordinator_pid(), "the coordinator is dead")
            town.coordinator()
            waiters(client, 5)
            assert {lock.path: lock.fence for lock in client.list_locks().locks} == {
                "hot": first.fence, "mine": first.fence,
            }  # fmt: skip
            eventually(lambda: all(one.position for one in client.list_locks().waiters), "all stand in line")
            client.release_locks(ids[0], ["hot"])
            for turn in turns:
                turn.result(60)
        assert order == names[1:]
        assert fences == sorted(set(fences))


def test_of_twenty_agents_only_those_who_want_the_hot_file_wait(town: Town) -> None:
    town.coordinator()
    with town.client() as client:
        ids = sessions(client, *(f"agent{i}" for i in range(20)))

        def work(index: int) -> None:
            for step in range(10):
                hot = ["HOT.md"] if index in (1, 2) and step == 5 else []
                paths = [f"src/agent{index}/", f"docs/a{index}-{step}.md", f"gen/{index}/**/*.py", *hot]
                with client.lock(ids[index], paths, wait="60s"):
                    pass

        with ThreadPoolExecutor(20) as pool:
            with client.lock(ids[0], ["HOT.md"]):
                busy = {index: pool.submit(work, index) for index in range(1, 20)}
                for index in range(3, 20):
                    busy[index].result(60)
                waiters(client, 2)
            for index in (1, 2):
                busy[index].result(60)
        report = client.lock_statistics()
        assert [(one.path, one.figures.waits) for one in report.statistics] == [("HOT.md", 2)]
        assert {one.session_name for one in report.sessions} == {"agent0", "agent1", "agent2"}
        assert client.list_locks().locks == ()


def test_spellings_of_one_path_meet_through_links_and_composition(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.coordinator()
    monkeypatch.chdir(town.folder)
    (town.folder / "real").mkdir()
    (town.folder / "link").symlink_to("real")
    with town.client() as client:
        alpha, beta = sessions(client, "alpha", "beta")
        base = str(town.folder)
        client.acquire_locks(alpha, [f"{base}/real/a.py", f"{base}/b/../café"])
        for spelling in (f"{base}/link/a.py", f"{base}/./real//a.py", f"{base}/cafe\u0301"):
            with pytest.raises(LockConflictError):
                client.acquire_locks(beta, [spelling])
        client.acquire_locks(beta, [f"{base}/real/a.pyc"])


def test_case_is_folded_once_a_checkout_ignores_it(town: Town) -> None:
    subprocess.run(["git", "config", "core.ignorecase", "true"], cwd=town.folder, check=True)
    town.br("parallel", "start", "begin", "-w", "0")
    with town.client() as client:
        alpha, beta = sessions(client, "alpha", "beta")
        client.acquire_locks(alpha, [PathRequest("README.md")])
        with pytest.raises(LockConflictError):
            client.acquire_locks(beta, [PathRequest("readme.MD")])


def test_a_task_takes_more_than_it_declared_and_loses_it_with_its_end(town: Town) -> None:
    town.coordinator()
    town.worker()
    program = town.write("more.py", (
        "import os, json\n"
        "from buildrunner_parallel import Client\n"
        "address = os.environ['BR_COORDINATOR']\n"
        "with Client.connect(address, token_file='.buildrunner/token', start=False) as c:\n"
        "    grant = c.acquire_locks(os.environ['BR_SESSION_ID'], ['extra', 'declared'])\n"
        "    locks = [[l.path, l.holder.task_id] for l in c.list_locks().locks]\n"
        "    print(json.dumps([grant.fence == int(os.environ['BR_FENCE']), sorted(locks)]))\n"
    ))  # fmt: skip
    with town.client() as client:
        path = {"PYTHONPATH": town.env["PYTHONPATH"]}
        task = TaskSpec(task_id="t", argv=(sys.executable, str(program)), cwd=str(town.folder),
                        files=(PathRequest("declared"),), env=path)  # fmt: skip
        session, _ = client.submit_plan([task], create={"name": "more"})
        ended = client.wait_session(session.session_id, timeout_s=60)
        output = town.br("parallel", "logs", session.session_id, "t").stdout
        assert str(ended.status) == "completed", output
        assert json.loads(output) == [True, [["declared", "t"], ["extra", "t"]]]
        assert client.list_locks().locks == ()
