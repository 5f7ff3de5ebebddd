"""story: what happened to a session, a task or a worker, in order, with times and revisions."""

from __future__ import annotations

import pytest

from buildrunner_parallel.errors import AmbiguousIdError, NotFoundError
from buildrunner_parallel.records import HistoryEvent, Worker


@pytest.fixture
def told(build, events):
    def event(seconds, revision, kind, message, **more):
        return HistoryEvent(revision, events.at(seconds), kind, "a3f2e1d9", message=message, **more)

    build.history = [
        event(-100, 41, "submitted", "Submitted", task_id="unit"),
        event(-99.75, 43, "assigned", "Attempt 1 was assigned to worker d4e5f6a7", task_id="unit", attempt=1),
        event(-60, 97, "lost", "Attempt 1 was lost: worker d4e5f6a7 went offline", task_id="unit", attempt=1),
    ]
    return build


def test_a_task_s_story_is_a_line_an_event(told, br):
    assert br("story", "last", "unit").stdout.splitlines() == [
        "TIME\tAFTER\tREVISION\tWHAT HAPPENED",
        "2026-11-23 11:58:20.000\t+0ms\t41\tSubmitted",
        "2026-11-23 11:58:20.250\t+250ms\t43\tAttempt 1 was assigned to worker d4e5f6a7",
        "2026-11-23 11:59:00.000\t+40s\t97\tAttempt 1 was lost: worker d4e5f6a7 went offline",
    ]
    assert told.calls[-1] == ("iter_history", "a3f2e1d9", "unit", {"limit": 1001})


def test_a_session_s_story_names_the_tasks(told, br):
    heading, first, *_ = br("story", "a3f2").stdout.splitlines()
    assert heading == "TIME\tAFTER\tREVISION\tTASK\tWHAT HAPPENED"
    assert first.split("\t")[3:] == ["unit", "Submitted"]


def test_a_worker_is_found_where_no_session_is(told, br):
    assert br("story", "d4e5").exit_code == 0
    assert told.calls[-1] == ("iter_history", "", "", {"worker_id": "d4e5f6a7", "limit": 1001})


def test_a_worker_that_is_gone_still_has_its_past(told, br):
    assert br("story", "dead1234").exit_code == 0
    assert told.calls[-1][-1]["worker_id"] == "dead1234"


def test_what_is_neither_session_nor_worker_is_not_found(told, br):
    told.failing["iter_history"] = NotFoundError("No worker dead1234.")
    result = br("story", "dead1234")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == (
        "There is no session and no worker 'dead1234'; `list` and `workers` show those there are.\n"
    )


def test_a_task_is_always_one_of_a_session(told, br):
    result = br("story", "d4e5", "unit")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "No session d4e5" in result.stderr


def test_an_id_that_is_both_is_ambiguous(told, br):
    told.workers.append(Worker("a3f2ffff"))
    result = br("story", "a3f2")
    assert result.exit_code == 4
    assert result.stderr == "'a3f2' is a session and a worker: a3f2e1d9, a3f2ffff.\n"


@pytest.mark.parametrize("call", ["get_session", "get_worker"])
def test_a_prefix_of_several_names_them(told, br, call):
    told.failing[call] = AmbiguousIdError("Several fit d4e5.", candidates=["d4e5aaaa", "d4e5bbbb"])
    result = br("story", "d4e5")
    assert (result.exit_code, result.stderr) == (4, "Several fit d4e5.\nIt could be: d4e5aaaa, d4e5bbbb\n")


def test_no_worker_is_looked_for_under_last(told, br):
    br("story", "last")
    assert not [call for call in told.calls if call[0] == "get_worker"]


def test_nothing_that_happened_is_said(build, br):
    result = br("story", "last")
    assert result.exit_code == 0
    assert result.stdout == "Nothing is known to have happened to session a3f2e1d9 (Build v3.1)\n"


def test_more_than_the_limit_is_said(told, terminal, br_json):
    text = terminal("story", "last", "-l", "2").stdout
    assert "and more: --limit 20" in text
    assert "was lost" not in text
    assert br_json("story", "last", "-l", "2")["more"] is True
    assert br_json("story", "last", "-l", "3")["more"] is False


def test_json_has_the_events(told, br_json):
    first = br_json("story", "last", "unit")["events"][0]
    assert first == {
        "revision": 41, "at": "2026-11-23T11:58:20Z", "kind": "submitted", "session_id": "a3f2e1d9",
        "task_id": "unit", "attempt": 0, "worker_id": "", "message": "Submitted",
    }  # fmt: skip


def test_a_kind_without_words_is_shown_by_its_name(build, br, events):
    build.history = [HistoryEvent(7, events.at(0), "from_the_future", "a3f2e1d9")]
    assert br("story", "last").stdout.splitlines()[1].endswith("\t7\tfrom the future")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_it_fits_its_terminal(told, terminal, columns):
    text = terminal("story", "last", "unit", columns=columns).stdout
    table = [line for line in text.splitlines() if not line.startswith("What happened to")]
    assert max(map(len, table)) <= columns
    assert "11:58:20.000" in text
    assert "offline" in text
