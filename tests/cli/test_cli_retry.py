"""retry: what runs again is said, and nothing to do is no error."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildrunner_parallel.errors import NotFoundError, WrongStateError
from buildrunner_parallel.records import Session, SessionStatus, TaskCounts


@pytest.fixture
def failed(build):
    counts = TaskCounts(succeeded=6, failed=2, skipped=1)
    build.sessions[0] = replace(
        build.sessions[0], status=SessionStatus.FAILED, counts=counts, wanted_workers=3
    )
    return build


def test_all_that_failed_runs_again_and_the_workers_come_back(failed, br):
    result = br("retry", "last")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "Session a3f2e1d9 (Build v3.1): 3 tasks run again (2 failed, 1 skipped); its 3 workers come back\n"
    )
    assert ("retry_tasks", "a3f2e1d9", (), {}) in failed.calls


def test_named_tasks_are_told_by_name(failed, br):
    result = br("retry", "a3f2", "unit", "docs", "unit")
    assert ("retry_tasks", "a3f2e1d9", ("unit", "docs"), {}) in failed.calls
    assert "2 tasks run again (unit, docs); its 3 workers" in result.stdout


def test_what_was_skipped_because_of_a_named_task_is_counted(failed, br):
    failed.retry_tasks = lambda session_id, task_ids: (failed.get_session(session_id), 4)
    assert "4 tasks run again (unit, 3 skipped because of it)" in br("retry", "a3f2", "unit").stdout


def test_many_named_tasks_are_not_all_listed(failed, br):
    names = [f"t{number}" for number in range(12)]
    assert "(t0, t1, t2, t3, t4 and 7 more)" in br("retry", "last", *names).stdout


def test_a_terminal_is_told_how_to_wait(failed, terminal):
    assert "Wait for it:   br parallel wait a3f2e1d9" in terminal("retry", "last").stdout


def test_nothing_that_failed_is_no_error(build, br):
    result = br("retry", "b7c8")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "Nothing to run again: nothing of session b7c8d9e0 (Docs) failed\n"
    assert not [call for call in build.calls if call[0] == "retry_tasks"]


def test_a_session_that_runs_keeps_its_workers(build, br):
    """They are there: none comes back."""
    assert br("retry", "last").stdout == "Session a3f2e1d9 (Build v3.1): 1 task runs again (1 failed)\n"


def test_a_paused_session_says_how_it_goes_on(failed, br):
    paused = replace(failed.sessions[0], status=SessionStatus.PAUSED)
    failed.sessions[0] = paused
    failed.retry_tasks = lambda session_id, task_ids: (paused, 3)
    lines = br("retry", "last").stdout.splitlines()
    assert lines[1] == "The session is paused; let it go on with: br parallel resume a3f2e1d9"


def test_json_has_the_session_and_the_number(failed, br_json):
    document = br_json("retry", "last")
    assert (document["session"]["session_id"], document["retried_tasks"]) == ("a3f2e1d9", 3)
    assert br_json("retry", "b7c8")["retried_tasks"] == 0


def test_wait_ends_as_the_session_does(failed, br):
    ended = replace(failed.sessions[0], status=SessionStatus.COMPLETED, counts=TaskCounts(succeeded=9))
    failed.wait_session = lambda *_, **__: ended
    result = br("retry", "last", "--wait")
    assert result.exit_code == 0
    first, last = result.stdout.splitlines()
    assert "3 tasks run again" in first
    assert last == "Session a3f2e1d9 (Build v3.1) completed: 9 succeeded"


def test_wait_says_again_what_failed_again(failed, br):
    failed.wait_session = lambda *_, **__: replace(failed.sessions[0], status=SessionStatus.FAILED)
    result = br("retry", "last", "--wait")
    assert result.exit_code == 6
    assert "unit: exit code 1: 3 failed, 40 passed" in result.stderr


def test_an_interrupted_wait_leaves_it_running(failed, br):
    failed.failing["wait_session"] = KeyboardInterrupt()
    result = br("retry", "last", "--wait")
    assert result.exit_code == 130
    assert "come back with: br parallel wait a3f2e1d9" in result.stderr


def test_wait_in_json_is_one_document(failed, br):
    failed.wait_session = lambda *_, **__: replace(failed.sessions[0], status=SessionStatus.COMPLETED)
    result = br("retry", "last", "--wait", "--json")
    assert result.stdout.count("schema_version") == 1


def test_a_refusal_is_one_line(failed, br):
    failed.failing["retry_tasks"] = WrongStateError("Session a3f2e1d9 is ending: wait, then retry.")
    result = br("retry", "last")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Session a3f2e1d9 is ending: wait, then retry.\n"


def test_a_task_that_there_is_not_is_not_found(failed, br):
    """The refusal alone would say that it cannot run again, as of one that succeeded."""
    failed.failing["retry_tasks"] = WrongStateError("Task 'nope' cannot run again.")
    result = br("retry", "last", "nope")
    assert (result.exit_code, result.stderr) == (4, "No task nope in session a3f2e1d9.\n")
    assert br("retry", "last", "unit").exit_code == 1


def test_a_session_that_there_is_not_is_not_found(failed, br):
    failed.failing["get_session"] = NotFoundError("No session ffff.")
    assert br("retry", "ffff").exit_code == 4


def test_workers_of_its_own_are_not_promised_where_there_are_none(build, terminal):
    build.sessions = [Session("a3f2e1d9", "x", status=SessionStatus.FAILED, counts=TaskCounts(failed=1))]
    text = terminal("retry", "last", columns=200).stdout
    assert "come back" not in text
    assert "no workers of its own" in text
