"""cleanup: what goes is shown and asked about; nothing else goes."""

from __future__ import annotations

import pytest

from buildrunner_parallel.cli import cleanup
from buildrunner_parallel.errors import WrongStateError

DAY_S = 86_400


def deletions(build):
    return [call[1] for call in build.calls if call[0] == "delete_sessions"]


@pytest.fixture
def asked(monkeypatch):
    """Somebody sits at the terminal."""
    monkeypatch.setattr(cleanup, "can_ask", lambda run: not run.settings.as_json)


def test_a_dry_run_shows_and_deletes_nothing(build, br):
    result = br("cleanup", "--dry-run")
    assert result.stdout.splitlines() == [
        "ID\tNAME\tSTATUS\tTASKS\tENDED",
        "b7c8d9e0\tDocs\tcompleted\t4\t118m ago",
        "Would delete 1 session; nothing was deleted",
    ]
    assert deletions(build) == [{"older_than_s": 7 * DAY_S, "dry_run": True}]


def test_what_was_shown_is_what_goes(build, br):
    result = br("cleanup", "--days", "30", "-y")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "Deleted 1 session, with all tasks and output"
    assert deletions(build)[1] == {"older_than_s": 30 * DAY_S, "session_ids": ["b7c8d9e0"]}


@pytest.mark.parametrize(("answer", "code", "deleted"), [("y\n", 0, 2), ("n\n", 1, 1), ("\n", 1, 1)])
def test_a_terminal_is_asked(build, br, asked, answer, code, deleted):
    result = br("cleanup", input=answer)
    assert result.exit_code == code
    assert "Delete 1 session?" in result.stderr
    assert len(deletions(build)) == deleted
    assert ("Left as it was" in result.stdout) == (code == 1)


def test_without_a_terminal_and_without_a_yes_it_is_wrong_usage(build, br):
    result = br("cleanup")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert not build.calls


def test_json_is_never_mixed_with_a_question(build, br, asked):
    assert br("cleanup", "--json").exit_code == 2


def test_json_tells_what_went(build, br_json):
    document = br_json("cleanup", "-y")
    assert [one["session_id"] for one in document["sessions"]] == ["b7c8d9e0"]
    assert document["dry_run"] is False
    assert br_json("cleanup", "--dry-run")["dry_run"] is True


@pytest.mark.parametrize(("days", "told"), [("7", "ended more than 7 days ago"), ("0", "is over")])
def test_nothing_to_delete_is_no_error(build, br, days, told):
    build.sessions = build.sessions[:1]
    result = br("cleanup", "-y", "-d", days)
    assert (result.exit_code, result.stdout) == (0, f"Nothing to delete: no session {told}\n")


def test_where_nothing_was_ever_started_there_is_nothing_to_delete(build, br, br_json):
    build.has_state = False
    assert br("cleanup", "-y").stdout.startswith("Nothing to delete")
    assert br_json("cleanup", "-y") == {"schema_version": 1, "sessions": [], "dry_run": False}
    assert not build.started


@pytest.mark.parametrize("days", ["-1", "x", "1.5", "99999999999"])
def test_days_are_a_whole_number(build, br, days):
    assert br("cleanup", "-y", "--days", days).exit_code == 2
    assert not build.calls


def test_a_refusal_is_one_line(build, br):
    build.failing["delete_sessions"] = WrongStateError("Session b7c8d9e0 (Docs) is running: cancel it first.")
    result = br("cleanup", "-y")
    assert (result.exit_code, result.stderr) == (1, "Session b7c8d9e0 (Docs) is running: cancel it first.\n")


def test_quiet_gives_the_ids_alone(build, br):
    assert br("cleanup", "-y", "--quiet").stdout == "b7c8d9e0\n"
