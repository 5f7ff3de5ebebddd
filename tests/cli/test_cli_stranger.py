"""What a first user stumbled over: each test is named after what went wrong."""

from __future__ import annotations

import pytest

from buildrunner_parallel.records import (
    Attempt,
    Outcome,
    Payload,
    Session,
    SessionStatus,
    Task,
    TaskCounts,
    TaskExplanation,
    TaskStatus,
    TaskSummary,
    Wait,
    WaitKind,
)
from buildrunner_parallel.specs import TaskSpec

ID = "a3f2e1d9"
NOBODY = Wait(WaitKind.NO_WORKER, message="no connected worker runs commands and has label gpu")


@pytest.fixture
def stuck(fake):
    """A running session with one task that no worker can run, and one that succeeded."""
    session = Session(ID, "s", status=SessionStatus.RUNNING, counts=TaskCounts(queued=1, succeeded=1))
    summary = TaskSummary(ID, "t", TaskStatus.QUEUED, "true", 0)
    fake.sessions, fake.tasks = [session], [summary]
    fake.full_tasks["t"] = Task(summary, TaskSpec(task_id="t", argv=("true",), labels=("gpu",)))
    fake.explanations = [TaskExplanation("t", TaskStatus.QUEUED, (NOBODY,))]
    return fake


def finished(fake, **last):
    """A failed task whose only attempt is made of `last`."""
    summary = TaskSummary(ID, "t", TaskStatus.FAILED, "true", 1, "w", error="exit code 1")
    attempt = Attempt("x", number=1, outcome=Outcome.FAILED, **last)
    fake.sessions = [Session(ID, "s", status=SessionStatus.FAILED)]
    fake.full_tasks["t"] = Task(summary, TaskSpec(task_id="t", argv=("true",)), (attempt,))


@pytest.mark.parametrize("arguments", [["status", ID, "-v"], ["show", ID, "t"]])
def test_a_queued_task_said_nothing_of_why_it_does_not_run(stuck, br, arguments):
    assert NOBODY.message in br(*arguments).stdout


def test_an_empty_lock_path_locked_the_whole_repository(stuck, br):
    for given in ("", ":shared"):
        result = br("submit", ID, "--file", given, "--", "true")
        assert result.exit_code == 2
        assert "expected PATH or PATH:shared" in result.output
    assert "submit_tasks" not in {call[0] for call in stuck.calls}


def test_the_output_of_an_attempt_that_never_was_looked_like_an_empty_one(fake, br):
    finished(fake, error="exit code 1")
    result = br("logs", ID, "t", "--attempt", "9")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "no attempt 9" in result.stderr


def test_a_result_without_a_type_was_announced_and_not_shown(fake, br):
    finished(fake, result=Payload(b"three files\n"))
    assert "  three files" in br("show", ID, "t").stdout.splitlines()
    finished(fake, result=Payload(b"\x00\xff"))
    assert "result (application/octet-stream, 2 B), not text" in br("show", ID, "t").stdout


def test_the_error_of_an_only_attempt_was_told_twice(fake, br):
    finished(fake, error="exit code 1")
    assert br("show", ID, "t").stdout.count("exit code 1") == 1


def test_a_cancelled_session_of_no_tasks_ended_with_the_word_none(fake, br):
    fake.sessions = [Session(ID, "s", status=SessionStatus.CANCELLED)]
    assert br("wait", ID).stdout.rstrip().endswith("cancelled: no tasks")


def test_a_session_that_nobody_closes_did_not_say_how_to_end_it(fake, br):
    fake.sessions = [Session(ID, "s", status=SessionStatus.RUNNING, open=True)]
    assert "until: br parallel close a3f2e1d9" in br("status", "last").stdout


def test_one_worker_was_called_1_workers(fake, br):
    assert "0 tasks, 1 worker\n" in br("start", "one", "-w", "1").stdout


def test_a_task_of_a_cancelled_session_showed_a_bare_code(fake, br):
    fake.sessions = [Session(ID, "s", status=SessionStatus.CANCELLED)]
    fake.tasks = [TaskSummary(ID, "t", TaskStatus.CANCELLED, "true", 1, "w", error="SESSION_CANCELLED")]
    assert "its session was cancelled" in br("tasks", ID).stdout


def test_long_task_ids_cut_every_other_column_to_a_stump(fake, terminal):
    name = "compile-1-with-quite-a-long-task-name-to-see-what-is-cut"
    fake.sessions = [Session(ID, "s")]
    fake.tasks = [TaskSummary(ID, name, TaskStatus.FAILED, "true", 1, "3d2da109", error="exit code 1")]
    lines = terminal("tasks", ID).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "failed" in lines[1] and "3d2da109" in lines[1]
    assert all(word in lines[0] for word in ("Status", "Tries", "Took", "Worker"))
