"""SessionManager and Session: each method by what it does, and what another process sees of it."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import datetime, timedelta

import pytest

from buildrunner_parallel.compat import Session, SessionManager, SessionStatus
from buildrunner_parallel.compat.home import home_of


@pytest.fixture
def session(manager):
    return manager.create_session("Build v3.1", total_tasks=10, metadata={"who": "me"})


def elsewhere(place, session, expression):
    """What another process sees, as JSON."""
    find = f"import json; s = SessionManager().get_session({session.session_id!r})\n"
    program = f"{find}print(json.dumps({expression}))"
    return json.loads(place.python(program))


# --------------------------------------------------------------------------- finding


def test_a_new_session_is_created_with_what_was_given(manager, session):
    assert (session.name, session.status, session.total_tasks) == ("Build v3.1", SessionStatus.CREATED, 10)
    assert session.metadata == {"who": "me"}
    assert (session.started_at, session.completed_at, session.worker_id) == (None, None, None)
    assert (session.files_locked, session.files_modified) == (set(), set())
    assert session.progress_percent == 0.0
    assert session.created_at.tzinfo is None
    assert abs(datetime.now() - session.created_at) < timedelta(hours=1)


def test_there_is_one_object_for_each_session(manager, session):
    assert manager.get_session(session.session_id) is session
    assert manager.sessions[session.session_id] is session
    assert SessionManager().get_session(session.session_id) is session
    assert session in manager.list_sessions()


def test_unknown_ids(manager):
    assert manager.get_session("ffffffff") is None
    assert "ffffffff" not in manager.sessions
    assert manager.sessions.get("nope") is None
    calls = [
        manager.start_session, manager.pause_session, manager.complete_session, manager.fail_session,
        manager.cancel_session, manager.unlock_files,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match=r"^Session not found: ffffffff$"):
            call("ffffffff")
    for arguments in ((manager.lock_files, ["a"]), (manager.mark_files_modified, ["a"])):
        with pytest.raises(ValueError, match=r"^Session not found: ffffffff$"):
            arguments[0]("ffffffff", arguments[1])
    with pytest.raises(ValueError, match=r"^Session not found: ffffffff$"):
        manager.update_progress("ffffffff", 1)


@pytest.mark.parametrize("odd", [None, "", 5, 3.5, [], b"ffffffff"])
def test_what_can_be_no_id_is_an_unknown_one(manager, odd):
    assert manager.get_session(odd) is None
    calls = [
        (manager.start_session,), (manager.pause_session,), (manager.complete_session,),
        (manager.fail_session,), (manager.cancel_session,), (manager.unlock_files,),
        (manager.update_progress, 1), (manager.lock_files, ["a"]), (manager.mark_files_modified, ["a"]),
        (manager.lock_files, []), (manager.unlock_files, []),
    ]  # fmt: skip
    for call, *more in calls:
        with pytest.raises(ValueError) as refused:
            call(odd, *more)
        assert str(refused.value) == f"Session not found: {odd}"


def test_a_name_must_be_a_text(manager):
    with pytest.raises(ValueError, match=r"^a session's name must be a text, found 5$"):
        manager.create_session(5)


def test_lists_are_newest_first_and_by_status(manager, session):
    second = manager.create_session("second")
    manager.start_session(second.session_id)
    third = manager.create_session("third")
    manager.pause_session(third.session_id)
    assert manager.list_sessions()[:3] == [third, second, session]
    assert manager.get_all_sessions() == manager.list_sessions()
    assert manager.list_sessions(SessionStatus.RUNNING)[0] is second
    assert manager.list_sessions(status="paused")[0] is third
    assert manager.get_active_sessions()[:2] == [third, second]
    assert session not in manager.get_active_sessions()
    assert manager.get_sessions_by_status("running")[0] is second
    assert manager.get_sessions_by_status("sleeping") == []
    with pytest.raises(ValueError, match="sleeping"):
        manager.list_sessions(status="sleeping")
    assert list(manager.sessions)[:3] == [third.session_id, second.session_id, session.session_id]
    assert len(manager.sessions) == len(manager.list_sessions())


def test_statistics_count_what_there_is(manager):
    before = manager.get_stats()
    assert set(before) == {
        f"{word}_sessions" for word in ("total", "active", "paused", "completed", "failed")
    }
    for call in (
        manager.start_session,
        manager.pause_session,
        manager.complete_session,
        manager.fail_session,
    ):
        call(manager.create_session("one").session_id)
    after = manager.get_stats()
    assert after["total_sessions"] == before["total_sessions"] + 4
    for word in ("active", "paused", "completed", "failed"):
        assert after[f"{word}_sessions"] == before[f"{word}_sessions"] + 1, word


# --------------------------------------------------------------------------- a session's way


def test_start_pause_resume_complete(manager, session):
    manager.start_session(session.session_id, worker_id="whoever")
    assert (session.status, session.worker_id) == (SessionStatus.RUNNING, "whoever")
    assert session.started_at is not None and session.started_at.tzinfo is None
    manager.pause_session(session.session_id)
    assert session.status == "paused"
    manager.start_session(session.session_id)
    assert session.status is SessionStatus.RUNNING and session.worker_id == "whoever"
    manager.complete_session(session.session_id)
    assert (session.status, session.progress_percent) == (SessionStatus.COMPLETED, 100.0)
    assert session.completed_at is not None


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("pause_session", "paused"),
        ("complete_session", "completed"),
        ("fail_session", "failed"),
        ("cancel_session", "cancelled"),
    ],
)
def test_these_work_from_created_too(manager, session, method, status):
    getattr(manager, method)(session.session_id)
    assert session.status == status


def test_what_has_ended_stays_as_it_ended(manager, session):
    manager.complete_session(session.session_id)
    for call in (
        manager.complete_session,
        manager.fail_session,
        manager.cancel_session,
        manager.unlock_files,
    ):
        call(session.session_id)
    manager.update_progress(session.session_id, 3)
    assert (session.status, session.completed_tasks) == (SessionStatus.COMPLETED, 0)
    with pytest.raises(ValueError, match="completed"):
        manager.start_session(session.session_id)


def test_progress_is_absolute_and_never_above_100(manager, session):
    manager.update_progress(session.session_id, 5, failed_tasks=1, in_progress_tasks=2)
    assert (session.completed_tasks, session.failed_tasks, session.in_progress_tasks) == (5, 1, 2)
    assert session.progress_percent == 60.0
    manager.update_progress(session.session_id, completed_tasks=4)
    assert (session.completed_tasks, session.failed_tasks, session.in_progress_tasks) == (4, 0, 0)
    manager.update_progress(session.session_id, completed_tasks=40)
    assert session.progress_percent == 100.0


# --------------------------------------------------------------------------- files


def test_a_conflict_names_the_session_and_the_files(manager, session):
    first, second, third = (f"src/{session.session_id}/{name}.py" for name in "abc")
    manager.lock_files(session.session_id, [first, second])
    assert session.files_locked == {first, second}
    other = manager.create_session("other")
    with pytest.raises(ValueError) as caught:
        manager.lock_files(other.session_id, [third, second, first])
    assert str(caught.value) == f"Files already locked by session {session.session_id}: {first}, {second}"
    assert other.files_locked == set()
    manager.lock_files(session.session_id, [first])  # again is no conflict with oneself
    manager.unlock_files(session.session_id, [second])
    manager.lock_files(other.session_id, [third, second])
    assert (session.files_locked, other.files_locked) == ({first}, {second, third})
    manager.unlock_files(session.session_id)
    assert session.files_locked == set()


def test_unlocking_what_one_does_not_hold_is_passed_over(manager, session):
    mine, theirs = f"{session.session_id}/a", f"{session.session_id}/b"
    other = manager.create_session("other")
    manager.lock_files(session.session_id, [mine])
    manager.lock_files(other.session_id, [theirs])
    manager.unlock_files(session.session_id, [theirs, mine, "never"])
    assert (session.files_locked, other.files_locked) == (set(), {theirs})
    manager.unlock_files(session.session_id, [])
    assert other.files_locked == {theirs}


def test_files_are_names_and_no_patterns(manager, session):
    named, other = f"{session.session_id}/[id]*.py", manager.create_session("other")
    manager.lock_files(session.session_id, [named])
    manager.lock_files(other.session_id, [f"{session.session_id}/i.py"])
    assert session.files_locked == {named}


@pytest.mark.parametrize("files", ["src/app.py", ["../../outside.py"], [""], [3]])
def test_what_can_be_no_list_of_files_is_refused_in_one_line(manager, session, files):
    with pytest.raises(ValueError) as caught:
        manager.lock_files(session.session_id, files)
    assert "\n" not in str(caught.value)


def test_no_files_at_all_are_no_fault(manager, session):
    """As for batches that say of no file that they write it."""
    manager.lock_files(session.session_id, [])
    manager.lock_files(session.session_id, set())
    manager.unlock_files(session.session_id, [])
    manager.mark_files_modified(session.session_id, [])
    assert (session.files_locked, session.files_modified) == (set(), set())


def test_the_end_of_a_session_frees_its_files(manager, session):
    name = f"{session.session_id}/a"
    manager.lock_files(session.session_id, [name])
    manager.fail_session(session.session_id)
    assert session.files_locked == set()
    manager.lock_files(manager.create_session("next").session_id, [name])


def test_modified_files_add_up(manager, session):
    manager.mark_files_modified(session.session_id, ["src/a.py", "./src/b.py"])
    manager.mark_files_modified(session.session_id, ["src/a.py"])
    assert session.files_modified == {"src/a.py", "src/b.py"}


# --------------------------------------------------------------------------- live, across processes


def test_another_process_sees_every_change(place, manager, session):
    manager.start_session(session.session_id, worker_id="w")
    manager.lock_files(session.session_id, [f"{session.session_id}/x"])
    manager.update_progress(session.session_id, 2)
    manager.mark_files_modified(session.session_id, ["m"])
    session.metadata["note"] = "set"
    session.total_tasks = 4
    seen = elsewhere(place, session, "s.to_dict()")
    assert seen == session.to_dict()
    assert (seen["status"], seen["progress_percent"], seen["metadata"]["note"]) == ("running", 50.0, "set")


def test_an_attribute_shows_what_another_process_has_done(place, manager, session):
    assert session.status is SessionStatus.CREATED
    place.python(
        f"m = SessionManager(); i = {session.session_id!r}\n"
        f"m.start_session(i); m.lock_files(i, ['{session.session_id}/y']); m.update_progress(i, 7)"
    )
    assert (session.status, session.completed_tasks) == (SessionStatus.RUNNING, 7)
    assert session.files_locked == {f"{session.session_id}/y"}


def test_the_command_line_sees_them_too(place, session):
    shown = place.run("-m", "buildrunner_parallel.cli", "parallel", "status", session.session_id, "--json")
    assert json.loads(shown.stdout)["session"]["name"] == "Build v3.1"


def test_attributes_that_are_set_are_written_through(manager, session):
    session.completed_tasks, session.failed_tasks, session.in_progress_tasks = 3, 1, 1
    session.total_tasks = 8
    session.status = SessionStatus.RUNNING
    fresh = home_of(None).client.get_session(session.session_id)
    assert (fresh.reported.completed, fresh.reported.failed, fresh.reported.in_progress) == (3, 1, 1)
    assert (fresh.declared_tasks, fresh.status.value) == (8, "running")
    for status in (SessionStatus.PAUSED, SessionStatus.RUNNING, SessionStatus.COMPLETED):
        session.status = status
        assert home_of(None).client.get_session(session.session_id).status.value == status.value
    with pytest.raises(ValueError, match="cannot be created again"):
        session.status = SessionStatus.CREATED


@pytest.mark.parametrize(
    "name", ["session_id", "name", "created_at", "started_at", "worker_id", "progress_percent"]
)
def test_what_cannot_be_set_says_so(session, name):
    with pytest.raises(AttributeError, match=f"{name} of session {session.session_id} cannot be set"):
        setattr(session, name, getattr(session, name))


def test_metadata_is_written_when_it_changes_and_deep_within_by_save(manager, session):
    def stored():
        return home_of(None).client.get_session(session.session_id).metadata

    session.metadata["a"] = {"deep": [1]}
    session.metadata.update(b=2)
    del session.metadata["who"]
    assert stored() == {"a": {"deep": [1]}, "b": 2}
    session.metadata["a"]["deep"].append(2)
    manager._save()
    assert stored()["a"] == {"deep": [1, 2]}
    manager.complete_session(session.session_id)
    session.metadata = {"after": "the end"}
    assert stored() == session.metadata == {"after": "the end"}
    with pytest.raises(ValueError, match="JSON"):
        session.metadata["bad"] = object()
    assert session.metadata == stored() == {"after": "the end"}


# --------------------------------------------------------------------------- house-keeping


def test_old_sessions_are_removed_by_when_they_were_completed(manager, session):
    recent, running = manager.create_session("recent"), manager.create_session("running")
    manager.start_session(running.session_id)
    for one in (session, recent):
        manager.complete_session(one.session_id)
    session.completed_at = datetime.now() - timedelta(days=10)
    manager._save()
    assert datetime.now() - session.completed_at > timedelta(days=9)
    assert manager.cleanup_old_sessions(days=30) == manager.cleanup_old_sessions(days=10**12) == 0
    assert manager.cleanup_old_sessions(days=7) == 1
    assert manager.get_session(session.session_id) is None
    assert {recent.session_id, running.session_id} <= set(manager.sessions)
    assert session.name == "Build v3.1"  # what it was


def test_an_end_can_only_be_told_of_what_has_ended(session):
    with pytest.raises(ValueError, match="end it first"):
        session.completed_at = datetime.now()


def test_no_end_may_be_said_of_what_has_none_and_is_not_taken_back(manager, session):
    session.completed_at = None
    assert session.completed_at is None
    manager.complete_session(session.session_id)
    with pytest.raises(AttributeError, match="an end cannot be taken back"):
        session.completed_at = None


# --------------------------------------------------------------------------- as data


def test_data_goes_there_and_back(manager, session):
    manager.start_session(session.session_id)
    data = session.to_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["status"] == "running" and data["files_locked"] == [] and isinstance(data["created_at"], str)
    plain = Session.from_dict(data)
    assert plain is not session and plain.to_dict() == data
    assert (plain.created_at.isoformat(), plain.files_locked) == (data["created_at"], set())
    for name, value in (("status", SessionStatus.FAILED), ("completed_tasks", 4), ("name", "plain data")):
        setattr(plain, name, value)
        assert getattr(plain, name) == value
    assert session.status is SessionStatus.RUNNING


def test_a_copy_is_plain_data_and_a_manager_stays_what_it_is(manager, session):
    for copied in (copy.copy(session), copy.deepcopy(session), pickle.loads(pickle.dumps(session))):
        assert copied is not session and copied.to_dict() == session.to_dict()
        copied.metadata["who"] = "a copy"
    assert session.metadata == {"who": "me"}
    assert pickle.loads(pickle.dumps(manager)).get_session(session.session_id) is session


def test_a_time_must_be_one(manager, session):
    manager.complete_session(session.session_id)
    with pytest.raises(ValueError, match="must be a datetime, found '2026-01-01'"):
        session.completed_at = "2026-01-01"


def test_statuses_are_text():
    assert {"running": 1}[SessionStatus.RUNNING] == 1
    assert SessionStatus("paused") is SessionStatus.PAUSED
    assert [one.value for one in SessionStatus] == [
        "created", "running", "paused", "completed", "failed", "cancelled",
    ]  # fmt: skip
