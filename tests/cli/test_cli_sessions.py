"""Commands that change sessions, and those that have nothing to do."""

from __future__ import annotations

import json

import pytest

from buildrunner_parallel.records import ReportedProgress, Session, SessionStatus


def names(fake):
    return [call[0] for call in fake.calls]


def test_pause_resume_and_close_say_what_is_now(build, br):
    assert br("pause", "a3f2", "--now").stdout == "Session a3f2e1d9 (Build v3.1) is paused\n"
    assert ("pause_session", "a3f2e1d9", {"now": True}) in build.calls
    assert br("resume", "a3f2", "-w", "d4e5f6a7").stdout == "Session a3f2e1d9 (Build v3.1) is running\n"
    assert ("resume_session", "a3f2e1d9", {"worker_id": "d4e5f6a7"}) in build.calls
    assert br("close", "a3f2").stdout.startswith("Session a3f2e1d9 closed: no more tasks will come")


def test_what_is_so_already_is_said_and_fine(build, br):
    result = br("resume", "a3f2")
    assert (result.exit_code, result.stdout) == (0, "Session a3f2e1d9 (Build v3.1) is running already\n")
    assert "resume_session" not in names(build)


def test_the_worker_of_a_session_that_runs_already_was_taken_and_ignored(build, br):
    result = br("resume", "a3f2", "--worker", "d4e5")
    told = "Session a3f2e1d9 (Build v3.1) is running already; its worker is d4e5f6a7\n"
    assert (result.exit_code, result.stdout) == (0, told)
    assert ("resume_session", "a3f2e1d9", {"worker_id": "d4e5f6a7"}) in build.calls


def test_a_worker_that_is_not_there_is_refused_and_the_session_stays(build, br):
    result = br("resume", "a3f2", "--worker", "nobody")
    assert (result.exit_code, result.stderr) == (4, "No worker nobody.\n")
    assert "resume_session" not in names(build)


def test_resume_starts_a_session_that_was_only_created(build, br):
    build.sessions = [Session("a3f2e1d9", "New")]
    assert br("resume", "a3f2", "--worker", "e5f6").exit_code == 0
    assert build.sessions[0].status == SessionStatus.RUNNING


def test_what_a_program_reported_is_shown(build, br):
    reported = ReportedProgress(completed=3, failed=2, in_progress=1)
    build.sessions = [
        Session("a3f2e1d9", "Own", status=SessionStatus.RUNNING, declared_tasks=9, reported=reported)
    ]
    assert br("list").stdout.splitlines()[1].split("\t")[3:5] == ["5/9 (55%)", "2"]
    assert "reported\t3 completed, 2 failed, 1 in progress\n" in br("status").stdout
    build.sessions = [Session("a3f2e1d9", "Own", status=SessionStatus.RUNNING, declared_tasks=9)]
    assert br("list").stdout.splitlines()[1].split("\t")[3:] == ["0/9 (0%)"]
    assert "reported" not in br("status").stdout


def test_all_means_every_session_that_it_applies_to(build, br):
    build.sessions.append(Session("c1c1c1c1", "Third", status=SessionStatus.RUNNING))
    result = br("pause", "--all")
    assert result.stdout.splitlines() == [
        "Session a3f2e1d9 (Build v3.1) is paused", "Session c1c1c1c1 (Third) is paused",
    ]  # fmt: skip
    assert br("pause", "--all").stdout == "Nothing to do: no session that this applies to\n"


def test_cancel_without_a_terminal_needs_force(build, br):
    result = br("cancel", "a3f2")
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert names(build) == []
    assert br("cancel", "a3f2", "-f").stdout == "Session a3f2e1d9 (Build v3.1) is cancelled\n"


@pytest.mark.parametrize(("answer", "code", "cancelled"), [("y\n", 0, True), ("n\n", 1, False)])
def test_cancel_asks_on_a_terminal(build, br, monkeypatch, answer, code, cancelled):
    monkeypatch.setattr("buildrunner_parallel.cli.sessions.can_ask", lambda _: True)
    result = br("cancel", "a3f2", input=answer)
    assert result.exit_code == code
    assert ("cancel_session" in names(build)) is cancelled
    assert "a3f2e1d9 (Build v3.1): 2 tasks run now" in result.stderr
    assert "?" not in result.stdout


def test_a_cancel_under_way_is_told_as_such(build, br, monkeypatch):
    from dataclasses import replace

    monkeypatch.setattr(
        type(build), "cancel_session", lambda self, id_, reason: replace(self.sessions[0], cancelling=True)
    )
    assert br("cancel", "a3f2", "-f").stdout == (
        "Session a3f2e1d9 (Build v3.1) is being cancelled: 3 tasks to go, 2 are stopping\n"
    )


def test_cancel_of_one_task_does_not_ask(build, br):
    assert br("cancel", "a3f2", "--task", "docs").stdout == "Task docs of session a3f2e1d9 is cancelled\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list"], "No sessions\n"),
        (["list", "-s", "paused"], "No paused sessions\n"),
        (["status"], "No sessions\n"),
        (["tasks"], "No sessions\n"),
        (["info"], "No coordinator: nothing was started in this workspace yet\n"),
    ],
)
def test_without_any_state_readers_say_so_and_start_nothing(fake, br, arguments, told):
    fake.has_state = False
    result = br(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (0, told, "")
    assert not fake.started


@pytest.mark.parametrize("command", ["list", "status", "tasks"])
def test_without_any_session_readers_say_so(fake, br, br_json, command):
    """As after a cleanup of all that there was."""
    fake.sessions = []
    result = br(command)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "No sessions\n", "")
    assert not any(value for key, value in br_json(command).items() if key != "schema_version")
    if command != "list":
        assert br(command, "a3f2").exit_code == 4


def test_a_session_asked_for_by_id_is_not_found_without_state(fake, br):
    fake.has_state = False
    for arguments in (
        ["status", "a3f2"],
        ["tasks", "a3f2"],
        ["pause", "a3f2"],
        ["show", "a3f2", "t"],
        ["wait", "a3f2"],
    ):
        result = br(*arguments)
        assert result.exit_code == 4, arguments
        assert result.stderr == "There are no sessions here: nothing was started in this workspace yet.\n"


def test_filters_and_limits_go_to_the_coordinator(build, br):
    assert "b7c8d9e0" not in br("list", "-s", "running", "-l", "5").stdout
    assert ("list_sessions", {"statuses": (SessionStatus.RUNNING,), "limit": 5}) in build.calls
    assert br("tasks", "-s", "failed").stdout.splitlines()[1].startswith("unit\tfailed")
    assert "e5f6a7b8" in br("workers", "-s", "busy").stdout


def test_options_name_the_coordinator_before_or_after_the_command(build, br, tmp_path):
    br("--coordinator", "unix:/a", "list")
    assert build.settings.coordinator == "unix:/a"
    br("list", "--coordinator", "unix:/b", "--token-file", tmp_path / "token")
    assert (build.settings.coordinator, build.settings.token_file) == ("unix:/b", tmp_path / "token")


def test_verbose_status_shows_locks_and_what_waits(build, br, events):
    from buildrunner_parallel.records import (
        LockHolder,
        LockListing,
        PathLock,
        TaskStatus,
        TaskSummary,
        Wait,
        WaitKind,
    )

    holder = LockHolder("a3f2e1d9", "Build v3.1", "docs")
    lock = PathLock("l1", path="index.html", holder=holder, fence=7, acquired_at=events.at(-5))
    other = PathLock("l2", path="src", holder=LockHolder("ffffffff"))
    build.listing = LockListing((lock, other))
    wait = Wait(WaitKind.LOCKS, names=("index.html",), holders=(holder,))
    build.tasks.append(TaskSummary("a3f2e1d9", "index-2", TaskStatus.QUEUED, wait=wait))
    lines = br("status", "a3f2", "-v").stdout.splitlines()
    assert "index.html\texclusive\tdocs\t7\t5s ago" in lines
    assert "index-2\tlocks: index.html held by docs" in lines
    assert not [line for line in lines if line.startswith("src")]
    document = json.loads(br("status", "a3f2", "-v", "--json").stdout)
    assert [lock["path"] for lock in document["locks"]] == ["index.html"]
