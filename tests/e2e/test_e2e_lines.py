"""Tasks from lines, for real: work starts while lines still come, and what is left when they end badly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .conftest import Town, eventually

pytestmark = pytest.mark.e2e

Feed = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def feed(town: Town) -> Iterator[Feed]:
    """Starts `br parallel ...` with standard input in a pipe that stays open."""
    fed: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "buildrunner_parallel.cli", "parallel", *arguments],
            cwd=town.folder, env=town.env, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        fed.append(process)
        return process

    yield start
    for process in fed:
        process.kill()
        process.communicate()


def write(process: subprocess.Popen[bytes], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode() + b"\n")


def first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode()


def states(town: Town) -> dict[str, str]:
    tasks: list[dict[str, Any]] = town.json("parallel", "tasks", "last")["tasks"]
    return {task["task_id"]: task["status"] for task in tasks}


def test_work_starts_while_lines_still_come_and_the_last_one_ends_the_session(town: Town, feed: Feed) -> None:
    process = feed("start", "slow producer", "-w", "1", "--commands", "-", "--wait")
    assert "(slow producer) is running: tasks from standard input, 1 worker" in first_line(process)
    write(process, "echo one > seen")
    eventually(lambda: (town.folder / "seen").exists(), "the first line has run, and there is no second yet")
    write(process, "cat seen; echo two; exit 4")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 6
    assert b"failed: 1 succeeded, 1 failed" in out
    assert b"2: two" in err or b"2: exit code 4" in err
    assert town.br("parallel", "logs", "last", "2").stdout == "one\ntwo\n"


def test_each_argument_is_one_word_and_locks_its_own_file(town: Town) -> None:
    names = ["a b", "$(touch pwned)", "it's", "ä"]
    for name in names:
        town.write(name, name)
    done = town.br(
        "parallel", "start", "-0", "-w", "2", "--args", "-", "--file", "{}", "--env", "N={#}", "--wait",
        "--", "sh", "-c", 'cat "$1"; printf " %s" "$N"', "_", "{}", input_text="\0".join(names),
    )  # fmt: skip
    assert "(sh) completed: 4 succeeded" in done.stdout
    for number, name in enumerate(names, start=1):
        assert town.br("parallel", "logs", "last", str(number)).stdout == f"{name} {number}"
        task = town.json("parallel", "show", "last", str(number))["task"]
        assert [file["path"] for file in task["spec"]["files"]] == [name]
    assert not (town.folder / "pwned").exists()


def test_an_interrupted_submission_leaves_a_session_that_can_be_gone_on_with(town: Town, feed: Feed) -> None:
    process = feed("start", "cut", "-w", "1", "--commands", "-")
    first_line(process)
    write(process, "true")
    eventually(lambda: states(town).get("1") == "succeeded", "the line has run")
    process.send_signal(signal.SIGINT)
    # Its standard input stays open until it is gone: at an end of the lines it would seal the session.
    assert process.wait(60) == 130
    _, err = process.communicate()
    assert err.startswith(b"Interrupted. 1 task was submitted to session ")
    assert b"which stays open for more" in err
    session_id = town.json("parallel", "status")["session"]["session_id"]
    added = town.br("parallel", "submit", session_id, "--commands", "-", input_text="echo more\n# no\ntrue\n")
    assert added.stdout == f"2 tasks submitted to session {session_id}\n"
    town.br("parallel", "close", session_id)
    town.br("parallel", "wait", session_id, "--timeout", "60s")
    assert states(town) == {"1": "succeeded", "2": "succeeded", "3": "succeeded"}


def test_a_stream_that_turns_bad_ends_the_wait_and_says_what_was_submitted(town: Town, feed: Feed) -> None:
    process = feed("start", "bad", "-w", "1", "--commands", "-", "--wait")
    first_line(process)
    write(process, "true")
    eventually(lambda: states(town).get("1") == "succeeded", "the line has run")
    assert process.stdin is not None
    process.stdin.write(b"\xff\n")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith(b"standard input:2: expected UTF-8, found the byte 0xff. 1 task was submitted")
    assert len(err.splitlines()) == 1


def test_a_session_cancelled_meanwhile_ends_its_producer(town: Town, feed: Feed) -> None:
    process = feed("start", "gone", "-w", "1", "--commands", "-", "--wait")
    first_line(process)
    write(process, "sleep 60")
    eventually(lambda: states(town).get("1") == "running", "the line runs")
    town.br("parallel", "cancel", town.json("parallel", "status")["session"]["session_id"], "--force")
    assert process.wait(60) == 7


def test_a_coordinator_that_dies_meanwhile_loses_no_line_and_repeats_none(town: Town, feed: Feed) -> None:
    process = feed("start", "killed", "-w", "2", "--commands", "-", "--wait")
    first_line(process)
    for number in range(1, 61):
        write(process, f"echo {number} >> ran")
        if number == 30:
            eventually(lambda: states(town).get("1") == "succeeded", "the first line has run")
            os.kill(town.coordinator_pid(), signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert states(town) == {str(number): "succeeded" for number in range(1, 61)}
    assert {int(number) for number in (town.folder / "ran").read_text().split()} == set(range(1, 61))


def test_thousands_of_lines_and_none_at_all(town: Town) -> None:
    town.write("jobs", "true\n" * 2500)
    done = town.br("parallel", "start", "--commands", "jobs", "-w", "0", "--json")
    session = json.loads(done.stdout)["session"]
    assert (session["counts"]["total"], session["open"], session["total_tasks"]) == (2500, False, 2500)
    town.br("parallel", "cancel", session["session_id"], "--force")
    empty = town.json("parallel", "start", "--commands", "-", "--wait")["session"]
    assert (empty["status"], empty["total_tasks"]) == ("completed", 0)
