"""start --watch: one Watch call, lines in a pipe, a picture on a terminal, the summary at the end."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from buildrunner_parallel.records import (
    Attempt,
    EndedAttempt,
    LockHolder,
    OutputChunk,
    Session,
    SessionStatus,
    TaskCounts,
    TaskOutput,
    TaskStatus,
    TaskSummary,
    Wait,
    WaitKind,
    Worker,
)
from buildrunner_parallel.watch import WatchEvent


@pytest.fixture
def story(fake, events):
    """A session of two tasks, one of which waits for a lock, runs twice and fails."""
    at, change = events.at, events.change
    session = Session(
        "c0ffee01", "Demo", status=SessionStatus.RUNNING, started_at=at(-60), counts=TaskCounts(queued=2)
    )
    good = TaskSummary("c0ffee01", "good", title="make good", submitted_at=at(-60))
    bad = TaskSummary("c0ffee01", "bad", title="make bad", submitted_at=at(-60))
    holder = LockHolder("c0ffee01", "Demo", "good", worker_id="d4e5f6a7")
    wait = Wait(WaitKind.LOCKS, names=("index.html",), holders=(holder,))
    good_runs = replace(good, status=TaskStatus.RUNNING, attempt=1, worker_id="d4e5f6a7", started_at=at(-50))
    good_done = replace(good_runs, status=TaskStatus.SUCCEEDED, ended_at=at(-40))
    bad_runs = replace(bad, status=TaskStatus.RUNNING, attempt=1, worker_id="e5f6a7b8", started_at=at(-39))
    bad_again = replace(bad_runs, status=TaskStatus.QUEUED, ended_at=at(-35), error="exit code 1")
    bad_second = replace(bad_runs, attempt=2, started_at=at(-30))
    bad_done = replace(
        bad_second, status=TaskStatus.FAILED, ended_at=at(-10), error="exit code 1", exit_code=1
    )
    over = replace(
        session, status=SessionStatus.FAILED, ended_at=at(-10), counts=TaskCounts(succeeded=1, failed=1)
    )
    fake.events = [
        events.snapshot(session, good, bad, Worker("d4e5f6a7")),
        change(good_runs), change(replace(bad, wait=wait)), change(good_done), change(bad_runs),
        WatchEvent(connection="lost"), WatchEvent(connection="back"),
        change(bad_again), change(bad_second), change(bad_done), change(over, revision=20),
    ]  # fmt: skip
    fake.tasks = [good_done, bad_done]
    fake.ended_attempts = [
        EndedAttempt(name, attempt=Attempt("x", number, started_at=at(begin), ended_at=at(end)))
        for name, number, begin, end in (("good", 1, -50, -40), ("bad", 1, -39, -35), ("bad", 2, -30, -10))
    ]
    fake.outputs = [TaskOutput("bad", 2, OutputChunk(data=b"compiling\nerror: no rule\n"))]
    return fake


def test_in_a_pipe_it_is_a_line_a_change_then_the_summary(story, br):
    result = br("start", "Demo", "--watch")
    assert result.exit_code == 6
    first, *lines = result.stdout.splitlines()
    assert first == "Session c0ffee01 (Demo) is running: 0 tasks, 3 workers"
    assert lines[:10] == [
        "11:59:10  running     good  worker d4e5f6a7",
        lines[1][:8] + "  waiting     bad  for index.html, held by good on worker d4e5f6a7",
        "11:59:20  succeeded   good  10s  worker d4e5f6a7",
        "11:59:21  running     bad  worker e5f6a7b8",
        "The coordinator is away; waiting for it",
        "The coordinator is back",
        lines[6][:8] + "  queued      bad  exit code 1",
        "11:59:30  running     bad  worker e5f6a7b8  attempt 2",
        "11:59:50  failed      bad  20s  worker e5f6a7b8  attempt 2  exit code 1",
        "",
    ]
    assert lines[10:] == [
        "TASK\tSTATUS\tTIME\tATTEMPTS\tREMARK",
        "good\tsucceeded\t10s\t1",
        "bad\tfailed\t24s\t2\texit code 1",
        "Last lines of bad:",
        "  compiling",
        "  error: no rule",
        "",
        "Session c0ffee01 (Demo) failed: 1 succeeded, 1 failed",
        "Wall time 50s, sum of task times 34s (0.7 at a time)",
        "Next:",
        "  br parallel tasks c0ffee01",
        "  br parallel show c0ffee01 bad",
        "  br parallel logs c0ffee01 bad",
    ]


def test_it_makes_one_watch_call_for_that_session_alone(story, br):
    br("start", "Demo", "--watch")
    assert story.watches == 1
    assert ("watch", {"session_ids": ("c0ffee01",), "ended_tasks": True}) in story.calls


@pytest.mark.parametrize("columns", [80, 200])
def test_on_a_terminal_the_picture_gives_way_to_the_summary(story, terminal, screen, columns):
    result = terminal("start", "Demo", "--watch", columns=columns)
    assert result.exit_code == 6
    end = result.stdout[result.stdout.rindex("Task") :].splitlines()
    assert [line.split()[:2] for line in end[1:3]] == [["good", "succeeded"], ["bad", "failed"]]
    assert "Wall time 50s, sum of task times 34s (0.7 at a time)" in end
    assert max(map(len, end)) <= columns
    drawn = screen()
    assert drawn.startswith("\x1b[?1049h") and drawn.endswith("\x1b[?1049l")


def test_with_json_it_is_an_object_a_change_and_the_session_last(story, br):
    result = br("start", "Demo", "--watch", "--json")
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 6
    assert {document["schema_version"] for document in documents} == {1}
    assert [d["task"]["status"] for d in documents[:-1]] == [
        "running", "queued", "succeeded", "running", "queued", "running", "failed",
    ]  # fmt: skip
    assert documents[-1]["session"]["status"] == "failed"


def test_leaving_it_says_how_to_come_back(story, br):
    story.events[3] = KeyboardInterrupt()
    result = br("start", "Demo", "--watch")
    assert result.exit_code == 130
    assert "The session goes on; come back with: br parallel wait c0ffee01" in result.stderr


@pytest.mark.parametrize(("status", "code"), [(SessionStatus.COMPLETED, 0), (SessionStatus.CANCELLED, 7)])
def test_it_ends_as_the_session_does(fake, br, events, status, code):
    fake.events = [events.snapshot(Session("c0ffee01", "Demo", status=status))]
    assert br("start", "Demo", "--watch").exit_code == code


def test_a_session_that_was_over_before_the_watch_began_is_looked_up(fake, br, events, monkeypatch):
    over = Session("c0ffee01", "Demo", status=SessionStatus.COMPLETED, counts=TaskCounts(succeeded=1))
    monkeypatch.setattr(type(fake), "get_session", lambda self, id_: over)
    monkeypatch.setattr(type(fake), "start_session", lambda self, id_: over)
    fake.tasks = [TaskSummary("c0ffee01", "quick", TaskStatus.SUCCEEDED, attempt=1)]
    fake.events = [events.snapshot()]
    result = br("start", "Demo", "--watch")
    assert result.exit_code == 0
    assert "quick\tsucceeded" in result.stdout


def test_a_watch_that_ends_too_early_is_an_error(fake, br, events):
    fake.events = [events.snapshot(Session("c0ffee01", "Demo", status=SessionStatus.RUNNING))]
    result = br("start", "Demo", "--watch")
    assert (result.exit_code, result.stderr) == (
        1, "The watch ended before the session did; the session may go on.\n",
    )  # fmt: skip
