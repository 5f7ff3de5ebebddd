"""Bad input and bad surroundings: one clear line, the documented exit code, nothing lost."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys

import pytest

from .conftest import Town, eventually

pytestmark = pytest.mark.e2e

GOOD = "name: good\ntasks:\n  - {id: a, run: echo hello}\n"


def _one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0], f"{word!r} is not in {lines[0]!r}"


def _change(town: Town, statement: str) -> None:
    database = sqlite3.connect(town.state / "state.db")
    with database:
        database.execute(statement)
    database.close()


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("tasks: [{id: a, run: echo}", ["plan.yaml:2", "YAML"]),
        ("tasks:\n  - {id: a, rum: echo}\n", ["plan.yaml:3", "tasks[0]", "rum", "run"]),
        (
            "tasks:\n  - {id: a, run: echo, needs: [b]}\n  - {id: b, run: echo, needs: [a]}\n",
            ["a", "b", "->"],
        ),
        ("tasks:\n  - {id: a, run: echo, needs: [ghost]}\n", ["needs", "ghost"]),
        ("tasks:\n  - {id: a, run: echo}\n  - {id: a, run: echo}\n", ["plan.yaml:4", "tasks[1].id", '"a"']),
        ("tasks:\n  - {id: a, argv: [no-such-program-here]}\n", ["no-such-program-here"]),
        ("tasks:\n  - {id: a, run: echo, cwd: not/there}\n", ["not/there"]),
        ("tasks: []\n", ["tasks"]),
        ("- just\n- a list\n", ["plan.yaml"]),
        ("tasks:\n  - {id: a, run: echo, timeout: soon}\n", ["timeout", "soon"]),
        ("tasks:\n  - {id: a, run: echo, files: src/app.py}\n", ["files", "list"]),
        ("tasks:\n  - {id: a, run: echo, files: [../outside]}\n", ["../outside"]),
    ],
)
def test_a_bad_plan_is_one_line_with_its_place_and_starts_nothing(
    town: Town, plan: str, words: list[str]
) -> None:
    town.write("plan.yaml", "name: bad\n" + plan if plan.startswith("tasks:") else plan)
    done = town.br("parallel", "start", "--plan", "plan.yaml", "--wait", check=1)
    _one_line(done, *words)
    assert town.json("parallel", "list")["sessions"] == []


def test_a_plan_that_is_not_there_is_one_line(town: Town) -> None:
    _one_line(town.br("parallel", "start", "--plan", "nowhere.yaml", check=None), "nowhere.yaml")


def test_a_refused_submission_loses_nothing_of_the_session(town: Town) -> None:
    session_id = town.json("parallel", "start", "kept", "-w", "0")["session"]["session_id"]
    town.br("parallel", "submit", session_id, "--id", "a", "--", "true")
    again = town.br("parallel", "submit", session_id, "--id", "a", "--", "true", check=1)
    _one_line(again, "'a'")
    unknown = town.br(
        "parallel", "submit", session_id, "--id", "b", "--needs", "ghost", "--", "true", check=1
    )
    _one_line(unknown, "ghost")
    assert [task["task_id"] for task in town.json("parallel", "tasks", session_id)["tasks"]] == ["a"]


def test_what_is_not_there_is_exit_code_4(town: Town) -> None:
    town.br("parallel", "start", "some", "-w", "0")
    for args in (
        ["status", "feedface"],
        ["pause", "feedface"],
        ["show", "last", "ghost"],
        ["logs", "last", "ghost"],
    ):
        done = town.br("parallel", *args, check=4)
        _one_line(done, args[-1])


def test_an_oversize_request_fails_cleanly_and_the_coordinator_lives(town: Town) -> None:
    session_id = town.json("parallel", "start", "some", "-w", "0")["session"]["session_id"]
    huge = town.write("huge.json", json.dumps({"tasks": [{"id": "x", "argv": ["true", "y" * 200_000]}]}))
    done = town.br("parallel", "start", "big", "--plan", str(huge), check=None)
    assert done.returncode in (1, 2)
    _one_line(done, "128 KiB")
    assert town.json("parallel", "status", session_id)["session"]["status"] == "running"


def test_a_second_coordinator_on_the_same_state_is_refused_by_name(town: Town) -> None:
    first = town.coordinator()
    second = town.spawn("buildrunner_coordinator", "--data", str(town.state))
    assert second.wait(60) == 75
    assert str(first.pid) in (town.folder / "spawned.log").read_text()
    assert town.coordinator_pid() == first.pid


def test_a_stale_socket_and_address_file_are_no_obstacle(town: Town) -> None:
    town.write("plan.yaml", GOOD)
    first = town.coordinator()
    first.kill()
    first.wait()
    assert (town.state / "coordinator.json").exists()
    done = town.br("parallel", "start", "--plan", "plan.yaml", "--wait")
    assert done.returncode == 0


def test_a_database_from_a_newer_version_is_refused_and_left_alone(town: Town) -> None:
    town.write("plan.yaml", GOOD)
    town.br("parallel", "start", "--plan", "plan.yaml", "--wait")
    town.br("parallel", "stop")
    _change(town, "PRAGMA user_version = 9999")
    before = (town.state / "state.db").read_bytes()
    coordinator = town.spawn("buildrunner_coordinator", "--data", str(town.state))
    assert coordinator.wait(60) == 78
    done = town.br("parallel", "list", check=3)
    _one_line(done, "newer")
    assert (town.state / "state.db").read_bytes() == before


def test_a_damaged_row_is_refused_by_name(town: Town) -> None:
    town.br("parallel", "start", "precious", "-w", "0")
    town.br("parallel", "stop")
    _change(town, "UPDATE sessions SET name = 'prexious'")
    done = town.br("parallel", "list", check=3)
    _one_line(done, "sessions", "backup")


def test_a_state_directory_that_cannot_be_made_is_one_line(town: Town) -> None:
    town.state.write_text("a file where the directory should be")
    done = town.br("parallel", "start", "x", check=None)
    assert done.returncode in (1, 3)
    _one_line(done, ".buildrunner")


def test_a_full_disk_ends_the_coordinator_without_a_false_word(town: Town) -> None:
    """The database may not grow beyond a small size: every session that was acknowledged is there after."""
    line = f'ulimit -f 2000; exec "$0" -m buildrunner_coordinator --data "{town.state}"'
    process = subprocess.Popen(
        ["sh", "-c", line, sys.executable],
        cwd=town.folder, env=town.env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(lambda: town.info_file().get("pid") == process.pid, "the coordinator is up")
    acknowledged = 0
    with town.client() as client, pytest.raises(Exception, match=r".+"):
        session = client.create_session("growing")
        while True:
            client.update_session(
                session.session_id, metadata={"n": acknowledged + 1, "ballast": "x" * 50_000}
            )
            acknowledged += 1
    assert process.wait(60) == 74
    assert acknowledged > 3
    town.coordinator()
    with town.client() as client:
        kept = client.list_sessions()[0].metadata["n"]
    assert kept >= acknowledged


def test_wrong_usage_is_exit_code_2(town: Town) -> None:
    town.write("plan.yaml", GOOD)
    for args in (
        ["start"],
        ["start", "x", "--plan", "plan.yaml", "--tasks", "3"],
        ["list", "--status", "sleeping"],
        ["wait", "last", "--timeout", "soon"],
        ["cancel", "last"],
        ["no-such-command"],
    ):
        assert town.br("parallel", *args, check=2).stderr


def test_readers_without_state_say_so_and_create_nothing(town: Town) -> None:
    for args in (["list"], ["status"], ["workers"], ["summary"], ["info"]):
        assert town.br("parallel", *args).stdout
    assert not town.state.exists()


def test_an_unreachable_coordinator_is_exit_code_3(town: Town) -> None:
    done = town.br("--coordinator", "unix:/nowhere/at/all.sock", "parallel", "list", check=3)
    _one_line(done, "/nowhere/at/all.sock")
