"""start: sessions with and without a plan; bad plans submit nothing."""

from __future__ import annotations

import json

import pytest

from buildrunner_parallel.records import Session, SessionStatus, TaskCounts
from buildrunner_parallel.specs import FailurePolicy

PLAN = """
name: From plan
workers: 5
on_failure: finish-running:2
max_parallel: 4
tasks:
  - {id: one, run: "true", files: [res:db, src/], pass_env: ["MY_*"], cwd: sub, timeout: 90s}
  - {id: two, argv: [sh, -c, "true"], needs: [one]}
"""


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "src").mkdir()
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


def call(fake, name):
    (found,) = [call for call in fake.calls if call[0] == name]
    return found


def test_a_session_without_a_plan_is_open_for_tasks(fake, br):
    result = br("start", "Build v3.1", "--tasks", "50")
    assert result.stdout == "Session c0ffee01 (Build v3.1) is running: 50 tasks, 3 workers\n"
    assert call(fake, "create_session") == (
        "create_session", "Build v3.1", {"declared_tasks": 50, "wanted_workers": 3},
    )  # fmt: skip
    assert call(fake, "start_session")[1] == "c0ffee01"
    assert fake.started


def test_a_plan_is_submitted_whole_sealed_and_started(fake, br, plan, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "s")
    result = br("start", "--plan", plan)
    assert result.stdout == "Session c0ffee01 (From plan) is running: 2 tasks, 5 workers\n"
    _, specs, options = call(fake, "submit_plan")
    assert options == {
        "create": {"name": "From plan", "wanted_workers": 5, "on_failure": FailurePolicy("finish-running", 2),
                   "max_parallel": 4},
        "seal": True, "start": True,
    }  # fmt: skip
    one, two = specs
    assert (one.shell_line, one.cwd, one.timeout_s, one.passed_env) == (
        "true",
        "sub",
        90.0,
        {"MY_SECRET": "s"},
    )
    assert [(file.path, file.kind) for file in one.files] == [("res:db", "resource"), ("src", "tree")]
    assert (two.argv, two.needs) == (("sh", "-c", "true"), ("one",))


def test_the_command_line_wins_over_the_plan(fake, br, plan):
    br("start", "Mine", "--plan", plan, "-w", "0", "--on-failure", "stop-now", "--max-parallel", "1")
    create = call(fake, "submit_plan")[2]["create"]
    assert create == {
        "name": "Mine", "wanted_workers": 0, "on_failure": FailurePolicy("stop-now", 1), "max_parallel": 1,
    }  # fmt: skip


def test_a_plan_comes_from_standard_input_too(fake, br):
    result = br("start", "x", "--plan", "-", input="tasks: [{run: 'true'}]")
    assert result.exit_code == 0
    assert len(call(fake, "submit_plan")[1]) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tasks: [{id: a, run: x, needs: [b]}]", "plan.yaml:1: tasks[0].needs[0]: expected the id of a task"),
        ("tasks: [{argv: [no-such-program-here]}]", "which is not on PATH"),
        ("tasks: [{run: x, cwd: gone}]", "which is not there"),
        ("tasks: [", "plan.yaml:1: not valid YAML"),
    ],
)
def test_a_bad_plan_is_one_line_and_reaches_nobody(fake, br, tmp_path, text, told):
    (tmp_path / "plan.yaml").write_text(text)
    result = br("start", "x", "--plan", "plan.yaml")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert told in result.stderr
    assert (fake.calls, fake.started) == ([], False)


def test_a_lock_outside_the_repository_reaches_nobody(fake, br, tmp_path):
    (tmp_path / "plan.yaml").write_text("tasks: [{id: a, run: x, files: [../other]}]")
    result = br("start", "x", "--plan", "plan.yaml")
    assert result.exit_code == 1
    assert 'The task a wants to lock "../other", which is outside' in result.stderr
    assert not [c for c in fake.calls if c[0] == "submit_plan"]


def test_a_plan_without_a_name_needs_one_on_the_command_line(fake, br, tmp_path):
    (tmp_path / "plan.yaml").write_text("tasks: [{run: x}]")
    result = br("start", "--plan", "plan.yaml")
    assert result.exit_code == 2
    assert "name" in result.stderr


def test_json_and_quiet(fake, br, plan):
    document = json.loads(br("start", "--plan", plan, "--json").stdout)
    assert document["session"]["session_id"] == "c0ffee01"
    assert br("start", "--plan", plan, "--quiet").stdout == "c0ffee01\n"


def test_wait_ends_with_the_session(fake, br, monkeypatch):
    ended = Session("c0ffee01", "x", status=SessionStatus.FAILED, counts=TaskCounts(failed=1, succeeded=2))
    monkeypatch.setattr(type(fake), "wait_session", lambda self, *a, **k: ended)
    result = br("start", "x", "--wait")
    assert result.exit_code == 6
    assert result.stdout.splitlines()[1:] == ["Session c0ffee01 (x) failed: 2 succeeded, 1 failed"]


def test_on_a_terminal_it_says_what_to_do_next(fake, terminal):
    lines = terminal("start", "x", columns=100).stdout.splitlines()
    assert "Look at it:    br parallel status c0ffee01" in lines
    assert "Add a task:    br parallel submit c0ffee01 -- CMD ARGS" in lines


def test_hints_repeat_a_coordinator_that_was_named(fake, terminal):
    text = terminal("start", "x", "--coordinator", "127.0.0.1:7000", columns=100).stdout
    assert "br parallel wait c0ffee01 --coordinator 127.0.0.1:7000" in text
