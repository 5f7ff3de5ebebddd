"""A session that goes wrong in several ways, as people look at it and mend it, with the real program."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys

import pytest

from .conftest import Town

pytestmark = pytest.mark.e2e

PLAN = r"""
name: mixed
workers: 2
tasks:
  - {id: good, run: "printf '{\"answer\": 42}' > $BR_RESULT_FILE"}
  - {id: flaky, run: "echo try $BR_ATTEMPT; echo bad $BR_ATTEMPT >&2; test -e mended", retries: 1}
  - {id: after, run: echo after, needs: [flaky]}
  - {id: killed, run: "test -e mended || kill -9 $$"}
  - {id: odd, argv: [printf, "a\tb\nc"]}
"""
# How GNU parallel reads the lines of its own file when it resumes.
GNU = re.compile(r"^(\d+)(?:\t[^\t]+){5}\t(\d+)\t(\d+)\t(.+)$")


@pytest.fixture
def mixed(town: Town) -> Town:
    """The session has failed: one task with retries, one by a signal, one skipped."""
    town.write("plan.yaml", PLAN)
    town.br("parallel", "start", "--plan", "plan.yaml", "--wait", check=6)
    return town


def joblog(town: Town) -> list[tuple[int, int, int, str]]:
    lines = town.br("parallel", "joblog", "last").stdout.splitlines()
    assert lines[0].split("\t")[0] == "Seq"
    matches = [GNU.match(line) for line in lines[1:]]
    assert all(matches), lines
    return [(int(m[1]), int(m[2]), int(m[3]), m[4]) for m in matches if m]


def test_a_failed_session_is_read_mended_and_read_again(mixed: Town) -> None:
    first = joblog(mixed)
    assert sorted(number for number, *_ in first) == [1, 2, 2, 4, 5]
    assert {(code, signal) for number, code, signal, _ in first if number == 2} == {(1, 0)}
    assert [(code, signal) for number, code, signal, _ in first if number == 4] == [(0, 9)]
    assert [command for number, *_, command in first if number == 5] == [r"printf $'a\tb\nc'"]

    told = mixed.br("parallel", "explain", "last", "after").stdout
    assert "was skipped" in told
    assert "needs flaky" in told

    mixed.write("mended", "")
    ended = mixed.br("parallel", "retry", "last", "--wait")
    assert "3 tasks run again (2 failed, 1 skipped); its 2 workers come back" in ended.stdout
    again = joblog(mixed)
    assert again[: len(first)] == first
    assert sorted((number, code, signal) for number, code, signal, _ in again[len(first) :]) == [
        (2, 0, 0), (3, 0, 0), (4, 0, 0),
    ]  # fmt: skip
    assert "nothing of session" in mixed.br("parallel", "retry", "last").stdout


def test_story_and_output_are_kept_for_each_attempt(mixed: Town) -> None:
    events = mixed.json("parallel", "story", "last", "flaky")["events"]
    kinds = [event["kind"] for event in events]
    assert kinds[0] == "submitted"
    assert (kinds.count("started"), kinds.count("ended")) == (2, 2)
    revisions = [event["revision"] for event in events]
    assert revisions == sorted(revisions)
    assert all(event["message"] for event in events)
    worker_id = mixed.json("parallel", "show", "last", "flaky")["task"]["attempts"][0]["worker_id"]
    assert "Registered" in mixed.br("parallel", "story", worker_id).stdout

    def logs(*options: str) -> str:
        return str(mixed.br("parallel", "logs", "last", "flaky", *options).stdout)

    assert logs("--attempt", "1", "--stdout") == "try 1\n"
    assert logs("--attempt", "1", "--stderr") == "bad 1\n"
    assert logs("--stdout") == "try 2\n"
    assert sorted(logs("--tag").splitlines()) == ["flaky\tbad 2", "flaky\ttry 2"]
    assert logs("--stdout", "--tail", "1", "-f") == "try 2\n"
    assert mixed.br("parallel", "show", "last", "good", "--result").stdout == '{"answer": 42}'


def test_cleanup_deletes_what_is_over_and_nothing_else(mixed: Town) -> None:
    mixed.br("parallel", "start", "open one", "-w", "0")
    assert mixed.json("parallel", "cleanup", "-y")["sessions"] == []
    seen = mixed.json("parallel", "cleanup", "-d", "0", "--dry-run")["sessions"]
    assert [session["name"] for session in seen] == ["mixed"]
    assert mixed.json("parallel", "cleanup", "-d", "0", "-y")["sessions"] == seen
    left = mixed.json("parallel", "list")["sessions"]
    assert [session["name"] for session in left] == ["open one"]
    gone = mixed.br("parallel", "logs", seen[0]["session_id"], "odd", check=4)
    assert len(gone.stderr.splitlines()) == 1


def test_what_waits_is_explained_along_the_chain(town: Town) -> None:
    town.write("gate.yaml", "name: gate\nworkers: 1\ntasks:\n"
               "  - {id: hold, run: 'until test -e open; do sleep 0.05; done'}\n"
               "  - {id: next, run: 'true', needs: [hold]}\n"
               "  - {id: last, run: 'true', needs: [next]}\n"
               "  - {id: rare, run: 'true', labels: [gpu]}\n")  # fmt: skip
    town.br("parallel", "start", "--plan", "gate.yaml")
    document = town.json("parallel", "explain", "last")
    by_kind = {reason["kind"]: reason["task_ids"] for reason in document["reasons"]}
    assert by_kind["no_worker"] == ["rare"]
    chain = town.br("parallel", "explain", "last", "last").stdout
    assert re.search(r"^- .*next", chain, re.MULTILINE)
    assert re.search(r"^  next: .*hold", chain, re.MULTILINE)
    assert re.search(r"^    hold: ", chain, re.MULTILINE)
    town.write("open", "")
    town.br("parallel", "cancel", "last", "--task", "rare")
    town.br("parallel", "wait", "last", check=None)


def test_a_pipe_gets_the_bytes_that_the_task_wrote(town: Town) -> None:
    script = "head -c 3000000 /dev/urandom > data; cat data"
    town.write("bytes.json", json.dumps({"name": "b", "workers": 1, "tasks": [{"id": "t", "run": script}]}))
    town.br("parallel", "start", "--plan", "bytes.json", "--wait")
    done = subprocess.run(
        [sys.executable, "-m", "buildrunner_parallel.cli", "parallel", "logs", "last", "t"],
        cwd=town.folder, env=town.env, capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    written = (town.folder / "data").read_bytes()
    assert hashlib.sha256(done.stdout).hexdigest() == hashlib.sha256(written).hexdigest()
