"""submit: every option arrives; what cannot run is refused here."""

from __future__ import annotations

import json

import pytest

from buildrunner_parallel.records import TaskStatus, TaskSummary
from buildrunner_parallel.specs import PathRequest


def submitted(fake):
    (call,) = [call for call in fake.calls if call[0] == "submit_tasks"]
    return call[2]


def test_every_option_arrives(build, br, tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_KEY", "k")
    monkeypatch.setenv("BR_TOKEN", "never")
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.c").write_text("")
    result = br(
        "submit",
        "a3f2",
        "--id",
        "t",
        "--needs",
        "lint",
        "--needs",
        "docs",
        "--file",
        "a.c",
        "--file",
        "sub:shared",
        "--env",
        "A=1=2",
        "--env",
        "B=",
        "--cwd",
        "sub",
        "--timeout",
        "5m",
        "--grace",
        "20s",
        "--retries",
        "2",
        "--priority",
        "-5",
        "--label",
        "linux",
        "--slots",
        "2",
        "--worker",
        "d4e5",
        "--pass-env",
        "ANTHROPIC_*",
        "--pass-env",
        "BR_*",
        "--",
        "sh",
        "-c",
        "echo --json",
    )
    assert result.stdout == "Task t submitted to session a3f2e1d9 (queued, timeout 5m00s)\n"
    (spec,) = submitted(build)
    assert (spec.task_id, spec.argv, spec.needs) == ("t", ("sh", "-c", "echo --json"), ("lint", "docs"))
    assert spec.files == (PathRequest("a.c", "exclusive", "file"), PathRequest("sub", "shared", "tree"))
    assert (spec.env, spec.passed_env) == ({"A": "1=2", "B": ""}, {"ANTHROPIC_KEY": "k"})
    assert (spec.worktree, spec.cwd, spec.timeout_s, spec.grace_s) == (str(tmp_path), "sub", 300.0, 20.0)
    assert (spec.retries, spec.priority, spec.labels, spec.slots, spec.worker_id) == (
        2,
        -5,
        ("linux",),
        2,
        "d4e5",
    )


def test_a_task_that_can_never_run_was_submitted_without_a_word_of_why(build, br):
    skipped = TaskSummary("a3f2e1d9", "t", TaskStatus.SKIPPED, error="needs unit, which did not succeed")
    build.submit_tasks = lambda *_, **__: [skipped]
    assert br("submit", "a3f2", "--id", "t", "--needs", "unit", "--", "true").stdout == (
        "Task t submitted to session a3f2e1d9 (skipped: needs unit, which did not succeed)\n"
    )


def test_a_handler_gets_its_payload(build, br, tmp_path):
    (tmp_path / "in.json").write_text('{"a": 1}')
    assert br("submit", "a3f2", "--handler", "h", "--payload", "in.json").exit_code == 0
    (spec,) = submitted(build)
    assert (spec.handler, spec.payload.data, spec.payload.content_type) == (
        "h",
        b'{"a": 1}',
        "application/json",
    )
    assert spec.argv == ()


def test_a_plan_adds_many_and_does_not_seal(build, br, tmp_path):
    (tmp_path / "more.yaml").write_text("tasks: [{id: a, run: x}, {id: b, run: y}]")
    assert br("submit", "a3f2", "--plan", "more.yaml").stdout == "2 tasks submitted to session a3f2e1d9\n"
    (call,) = [call for call in build.calls if call[0] == "submit_plan"]
    assert call[2] == {"session_id": "a3f2"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--", "no-such-program-here"], 'Expected a program, found the text "no-such-program-here"'),
        (["--cwd", "gone", "--", "sh"], 'Expected a directory, found the text "gone"'),
        (["--file", "/etc/passwd", "--", "sh"], "outside the repository"),
        (["--payload", "gone.json", "--handler", "h"], "gone.json cannot be used: No such file or directory"),
    ],
)
def test_what_cannot_run_is_refused_before_it_is_submitted(build, br, arguments, told):
    result = br("submit", "a3f2", *arguments)
    assert result.exit_code == 1
    assert told in result.stderr
    assert not [call for call in build.calls if call[0] == "submit_tasks"]


def test_programs_of_another_machine_are_not_looked_for(build, br):
    assert br("submit", "a3f2", "--coordinator", "build.example:7000", "--", "only-there").exit_code == 0


def test_json_and_quiet(build, br):
    assert json.loads(br("submit", "a3f2", "--json", "--", "sh").stdout)["task"]["task_id"] == "made-up"
    assert br("submit", "a3f2", "--quiet", "--", "sh").stdout == "made-up\n"
