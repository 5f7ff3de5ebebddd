"""Workers that were asked for a moment ago are told as starting, and as missing once they should be there."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.arriving import STARTING_US
from buildrunner_coordinator.domain.model import TaskKind

LATE_S = STARTING_US / 1e6
NOBODY = "there is no worker at all; it needs one that runs commands"


def told(stage, session, task_id="t"):
    ((_, waits),) = stage.do(c.ExplainTasks(session, task_id))
    return [(wait.kind, wait.message) for wait in waits]


def test_a_session_that_was_just_started_waits_for_its_own_workers(stage, task):
    session = stage.session(wanted_workers=3)
    stage.submit(session, task("t"))
    stage.wait(1.5)
    starting = "waits for its own 3 workers to start; they were asked for 1.5 s ago"
    assert told(stage, session) == [("no_worker", starting)]
    stage.wait(LATE_S)
    assert told(stage, session) == [("no_worker", f"{NOBODY}; of its own 3 workers none is here")]


def test_only_those_that_have_not_come_are_waited_for(stage, task):
    session = stage.session(wanted_workers=2)
    worker = stage.worker(session_id=session)
    stage.submit(session, task("t", slots=2))
    near = f"no connected worker runs commands and has 2 slots; closest is {worker} (has 1 slot)"
    assert told(stage, session) == [("no_worker", f"{near}; of its own 2 workers 1 is here")]
    stage.do(c.SetPool(session, wanted=2, slots=2))
    stage.wait(1)
    waits = "waits for its own worker to start; it was asked for 1 s ago"
    assert told(stage, session) == [("no_worker", waits)]


def test_workers_for_all_sessions_are_told_as_such(stage, task):
    session = stage.session()
    stage.submit(session, task("t"))
    assert told(stage, session) == [("no_worker", NOBODY)]
    stage.do(c.SetPool(wanted=1))
    stage.wait(2)
    waits = "waits for the worker for all sessions to start; it was asked for 2 s ago"
    assert told(stage, session) == [("no_worker", waits)]
    stage.wait(LATE_S)
    assert told(stage, session) == [("no_worker", NOBODY)]


def test_that_workers_are_starting_is_not_told_beside_another_reason(stage, task):
    """It passes by itself; that there is no worker at all does not."""
    session = stage.session(wanted_workers=1, max_parallel=1)
    other = stage.session("other")
    stage.acquire(other, "x")
    stage.submit(session, task("t", files=("x",)))
    assert [kind for kind, _ in told(stage, session)] == ["locks"]
    stage.wait(LATE_S)
    assert [kind for kind, _ in told(stage, session)] == ["locks", "no_worker"]


@pytest.mark.parametrize(
    "options",
    [{"labels": ("gpu",)}, {"kind": TaskKind.EXTERNAL}, {"kind": TaskKind.HANDLER, "target": "compile"},
     {"wanted_worker_id": "deadbeef"}, {"slots": 2}],
)  # fmt: skip
def test_nobody_waits_for_workers_that_could_not_run_it_anyway(stage, task, options):
    session = stage.session(wanted_workers=3)
    stage.submit(session, task("t", **options))
    ((_, message),) = told(stage, session)
    assert message.startswith("there is no worker at all; it needs one that ")


def test_workers_with_the_label_or_with_handlers_may_come(stage, task):
    session = stage.session()
    stage.do(c.SetPool(session, wanted=1, labels=("gpu",), handler_modules=("compiling",)))
    stage.submit(session, task("t", labels=("gpu",)), task("h", kind=TaskKind.HANDLER, target="compile"))
    for task_id in ("t", "h"):
        assert told(stage, session, task_id)[0][1].startswith("waits for its own worker to start")


def test_fewer_workers_are_not_asked_for(stage, task):
    session = stage.session(wanted_workers=3)
    stage.submit(session, task("t"))
    stage.wait(LATE_S)
    stage.do(c.SetPool(session, wanted=2))
    assert told(stage, session) == [("no_worker", f"{NOBODY}; of its own 2 workers none is here")]


def test_a_coordinator_that_was_started_again_does_not_know_since_when(stage, task):
    session = stage.session(wanted_workers=1)
    stage.submit(session, task("t"))
    stage.restart()
    assert told(stage, session) == [("no_worker", f"{NOBODY}; of its own 1 worker none is here")]
