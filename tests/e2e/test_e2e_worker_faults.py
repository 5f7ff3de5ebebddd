"""A worker is killed, or stopped past its lease: nothing of it is left, nothing is done twice."""

from __future__ import annotations

import json
import os
import signal

import pytest

from buildrunner_parallel.specs import PathRequest, TaskSpec

from .conftest import Town, eventually

pytestmark = pytest.mark.e2e

FORKING = """
import json, os, subprocess, sys, time
fenced = {name: os.environ[name] for name in ("BR_TASK_ID", "BR_ATTEMPT")}
with open("runs.jsonl", "a") as log:
    log.write(json.dumps({"argv": sys.argv[1:], "pid": os.getpid(), "cwd": os.getcwd(), **fenced}) + "\\n")
if os.environ["BR_ATTEMPT"] == "1":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    open("forked", "w").close()
    time.sleep(600)
"""
SHORT = ("--heartbeat-interval", "500ms", "--lease", "3s", "--lock-delay", "1500ms")


def _runs(town: Town) -> list[dict[str, object]]:
    path = town.folder / "runs.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_killed_worker_leaves_no_process_and_its_task_runs_elsewhere(town: Town) -> None:
    town.coordinator(*SHORT)
    first = town.worker()
    script = town.write("forking.py", FORKING)
    with town.client() as client:
        eventually(lambda: client.list_workers(), "the first worker is there")
        task = TaskSpec(task_id="forks", argv=("python3", str(script), "a b", "*"), cwd=str(town.folder),
                        files=(PathRequest("runs.jsonl"),))  # fmt: skip
        session, _ = client.submit_plan([task], create={"name": "forks"})
        eventually(lambda: (town.folder / "forked").exists(), "the task has forked and called setsid")
        eventually(lambda: len(town.tasks_processes("forks")) >= 3, "there is something to leave behind")
        first_worker = client.list_workers()[0].worker_id
        town.worker()
        eventually(lambda: len(client.list_workers()) == 2, "the second worker is there")
        os.kill(first.pid, signal.SIGKILL)
        eventually(lambda: not town.tasks_processes("forks"), "no process of it is left")
        ended = client.wait_session(session.session_id, timeout_s=60)
        assert str(ended.status) == "completed"
        record = client.get_task(session.session_id, "forks")
    one, two = _runs(town)
    assert (one["argv"], one["cwd"]) == (two["argv"], two["cwd"]) == (["a b", "*"], str(town.folder))
    assert (one["BR_ATTEMPT"], two["BR_ATTEMPT"]) == ("1", "2")
    assert [str(one.outcome) for one in record.attempts] == ["lost", "succeeded"]
    assert record.attempts[0].worker_id == first_worker != record.attempts[1].worker_id
    assert [file.path for file in record.spec.files] == ["runs.jsonl"]


def test_a_worker_stopped_past_its_lease_does_nothing_twice_to_the_record(town: Town) -> None:
    town.coordinator(*SHORT)
    stopped = town.worker("--slots", "1")
    line = "echo $BR_ATTEMPT >> tries; if [ $BR_ATTEMPT = 1 ]; then sleep 600; fi; echo $BR_ATTEMPT >> dones"
    with town.client() as client:
        eventually(lambda: client.list_workers(), "the worker is there")
        worker_id = client.list_workers()[0].worker_id
        task = TaskSpec(task_id="slow", shell_line=line, cwd=str(town.folder))
        session, _ = client.submit_plan([task], create={"name": "paused"})
        eventually(lambda: (town.folder / "tries").exists(), "the task runs")
        os.kill(stopped.pid, signal.SIGSTOP)
        eventually(lambda: str(client.get_worker(worker_id).status) == "offline", "its lease has run out")
        eventually(lambda: not town.tasks_processes("slow"), "its supervisor has ended the task")
        town.worker("--slots", "1")
        ended = client.wait_session(session.session_id, timeout_s=60)
        assert str(ended.status) == "completed"
        os.kill(stopped.pid, signal.SIGCONT)
        eventually(lambda: "stale report" in _log(town), "its late report was answered stale")
        eventually(lambda: str(client.get_worker(worker_id).status) == "idle", "it is back")
        record = client.get_task(session.session_id, "slow")
        assert [str(one.outcome) for one in record.attempts] == ["lost", "succeeded"]
        assert client.get_session(session.session_id).counts.succeeded == 1
    assert (town.folder / "tries").read_text().split() == ["1", "2"]
    assert (town.folder / "dones").read_text().split() == ["2"]


def _log(town: Town) -> str:
    return (town.state / "coordinator.log").read_text()
