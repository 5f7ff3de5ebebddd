"""A removed session is hidden at once, and its rows go a piece at a time, over restarts too."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from buildrunner_coordinator.domain.changes import Changes, LockTimeRow, PatchRow
from buildrunner_coordinator.domain.questions import AttemptQuery, EventQuery, LockTimeQuery
from buildrunner_coordinator.store import removals
from buildrunner_coordinator.store.base import StoreError
from buildrunner_coordinator.store.database import Database
from buildrunner_coordinator.store.sqlite import SqliteStore
from tests.store.store_rows import (
    NOW_US,
    WORKSPACE,
    attempt,
    event,
    filled,
    piece,
    session,
    with_tasks,
)

TASKS = 2 * removals.PIECE_ROWS + 1
BELOW = ("specs", "tasks", "attempts", "outputs", "events", "patches", "lock_times")


def large(session_id: str = "s1", first: int = 1, count: int = TASKS) -> Changes:
    changes = with_tasks(session_id, first, ["succeeded"] * count)
    changes.attempts = [attempt(session_id, row.task_id, 1) for row in changes.tasks]
    changes.outputs = [piece(session_id, row.task_id, 0, b"said") for row in changes.tasks[:120]]
    changes.events = [event(first, number, session_id=session_id) for number in range(1, 5)]
    changes.patches = [PatchRow(session_id, row.task_id, 1, b"diff") for row in changes.tasks[:12]]
    changes.lock_times = [
        filled(LockTimeRow, revision=first, number=number, session_id=session_id)
        for number in range(1, 2 + count // 2)
    ]
    return changes


def opened(path: Path) -> Database:
    database = Database(path)
    database.open(NOW_US, WORKSPACE)
    for _ in database.snapshot_parts():
        pass
    return database


def removed(path: Path) -> Database:
    """A database of two sessions, of which the large one was removed just now."""
    database = opened(path)
    assert database._meta is not None
    for changes in (large(), large("s2", 5_000, 3), Changes(revision=9, removed_sessions=["s1"])):
        database.commit(database._meta.epoch, changes)
    return database


def rows_of(path: Path, session_id: str) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as connection:
        sql = "SELECT count(*) FROM {} WHERE session_id = ?"
        return {name: connection.execute(sql.format(name), (session_id,)).fetchone()[0] for name in BELOW}


def test_the_commit_of_a_removal_takes_a_piece_and_the_rest_goes_later(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database = removed(path)
    database.close()
    left = rows_of(path, "s1")
    assert left["patches"] == 12 - removals.PIECE_PATCHES
    assert left["lock_times"] == 1 + TASKS // 2 - removals.PIECE_ROWS
    assert left["tasks"] == left["specs"] == left["attempts"] == TASKS - removals.PIECE_ROWS
    database = opened(path)
    pieces = 0
    while database.has_leavings:
        database.tidy()
        pieces += 1
    database.close()
    assert pieces == 2
    assert set(rows_of(path, "s1").values()) == {0}
    others = {"specs": 3, "tasks": 3, "attempts": 3, "outputs": 3, "events": 4, "patches": 3, "lock_times": 2}
    assert rows_of(path, "s2") == others
    database = opened(path)
    assert not database.has_leavings
    database.close()


def test_nobody_sees_what_is_left(tmp_path: Path) -> None:
    database = removed(tmp_path / "state.db")
    assert database.has_leavings
    last = f"t{TASKS}"
    assert database.read_task("s1", last) is None
    assert database.read_tasks("s1", (), 0, 10) == []
    assert database.read_output(("s1", last, 1), 0, 100) == []
    assert database.read_attempts(tuple(AttemptQuery("s1"))) == ([], False)
    assert database.read_events(tuple(EventQuery("s1"))) == []
    assert database.read_patch("s1", "t12", 1) is None
    assert database.read_lock_times(tuple(LockTimeQuery("s1"))) == []
    assert len(database.read_lock_times(tuple(LockTimeQuery()))) == 2
    assert len(database.read_tasks("s2", (), 0, 10)) == 3
    database.close()


def test_a_session_that_comes_again_under_the_same_id_starts_empty(tmp_path: Path) -> None:
    database = removed(tmp_path / "state.db")
    assert database._meta is not None
    again = Changes(revision=10, sessions=[session("s1", ordinal=3)])
    database.commit(database._meta.epoch, again)
    assert not database.has_leavings
    assert database.read_tasks("s1", (), 0, 10) == []
    database.close()
    assert set(rows_of(tmp_path / "state.db", "s1").values()) == {0}


def test_leavings_that_name_a_session_that_is_there_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    removed(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE leavings SET session_id = 's2'")
    with pytest.raises(StoreError, match="leavings"):
        Database(path).open(NOW_US, WORKSPACE)
    assert rows_of(path, "s2")["tasks"] == 3


async def test_the_writer_removes_the_rest_by_itself_and_answers_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    epoch = (await store.open(NOW_US, WORKSPACE)).meta.epoch
    await store.commit(epoch, large())
    await store.commit(epoch, Changes(revision=2, removed_sessions=["s1"]))
    for number in range(20):
        await store.commit(epoch, with_tasks("s2", 9_000 + number, ["queued"]))
    # One piece at least has gone behind each answer.
    await store.close()
    assert set(rows_of(path, "s1").values()) == {0}
    assert rows_of(path, "s2")["tasks"] == 20
