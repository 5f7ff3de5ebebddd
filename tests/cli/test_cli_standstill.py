"""Whoever waits for what does not move hears why, once for each reason, and what to do."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace

import pytest

from buildrunner_parallel.cli import standstill
from buildrunner_parallel.cli.invocation import Invocation, Settings
from buildrunner_parallel.cli.standstill import STILL_AFTER_S, Standstill
from buildrunner_parallel.errors import UnreachableError
from buildrunner_parallel.records import (
    SessionStatus,
    TaskCounts,
    TaskExplanation,
    TaskStatus,
    Wait,
    WaitKind,
)

ID = "a3f2e1d9"
NOBODY = Wait(WaitKind.NO_WORKER, "there is no worker at all; it needs one that runs commands", ("command",))
TAKEN = Wait(WaitKind.LOCKS, "waits for src, held by session b7c8d9e0 (Docs)", ("src",))


@pytest.fixture
def scene(build):
    """A session whose one task waits for a worker that is not there."""
    build.sessions[0] = replace(build.sessions[0], counts=TaskCounts(queued=1), wanted_workers=0)
    waits_for(build, NOBODY)
    return build


def waits_for(build, *waits):
    build.explanations = [TaskExplanation("t", TaskStatus.QUEUED, waits)]


def becomes(build, **more):
    build.sessions[0] = replace(build.sessions[0], **more)


class Wall:
    """A standstill that is looked at with the seconds given."""

    def __init__(self, build, task_id="", coordinator="unix:/nowhere"):
        self.run = Invocation(Settings(coordinator=coordinator))
        self._watch = Standstill(self.run, ID, task_id)
        self._build = build
        self.now_s = 100.0
        self.after(0)

    def after(self, seconds):
        self.now_s += seconds
        return [". ".join(notice) for notice in self._watch.look(self._build, self.now_s)]


def test_a_session_without_workers_says_so_and_how_to_get_one(scene):
    (told,) = Wall(scene).after(STILL_AFTER_S)
    assert told == (
        f"Nothing of session {ID} (Build v3.1) runs: {NOBODY.message}. "
        f"Start one with: br parallel worker --session {ID} --coordinator unix:/nowhere"
    )


def test_the_same_reason_is_never_told_again(scene):
    wall = Wall(scene)
    assert len(wall.after(STILL_AFTER_S)) == 1
    waits_for(scene, replace(NOBODY, message="no connected worker runs commands; closest is b2c4d5e6"))
    becomes(scene, counts=TaskCounts(queued=2))
    assert [wall.after(STILL_AFTER_S) for _ in range(20)] == [[]] * 20
    waits_for(scene, TAKEN)
    (told,) = wall.after(STILL_AFTER_S)
    assert "runs: waits for src, held by Docs" in told or "runs: waits for src, held by session" in told
    assert told.endswith(f"More is told by: br parallel explain {ID} --coordinator unix:/nowhere")


@pytest.mark.parametrize("work", ["running", "assigned", "cancelling"])
def test_nothing_is_said_while_something_is_at_work(scene, work):
    becomes(scene, counts=TaskCounts(queued=1, **{work: 1}))
    wall = Wall(scene)
    assert [wall.after(STILL_AFTER_S) for _ in range(3)] == [[]] * 3


def test_nothing_is_said_while_tasks_end(scene):
    wall = Wall(scene)
    for done in range(20):
        becomes(scene, counts=TaskCounts(queued=1, succeeded=done))
        assert wall.after(STILL_AFTER_S - 1) == []


def test_an_awaited_task_that_no_worker_suits_is_told_while_others_run(scene):
    becomes(scene, counts=TaskCounts(queued=1, running=1))
    wall = Wall(scene, "t")
    waits_for(scene, TAKEN)
    assert wall.after(STILL_AFTER_S) == [], "it may be free once the others are done"
    waits_for(scene, NOBODY)
    (told,) = wall.after(STILL_AFTER_S)
    assert told.startswith(f"Task t of session {ID} (Build v3.1) does not run: there is no worker at all")


def test_workers_that_were_just_asked_for_are_no_news(scene):
    wall = Wall(scene)
    waits_for(scene, Wait(WaitKind.NO_WORKER, "waits for its own 3 workers to start"))
    assert wall.after(STILL_AFTER_S) == []
    waits_for(scene, NOBODY)
    assert len(wall.after(STILL_AFTER_S)) == 1


@pytest.mark.parametrize(
    ("change", "said", "way"),
    [
        ({"status": SessionStatus.PAUSED}, "is paused", f"resume {ID}"),
        ({"status": SessionStatus.CREATED}, "is not started yet", f"resume {ID}"),
        ({"open": True, "counts": TaskCounts()}, "has no tasks yet. Add some", f"close {ID}"),
        ({"open": True, "counts": TaskCounts(), "declared_tasks": 5}, "; 5 tasks announced.", f"close {ID}"),
        ({"open": True, "counts": TaskCounts(succeeded=2)}, "all its tasks are over, and", f"close {ID}"),
    ],
)  # fmt: skip
def test_what_keeps_all_of_a_session_is_told(scene, change, said, way):
    becomes(scene, **change)
    wall = Wall(scene)
    (told,) = wall.after(STILL_AFTER_S)
    assert said in told
    assert f"br parallel {way}" in told
    assert wall.after(STILL_AFTER_S) == []


def test_whoever_reads_the_tasks_from_a_pipe_is_not_told_to_submit_some(scene):
    becomes(scene, open=True, counts=TaskCounts(succeeded=2))
    wall = Wall(scene)
    wall.run.reads_stdin = True
    assert wall.after(STILL_AFTER_S) == []


def test_a_session_that_is_over_or_being_cancelled_is_left_alone(scene):
    for change in ({"cancelling": True}, {"status": SessionStatus.FAILED}):
        becomes(scene, **{"cancelling": False, **change})
        assert Wall(scene).after(STILL_AFTER_S) == []


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (("command",), []),
        (("label g p'u", "command", "2 slots"), ["--label", "g p'u", "--slots", "2"]),
        (("handler compile",), ["--handlers", "MODULE"]),
    ],
)
def test_the_worker_to_start_has_what_is_missing(scene, names, options):
    waits_for(scene, replace(NOBODY, names=names))
    (told,) = Wall(scene).after(STILL_AFTER_S)
    words = shlex.split(told.partition("Start one with: ")[2])
    assert words[:-2] == ["br", "parallel", "worker", "--session", ID, *options]


@pytest.mark.parametrize("names", [("command", "id deadbeef"), ("external web",)])
def test_no_command_is_shown_that_would_not_help(scene, names):
    waits_for(scene, replace(NOBODY, names=names))
    (told,) = Wall(scene).after(STILL_AFTER_S)
    assert f"More is told by: br parallel explain {ID}" in told


# ---------------------------------------------------------------- in the commands


@pytest.fixture
def at_once(monkeypatch):
    """No time goes by before it is looked and told."""
    monkeypatch.setattr(standstill, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(standstill, "STILL_AFTER_S", 0.0)


def until_told(build, name, answer):
    """Lets a call of the coordinator take until the reasons were asked for."""

    def call(*_, **__):
        deadline_s = time.monotonic() + 30
        while not any(one[0] == "explain_tasks" for one in build.calls):
            assert time.monotonic() < deadline_s, build.calls
            time.sleep(0.005)
        while len([one for one in build.calls if one[0] == "get_session"]) < 6:
            assert time.monotonic() < deadline_s, build.calls
            time.sleep(0.005)
        return answer

    setattr(build, name, call)


def test_wait_in_a_pipe_is_not_silent(scene, br, at_once):
    ended = replace(scene.sessions[0], status=SessionStatus.COMPLETED)
    until_told(scene, "wait_session", ended)
    result = br("wait", ID)
    assert result.exit_code == 0
    assert result.stderr.count("there is no worker at all") == 1
    assert "no worker" not in result.stdout


def test_logs_that_are_followed_are_not_silent(scene, br, at_once):
    until_told(scene, "first_piece", None)
    scene.read_output = lambda *_, **__: (piece for piece in (scene.first_piece() for _ in "1") if piece)
    result = br("logs", "last", "-f")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.count("there is no worker at all") == 1


def test_people_get_the_command_in_a_line_of_its_own(scene, terminal, at_once, monkeypatch):
    monkeypatch.setattr(standstill, "stderr_is_terminal", lambda: True)
    until_told(scene, "first_piece", None)
    scene.read_output = lambda *_, **__: (piece for piece in (scene.first_piece() for _ in "1") if piece)
    told = terminal("logs", "last", "-f").stderr.splitlines()
    assert told[0].endswith("it needs one that runs commands")
    assert told[1] == f"  Start one with: br parallel worker --session {ID}"


def test_with_quiet_nothing_is_said(scene, br, at_once):
    scene.wait_session = lambda *_, **__: replace(scene.sessions[0], status=SessionStatus.COMPLETED)
    assert br("--quiet", "wait", ID).stderr == ""
    assert not any(one[0] == "explain_tasks" for one in scene.calls)


def test_a_coordinator_that_is_away_is_no_fault_of_the_wait(scene, br, at_once, monkeypatch):
    looks = []

    def away(*_):
        looks.append(1)
        raise UnreachableError("away")

    monkeypatch.setattr(Standstill, "look", away)

    def wait(*_, **__):
        deadline_s = time.monotonic() + 30
        while len(looks) < 3:
            assert time.monotonic() < deadline_s
            time.sleep(0.005)
        return replace(scene.sessions[0], status=SessionStatus.COMPLETED)

    scene.wait_session = wait
    result = br("wait", ID)
    assert (result.exit_code, result.stderr) == (0, "")
