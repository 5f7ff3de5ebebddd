"""The main job, small and without a network: a plan from the command line to its end, and what it shows."""

from __future__ import annotations

import itertools
import json

import pytest

from .conftest import Town, eventually

pytestmark = pytest.mark.e2e

PLAN = """
name: small build
defaults: {timeout: 1m, env: {COLOUR: blue}}
tasks:
  - id: prepare
    run: mkdir -p out && echo "$COLOUR" > out/colour
  - id: part-{n}
    needs: [prepare]
    argv: [sh, -c, "cat out/colour; echo part {n}; sleep 0.2"]
    matrix: {n: [1, 2, 3]}
  - id: index-{n}
    needs: ["part-{n}"]
    files: [out/index.html]
    run: "old=$(cat out/index.html 2>/dev/null); sleep 0.3; echo \\"$old {n}\\" > out/index.html"
    matrix: {n: [1, 2, 3]}
  - id: check
    needs: ["index-*"]
    run: "test $(wc -w < out/index.html) = 3 && echo fine > $BR_RESULT_FILE"
"""


def test_a_plan_runs_to_its_end_and_says_what_happened(town: Town) -> None:
    town.write("plan.yaml", PLAN)
    done = town.br("parallel", "start", "--plan", "plan.yaml", "--workers", "3", "--watch")
    for word in ("small build", "prepare", "part-2", "check", "logs", "show"):
        assert word in done.stdout
    tasks = town.json("parallel", "tasks", "last")["tasks"]
    assert {task["status"] for task in tasks} == {"succeeded"}
    assert len(tasks) == 8
    assert town.br("parallel", "logs", "last", "part-2").stdout == "blue\npart 2\n"
    shown = town.json("parallel", "show", "last", "check")["task"]
    assert shown["attempts"][0]["result"]["text"] == "fine\n"
    assert town.json("parallel", "status", "last")["session"]["status"] == "completed"


def test_exclusive_tasks_never_run_at_once_and_the_wait_is_seen(town: Town) -> None:
    town.write("plan.yaml", PLAN)
    done = town.br("parallel", "start", "--plan", "plan.yaml", "--workers", "3", "--watch")
    assert "out/index.html" in done.stdout, "waiting for the lock is seen"
    rows = [
        task
        for task in town.json("parallel", "tasks", "last")["tasks"]
        if task["task_id"].startswith("index")
    ]
    spans = sorted((row["started_at"], row["ended_at"]) for row in rows)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans))


def test_a_failed_task_is_exit_code_6_with_its_last_words(town: Town) -> None:
    town.write("plan.json", json.dumps({"name": "bad", "tasks": [
        {"id": "good", "run": "true"},
        {"id": "bad", "run": "echo some context; echo the real reason >&2; exit 3"},
        {"id": "late", "run": "true", "needs": ["bad"]},
    ]}))  # fmt: skip
    done = town.br("parallel", "start", "--plan", "plan.json", "--workers", "1", "--wait", check=6)
    assert "the real reason" in done.stdout + done.stderr
    states = {task["task_id"]: task["status"] for task in town.json("parallel", "tasks", "last")["tasks"]}
    assert states == {"good": "succeeded", "bad": "failed", "late": "skipped"}
    assert town.json("parallel", "show", "last", "bad")["task"]["attempts"][0]["exit_code"] == 3


def test_a_session_is_driven_by_hand(town: Town) -> None:
    session_id = town.json("parallel", "start", "by hand", "--workers", "1")["session"]["session_id"]
    hello = ("--env", "WHO=world", "--", "sh", "-c", "echo hello $WHO")
    town.br("parallel", "submit", session_id, "--id", "one", *hello)
    town.br("parallel", "wait", session_id, "one", "--timeout", "30s")
    assert town.br("parallel", "logs", session_id, "one").stdout == "hello world\n"
    town.br("parallel", "pause", session_id)
    town.br("parallel", "submit", session_id, "--id", "two", "--", "true")
    assert town.br("parallel", "wait", session_id, "two", "--timeout", "1s", check=124)
    town.br("parallel", "resume", session_id)
    town.br("parallel", "wait", session_id, "two", "--timeout", "30s")
    town.br("parallel", "submit", session_id, "--id", "long", "--", "sleep", "600")
    eventually(lambda: town.tasks_processes("long"), "the long task runs")
    town.br("parallel", "cancel", session_id, "--task", "long")
    eventually(lambda: not town.tasks_processes("long"), "it is stopped")
    town.br("parallel", "close", session_id)
    town.br("parallel", "wait", session_id, "--timeout", "30s")
    eventually(lambda: not town.json("parallel", "workers")["workers"], "its worker has left")


def test_a_cancelled_session_stops_its_tasks_and_is_exit_code_7(town: Town) -> None:
    town.write("plan.json", json.dumps({"name": "long", "tasks": [{"id": "sleeps", "run": "sleep 600"}]}))
    town.br("parallel", "start", "--plan", "plan.json", "--workers", "1")
    eventually(lambda: town.tasks_processes("sleeps"), "it runs")
    town.br("parallel", "cancel", "last", "--force")
    town.br("parallel", "wait", "last", "--timeout", "30s", check=7)
    assert not town.tasks_processes("sleeps")


def test_backup_is_a_database_that_a_new_coordinator_serves(town: Town) -> None:
    town.write("plan.yaml", PLAN)
    town.br("parallel", "start", "--plan", "plan.yaml", "--workers", "3", "--wait")
    town.br("parallel", "backup", "copy.db")
    town.br("parallel", "stop")
    (town.folder / "copy.db").replace(town.state / "state.db")
    for leftover in ("state.db-wal", "state.db-shm"):
        (town.state / leftover).unlink(missing_ok=True)
    assert len(town.json("parallel", "tasks", "last")["tasks"]) == 8


def test_stop_leaves_nothing_running(town: Town) -> None:
    town.br("parallel", "start", "idle", "--workers", "2")
    eventually(lambda: len(town.json("parallel", "workers")["workers"]) == 2, "two workers are there")
    assert len(town.processes()) >= 4, "coordinator, keeper and two workers"
    town.br("parallel", "stop")
    eventually(lambda: not town.processes(), "nothing is left")
