"""Every way to end: the exit code, one line on standard error, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from buildrunner_parallel.cli import exit_codes
from buildrunner_parallel.errors import (
    AmbiguousIdError,
    AuthenticationError,
    BuildRunnerError,
    CoordinatorStartError,
    DeadlineError,
    DeadlockError,
    InvalidRequestError,
    LimitError,
    LockConflictError,
    NotFoundError,
    UnreachableError,
    UnsupportedError,
    WrongStateError,
)
from buildrunner_parallel.records import Session, SessionStatus, Task, TaskSpec, TaskStatus, TaskSummary


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BuildRunnerError("no"), 1),
        (InvalidRequestError("no"), 1),
        (WrongStateError("no"), 1),
        (LimitError("no"), 1),
        (UnsupportedError("no"), 1),
        (UnreachableError("no"), 3),
        (AuthenticationError("no"), 3),
        (CoordinatorStartError("no"), 3),
        (NotFoundError("no"), 4),
        (AmbiguousIdError("no"), 4),
        (LockConflictError("no"), 5),
        (DeadlockError("no"), 5),
        (DeadlineError("no"), 124),
        (OSError(28, "No space left on device", "/full"), 1),
        (ZeroDivisionError("bug"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_error_has_its_exit_code_and_one_line(build, br, error, code):
    build.failing["list_sessions"] = error
    result = br("list")
    assert result.exit_code == code
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.output
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("status", "code"),
    [(SessionStatus.COMPLETED, 0), (SessionStatus.FAILED, 6), (SessionStatus.CANCELLED, 7)],
)
def test_wait_ends_as_the_session_did(fake, br, status, code):
    fake.sessions = [Session("a3f2e1d9", "Build", status=status)]
    assert br("wait", "a3f2").exit_code == code


@pytest.mark.parametrize(
    ("status", "code"),
    [(TaskStatus.SUCCEEDED, 0), (TaskStatus.FAILED, 6), (TaskStatus.SKIPPED, 6), (TaskStatus.CANCELLED, 7)],
)
def test_wait_ends_as_the_task_did(build, br, status, code):
    summary = TaskSummary("a3f2e1d9", "t", status, error="exit code 3" if code == 6 else "")
    build.full_tasks["t"] = Task(summary, TaskSpec(task_id="t"))
    result = br("wait", "last", "t")
    assert result.exit_code == code
    assert result.stderr == ("t: exit code 3\n" if code == 6 else "")


def test_a_wait_that_runs_out_of_time_is_124(build, br):
    result = br("wait", "last", "--timeout", "90s")
    assert result.exit_code == 124
    assert ("wait_session", "a3f2e1d9", {"timeout_s": 90.0}) in build.calls


def test_what_failed_is_said_after_a_wait(build, br):
    build.sessions[0] = replace(build.sessions[0], status=SessionStatus.FAILED)
    result = br("wait", "last")
    assert (result.exit_code, result.stderr) == (6, "unit: exit code 1: 3 failed, 40 passed\n")


def test_an_interrupted_start_says_how_to_find_out_whether_it_had_begun(fake, br):
    fake.failing["create_session"] = KeyboardInterrupt()
    result = br("start", "x")
    assert result.exit_code == 130
    assert result.stderr == "Interrupted. Whether it had begun is shown by: br parallel list\n"


def test_an_interrupted_wait_says_how_to_come_back(build, br):
    build.failing["wait_session"] = KeyboardInterrupt()
    result = br("wait", "last")
    assert result.exit_code == 130
    assert result.stderr == ("Interrupted. The session goes on; come back with: br parallel wait a3f2e1d9\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["lost"],
        ["list", "--nonsense"],
        ["list", "--limit", "0"],
        ["list", "--status", "sleeping"],
        ["pause"],
        ["pause", "a3f2", "--all"],
        ["cancel", "a3f2"],
        ["start"],
        ["start", "x", "--plan", "p.yaml", "--tasks", "3"],
        ["start", "x", "--on-failure", "explode"],
        ["start", "x", "--workers", "-1"],
        ["submit", "a3f2"],
        ["submit", "a3f2", "--handler", "h", "--", "ls"],
        ["submit", "a3f2", "--payload", "f", "--", "ls"],
        ["submit", "a3f2", "--env", "novalue", "--", "ls"],
        ["submit", "a3f2", "--timeout", "soon", "--", "ls"],
        ["wait", "a3f2", "--timeout", "soon"],
        ["logs", "a3f2", "--tail", "3"],
        ["show", "a3f2"],
    ],
)
def test_wrong_usage_is_2_and_changes_nothing(build, br, arguments):
    result = br(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    changes = {"pause_session", "cancel_session", "create_session", "submit_plan", "submit_tasks"}
    assert not [call for call in build.calls if call[0] in changes]


def test_a_bug_of_ours_shows_its_traceback_only_when_asked(build, br, monkeypatch):
    build.failing["list_sessions"] = ZeroDivisionError("bug")
    assert br("list").stderr.startswith("Internal error, ZeroDivisionError: bug")
    monkeypatch.setenv("BR_DEBUG", "1")
    assert isinstance(br("list").exception, ZeroDivisionError)


def test_a_coordinator_that_does_not_start_shows_the_end_of_its_log(build, br):
    build.failing["list_sessions"] = CoordinatorStartError("It ended at once.", log_tail="one\ntwo\x1b[2J\n")
    result = br("list")
    assert result.stderr == "It ended at once.\n  one\n  two␛[2J\n"


def test_a_reason_that_comes_from_the_log_stands_alone(build, br):
    message = "the local coordinator could not be started: state.db was written by a newer version"
    log = 'coordinator.log: {"message": "state.db was written by a newer version"}'
    build.failing["list_sessions"] = CoordinatorStartError(message, log_tail=log)
    assert br("list").stderr == message + "\n"


def test_candidates_of_an_ambiguous_id_are_named(build, br):
    build.failing["get_session"] = AmbiguousIdError("Several fit a3f2.", candidates=["a3f2e1d9", "a3f2ffff"])
    result = br("status", "a3f2")
    assert (result.exit_code, result.stderr) == (
        4, "Several fit a3f2.\nIt could be: a3f2e1d9, a3f2ffff\n",
    )  # fmt: skip


def test_the_codes_stand_in_the_help(br):
    text = " ".join(br("--help").stdout.split())
    for code, meaning in exit_codes.MEANINGS.items():
        assert f"{code} {meaning}" in text


def test_a_closed_pipe_is_silent():
    script = (
        "import sys; from buildrunner_parallel.cli import command, invocation\n"
        "def flood():\n    while True: sys.stdout.write('x' * 4096 + '\\n')\n"
        "run = invocation.Invocation(invocation.Settings())\n"
        "import typer\n"
        "try: command.guarded(run, flood)\n"
        "except typer.Exit as end: sys.exit(end.exit_code)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": pythonpath()},
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def pythonpath() -> str:
    return ":".join(sys.path)
