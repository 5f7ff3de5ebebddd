"""watch: the event stream as lines and as JSON; where to go on; words about the connection."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from buildrunner_parallel.errors import UnreachableError
from buildrunner_parallel.records import (
    EntityKind,
    LockHolder,
    PathLock,
    Pool,
    Removed,
    Session,
    SessionStatus,
    TaskStatus,
    TaskSummary,
    Worker,
)
from buildrunner_parallel.watch import WatchEvent


@pytest.fixture
def story(fake, events):
    """A task that is queued, runs and ends its session; a worker comes, a lock comes and goes."""
    session = Session("c0ffee01", "Demo", status=SessionStatus.RUNNING, open=True)
    task = TaskSummary("c0ffee01", "unit", submitted_at=events.at(-9))
    runs = replace(task, status=TaskStatus.RUNNING, attempt=1, worker_id="d4e5f6a7", started_at=events.at(-5))
    lock = PathLock("11", path="src/a.py", holder=LockHolder("c0ffee01", "Demo", "unit"), fence=7)
    ended = replace(runs, status=TaskStatus.FAILED, ended_at=events.at(-1), error="exit code 3")
    fake.sessions = [session]
    fake.events = [
        events.snapshot(session, task, revision=10),
        events.change(Worker("d4e5f6a7", host="box", pid=7), revision=11),
        events.change(runs, lock, revision=12),
        events.change(replace(session, status=SessionStatus.FAILED, open=False), ended, revision=14),
        events.change(Removed(EntityKind.LOCK, "11", "c0ffee01"), Pool(wanted=4), revision=15),
    ]
    return fake


def rows(result):
    return [line.split("\t") for line in result.stdout.splitlines()]


def test_in_a_pipe_each_event_is_a_line_with_its_revision(story, br):
    result = br("watch")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [row[:1] + row[2:6] for row in rows(result)] == [
        ["11", "worker", "d4e5f6a7", "", "up"],
        ["11", "task", "c0ffee01/unit", "queued", "running"],
        ["12", "lock", "src/a.py", "", "held"],
        ["12", "session", "c0ffee01", "running", "failed"],
        ["14", "task", "c0ffee01/unit", "running", "failed"],
        ["14", "lock", "src/a.py", "held", "released"],
        ["15", "pool", "all sessions", "", "4 wanted"],
    ]
    assert rows(result)[4][1] == "2026-11-23T11:59:59Z"
    assert rows(result)[4][6] == "4.0s, worker d4e5f6a7, exit code 3"


def test_going_on_from_any_line_leaves_nothing_out(story, br):
    """A line carries the revision of its commit only when it is that commit's last."""
    result = br("watch", "--json")
    told = [(d["revision"], [k for k in d if k in ("session", "task", "worker", "lock", "pool", "removed")])
            for d in map(json.loads, result.stdout.splitlines())]  # fmt: skip
    assert told == [
        (0, []), (0, ["session"]), (0, ["task"]), (10, []),
        (11, ["worker"]), (11, ["task"]), (12, ["lock"]), (12, ["session"]), (14, ["task"]),
        (14, ["removed"]), (15, ["pool"]),
    ]  # fmt: skip


def test_json_marks_the_snapshot_and_where_it_ends(story, br):
    documents = [json.loads(line) for line in br("watch", "--json").stdout.splitlines()]
    assert documents[0] == {"schema_version": 1, "revision": 0, "reset": True, "compacted": False}
    assert [document["snapshot"] for document in documents[1:]] == [True] * 3 + [False] * 7
    assert documents[3] == {"schema_version": 1, "revision": 10, "snapshot": True, "complete": True}
    assert documents[5]["task"]["status"] == "running"
    assert documents[9]["removed"] == {"kind": "lock", "id": "11", "session_id": "c0ffee01"}


def test_on_a_terminal_it_reads_as_a_sentence_and_narrow_ones_drop_the_details(story, terminal, monkeypatch):
    events = list(story.events)
    assert "11:59:59  task     c0ffee01/unit  running -> failed  4.0s  worker" not in terminal("watch").stdout
    story.events = list(events)
    wide = terminal("watch", columns=200).stdout
    assert "11:59:59  task     c0ffee01/unit  running -> failed  4.0s, worker d4e5f6a7, exit code 3" in wide
    story.events = events
    narrow = terminal("watch", columns=40).stdout
    assert "11:59:59  task  c0ffee01/unit  running -> failed\n" in narrow


def test_it_asks_for_one_session_some_kinds_and_what_came_behind_a_revision(story, br):
    br("watch", "c0ff", "--kind", "task", "-k", "lock", "--since", "9")
    options = {
        "session_ids": ("c0ffee01",),
        "kinds": ("task", "lock"),
        "since_revision": 9,
        "ended_tasks": True,
    }
    assert ("watch", options) in story.calls


def test_interrupted_it_says_where_to_go_on(story, br):
    story.events[3] = KeyboardInterrupt()
    result = br("watch", "c0ff", "-k", "task")
    assert result.exit_code == 130
    assert result.stderr == (
        "Interrupted. Go on from here with: br parallel watch c0ffee01 --kind=task --since 12\n"
    )


def test_a_coordinator_that_goes_and_comes_back_is_told_on_standard_error(story, br):
    story.events[2:2] = [WatchEvent(connection="lost"), WatchEvent(connection="back")]
    result = br("watch")
    assert result.stderr == "The coordinator is away; waiting for it\nThe coordinator is back\n"
    assert len(rows(result)) == 7


def test_after_missed_changes_what_differs_is_told(story, br, events):
    session = story.sessions[0]
    late = TaskSummary("c0ffee01", "unit", TaskStatus.SUCCEEDED, attempt=1)
    story.events = [
        story.events[0], story.events[1],
        WatchEvent(connection="lost"), WatchEvent(connection="back"),
        events.snapshot(session, late, revision=30),
    ]  # fmt: skip
    result = br("watch", "c0ff")
    assert "Changes were missed" in result.stderr
    assert [row[:1] + row[2:6] for row in rows(result)[1:]] == [
        ["0", "task", "c0ffee01/unit", "queued", "succeeded"],
        ["30", "worker", "d4e5f6a7", "up", "gone"],
    ]


def test_a_revision_that_is_not_kept_any_more_is_said(story, br):
    result = br("watch", "--since", "3")
    assert result.stderr == "The changes behind revision 3 are not kept any more: going on from now\n"


def test_a_coordinator_that_stays_away_is_3(story, br):
    story.events[2:] = [WatchEvent(connection="lost"), UnreachableError("the coordinator went away")]
    result = br("watch")
    assert result.exit_code == 3
    assert result.stderr.splitlines()[1:] == ["the coordinator went away"]


def test_where_nothing_was_ever_started_there_is_nothing_to_watch(fake, br):
    fake.has_state = False
    result = br("watch")
    assert (result.exit_code, result.stdout, fake.started) == (0, "No sessions\n", False)
    assert br("watch", "a3f2").exit_code == 4


def test_hostile_names_stay_on_their_line(fake, br, events):
    nasty = TaskSummary("c0ffee01", "a\tb\n\x1b[2Jc", TaskStatus.RUNNING)
    fake.events = [events.snapshot(), events.change(nasty)]
    result = br("watch")
    assert len(result.stdout.splitlines()) == 1
    assert len(rows(result)[0]) == 6
    assert "\x1b" not in result.stdout
