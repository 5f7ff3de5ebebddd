"""Sessions that their owner ends: paused before the start, changed behind the end, taken over."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import Driver, SessionStatus
from buildrunner_coordinator.domain.refusals import Reason, Refusal

DAY = 86_400 * 1_000_000


@pytest.fixture
def session(stage):
    return stage.session(driver=Driver.OWNER, start=False)


def test_it_may_be_paused_before_its_start(stage, session):
    row = stage.do(c.PauseSession(session))
    assert (row.status, row.started_at_us > 0) == ("paused", True)
    assert stage.do(c.StartSession(session)).status == "running"


def test_one_that_its_tasks_drive_may_not(stage):
    with pytest.raises(Refusal):
        stage.do(c.PauseSession(stage.session(start=False)))


def test_behind_its_end_it_takes_metadata_and_an_earlier_end(stage, session):
    stage.do(c.CompleteSession(session))
    then = stage.now.wall_us - 10 * DAY
    row = stage.do(c.UpdateSession(session, metadata_json='{"a":1}', declared_tasks=4, ended_at_us=then))
    assert (row.metadata_json, row.declared_tasks, row.ended_at_us) == ('{"a":1}', 4, then)
    kept = stage.do(c.DeleteSessions(older_than_us=11 * DAY))
    gone = stage.do(c.DeleteSessions(older_than_us=7 * DAY))
    assert ([one.session_id for one in kept], [one.session_id for one in gone]) == ([], [session])


@pytest.mark.parametrize(
    "change", [{"ended_at_us": 5}, {"max_parallel": 2, "ended": True}, {"tasks": True, "declared_tasks": 5}]
)
def test_what_makes_no_sense_is_refused(stage, session, change):
    named = stage.session() if change.pop("tasks", False) else session
    if change.pop("ended", False):
        stage.do(c.FailSession(named))
    with pytest.raises(Refusal) as caught:
        stage.do(c.UpdateSession(named, **change))
    assert caught.value.reason is Reason.WRONG_STATE


def imported(session_id, status, **more):
    return c.ImportedSession(session_id, f"old {session_id}", SessionStatus(status), **more)


def test_sessions_from_elsewhere_keep_ids_states_and_times(stage):
    ended = stage.now.wall_us - 30 * DAY
    rows = stage.do(
        c.ImportSessions(
            (
                imported("aaaaaaaa", "completed", created_at_us=ended - 5, ended_at_us=ended),
                imported("bbbbbbbb", "running", created_at_us=ended - 9, reported=(1, 2, 3)),
                imported("cccccccc", "paused", created_at_us=ended - 7),
                imported("dddddddd", "created", created_at_us=ended - 8),
            )
        )
    )
    assert [one.session_id for one in rows] == ["bbbbbbbb", "dddddddd", "cccccccc", "aaaaaaaa"]
    stage.restart()
    assert stage.session_status("bbbbbbbb") == "running"
    assert stage.core.sessions["aaaaaaaa"].ended_at_us == ended
    assert stage.do(c.ResumeSession("cccccccc")).status == "running"
    assert stage.do(c.CompleteSession("bbbbbbbb")).status == "completed"


def test_an_import_is_repeated_without_harm(stage):
    command = c.ImportSessions((imported("aaaaaaaa", "running"),))
    looked = stage.do(c.ImportSessions(command.sessions, dry_run=True))
    assert ([one.session_id for one in looked], stage.core.sessions) == (["aaaaaaaa"], {})
    stage.do(command)
    stage.do(c.CompleteSession("aaaaaaaa"))
    assert stage.do(command) == []
    assert stage.session_status("aaaaaaaa") == "completed"


def test_an_old_session_is_kept_for_the_whole_time_from_its_import_on(stage):
    old = stage.now.wall_us - 400 * DAY
    stage.do(c.ImportSessions((imported("aaaaaaaa", "failed", created_at_us=old, ended_at_us=old),)))
    stage.restart()
    stage.wait(6 * 86_400)
    assert "aaaaaaaa" in stage.core.sessions
    stage.wait(1.1 * 86_400)
    assert "aaaaaaaa" not in stage.core.sessions
