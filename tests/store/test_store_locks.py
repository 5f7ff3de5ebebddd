"""Grants, lock requests, the times of locks and patches, as every store must keep them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from buildrunner_coordinator.domain.changes import (
    Changes,
    GrantRow,
    LockRequestRow,
    LockTimeRow,
    PatchRow,
    Snapshot,
)
from buildrunner_coordinator.domain.questions import LOCK_TIMES, LockTimeQuery
from buildrunner_coordinator.store import past, removals
from buildrunner_coordinator.store.base import Store
from buildrunner_coordinator.store.rows import REMOVALS, TABLES
from buildrunner_coordinator.store.schema import migrate
from tests.store.conftest import Shelf
from tests.store.store_rows import NOW_US, WORKSPACE, filled, one_of_each, session


async def committed(shelf: Shelf, *batches: Changes) -> tuple[Store, int]:
    store = shelf.store()
    epoch = (await store.open(NOW_US, WORKSPACE)).meta.epoch
    for changes in batches:
        await store.commit(epoch, changes)
    return store, epoch


async def reopened(shelf: Shelf, store: Store) -> tuple[Store, Snapshot]:
    await store.close()
    again = shelf.store()
    return again, await again.open(NOW_US, WORKSPACE)


def grant(grant_id: str, session_id: str = "s1", **values: object) -> GrantRow:
    return filled(GrantRow, grant_id=grant_id, session_id=session_id, **values)


def request(waiter_id: str, session_id: str = "s1", **values: object) -> LockRequestRow:
    return filled(LockRequestRow, waiter_id=waiter_id, session_id=session_id, **values)


def time_of(at: int, revision: int, number: int = 1, session_id: str = "s1") -> LockTimeRow:
    return filled(LockTimeRow, revision=revision, number=number, at_us=at, session_id=session_id)


def patch(task_id: str, number: int, text: bytes = b"", session_id: str = "s1") -> PatchRow:
    return PatchRow(session_id, task_id, number, text or f"{task_id} {number}".encode())


# ---------------------------------------------------------------- grants and lock requests


async def test_grants_and_lock_requests_load_by_name_and_a_later_row_replaces(shelf: Shelf) -> None:
    first = Changes(grants=[grant("g2"), grant("g1")], lock_requests=[request("q2"), request("q1")])
    later = Changes(grants=[grant("g1", until_us=77)], lock_requests=[request("q1", ticket=77)])
    store, _ = await committed(shelf, first, later)
    _, snapshot = await reopened(shelf, store)
    assert snapshot.grants == [grant("g1", until_us=77), grant("g2")]
    assert snapshot.lock_requests == [request("q1", ticket=77), request("q2")]


async def test_grants_and_lock_requests_are_removed_by_key(shelf: Shelf) -> None:
    store, epoch = await committed(shelf, one_of_each("s1", 1), one_of_each("s2", 2))
    gone = Changes(removed_grants=["g-s1", "never there"], removed_lock_requests=["q-s2"])
    await store.commit(epoch, gone)
    _, snapshot = await reopened(shelf, store)
    assert [row.grant_id for row in snapshot.grants] == ["g-s2"]
    assert [row.waiter_id for row in snapshot.lock_requests] == ["q-s1"]


async def test_a_request_becomes_a_grant_in_one_commit_and_one_given_up_may_come_again(shelf: Shelf) -> None:
    store, epoch = await committed(shelf, Changes(lock_requests=[request("q1")], grants=[grant("g1")]))
    both = Changes(
        grants=[grant("q1"), grant("g1", fence=9)], removed_grants=["g1"], removed_lock_requests=["q1"]
    )
    await store.commit(epoch, both)
    _, snapshot = await reopened(shelf, store)
    assert snapshot.grants == [grant("g1", fence=9), grant("q1")]
    assert snapshot.lock_requests == []


async def test_what_a_removed_session_held_and_waited_for_goes_with_it_at_once(shelf: Shelf) -> None:
    kept = one_of_each("s2", 2)
    held = Changes(
        grants=[grant(f"g{n}") for n in range(700)], lock_requests=[request(f"q{n}") for n in range(700)]
    )
    store, epoch = await committed(shelf, one_of_each("s1", 1), kept, held)
    await store.commit(epoch, Changes(revision=3, removed_sessions=["s1"]))
    _, snapshot = await reopened(shelf, store)
    assert (snapshot.grants, snapshot.lock_requests) == (kept.grants, kept.lock_requests)


async def test_the_counters_of_waiting_and_of_case_outlive_a_restart(shelf: Shelf) -> None:
    store = shelf.store()
    meta = (await store.open(NOW_US, WORKSPACE)).meta
    assert (meta.next_ticket, meta.folds_case) == (1, 0)
    await store.commit(meta.epoch, Changes(revision=2, meta=meta._replace(next_ticket=9, folds_case=1)))
    _, snapshot = await reopened(shelf, store)
    assert (snapshot.meta.next_ticket, snapshot.meta.folds_case) == (9, 1)


# ---------------------------------------------------------------- patches


async def test_a_patch_is_read_by_number_or_as_the_last_that_there_is(shelf: Shelf) -> None:
    patches = [patch("t1", 10), patch("t1", 2), patch("t2", 1), patch("t1", 30, session_id="s2")]
    store, _ = await committed(shelf, Changes(patches=patches))
    assert await store.read_patch("s1", "t1", 2) == patches[1]
    assert await store.read_patch("s1", "t1", 0) == patches[0]
    assert await store.read_patch("s2", "t1", 0) == patches[3]
    for missing in (("s1", "t1", 3), ("s1", "t3", 0), ("s3", "t1", 0)):
        assert await store.read_patch(*missing) is None, missing


async def test_a_large_patch_comes_back_byte_by_byte_over_restarts_and_from_a_backup(
    shelf: Shelf, tmp_path: Path
) -> None:
    large = patch("t1", 1, bytes(range(256)) * 4096)
    store, _ = await committed(shelf, Changes(patches=[large]))
    await store.backup(tmp_path / "copy.db")
    await store.close()
    for again in (shelf.store(), shelf.restored(tmp_path / "copy.db")):
        await again.open(NOW_US, WORKSPACE)
        assert await again.read_patch("s1", "t1", 0) == large


# ---------------------------------------------------------------- the times of locks

# Clock times and revisions in different orders, as after a clock that was put back.
TIMES = [
    time_of(50, 3), time_of(20, 4, 1), time_of(20, 4, 2, "s2"), time_of(70, 9, 2), time_of(70, 9, 1, "s2"),
    time_of(70, 11), time_of(10, 12, 1, "s2"),
]  # fmt: skip
IN_ORDER = [TIMES[at] for at in (6, 1, 2, 0, 4, 3, 5)]


async def test_lock_times_come_oldest_first_of_all_sessions_or_of_one(shelf: Shelf) -> None:
    store, _ = await committed(shelf, Changes(lock_times=TIMES[3:]), Changes(lock_times=TIMES[:3]))
    assert await store.read_lock_times(LockTimeQuery()) == IN_ORDER
    for session_id in ("s1", "s2", "s3"):
        expected = [row for row in IN_ORDER if row.session_id == session_id]
        assert await store.read_lock_times(LockTimeQuery(session_id)) == expected


async def test_lock_times_are_read_from_a_time_on_and_the_newest_of_too_many(shelf: Shelf) -> None:
    store, _ = await committed(shelf, Changes(lock_times=TIMES))
    assert await store.read_lock_times(LockTimeQuery(since_us=50)) == IN_ORDER[3:]
    assert await store.read_lock_times(LockTimeQuery("s2", since_us=51)) == [TIMES[4]]
    assert await store.read_lock_times(LockTimeQuery(since_us=71)) == []
    assert await store.read_lock_times(LockTimeQuery(limit=2)) == IN_ORDER[-2:]
    assert await store.read_lock_times(LockTimeQuery(limit=0)) == []
    assert await store.read_lock_times(LockTimeQuery(since_us=20, limit=4)) == IN_ORDER[-4:]


@pytest.mark.parametrize("session_id", ["", "s1"])
async def test_lock_times_are_read_back_in_pages(session_id: str, shelf: Shelf) -> None:
    store, _ = await committed(shelf, Changes(lock_times=TIMES))
    whole = await store.read_lock_times(LockTimeQuery(session_id))
    for limit in (1, 2, 3, 7):
        found: list[LockTimeRow] = []
        query = LockTimeQuery(session_id, limit=limit)
        while page := await store.read_lock_times(query):
            found = page + found
            query = query._replace(before=(page[0].at_us, page[0].revision, page[0].number))
        assert found == whole, limit


@pytest.mark.parametrize("shelf", ["memory", "sqlite-inline"], indirect=True)
async def test_no_more_lock_times_than_the_cap_are_read(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LockTimeQuery().limit == LOCK_TIMES
    for module in ("past", "memory"):
        monkeypatch.setattr(f"buildrunner_coordinator.store.{module}.LOCK_TIMES", 3)
    store, _ = await committed(shelf, Changes(lock_times=TIMES))
    assert await store.read_lock_times(LockTimeQuery()) == IN_ORDER[-3:]


async def test_lock_times_of_a_removed_session_are_seen_by_nobody_and_others_stay(
    shelf: Shelf, tmp_path: Path
) -> None:
    many = [time_of(100, 20, number) for number in range(3 * removals.PIECE_ROWS)]
    patches = [patch("t1", number) for number in range(1, 3 * removals.PIECE_PATCHES)]
    below = Changes(sessions=[session("s1")], lock_times=[*TIMES, *many], patches=patches)
    store, epoch = await committed(shelf, below)
    await store.commit(epoch, Changes(revision=21, removed_sessions=["s1"]))
    others = [row for row in IN_ORDER if row.session_id == "s2"]
    assert await store.read_lock_times(LockTimeQuery()) == others
    assert await store.read_lock_times(LockTimeQuery("s1")) == []
    assert await store.read_patch("s1", "t1", 0) is None
    await store.backup(tmp_path / "copy.db")
    again = shelf.restored(tmp_path / "copy.db")
    await again.open(NOW_US, WORKSPACE)
    assert await again.read_lock_times(LockTimeQuery()) == others


async def test_a_session_of_an_old_id_begins_without_the_patches_and_lock_times_of_the_former(
    shelf: Shelf,
) -> None:
    many = [time_of(100, 20, number) for number in range(3 * removals.PIECE_ROWS)]
    patches = [patch("t1", number) for number in range(1, 3 * removals.PIECE_PATCHES)]
    store, epoch = await committed(shelf, Changes(lock_times=many, patches=patches))
    new = Changes(lock_times=[time_of(5, 30)], patches=[patch("t2", 1)], removed_sessions=["s1"])
    await store.commit(epoch, new)
    assert await store.read_lock_times(LockTimeQuery("s1")) == new.lock_times
    assert await store.read_patch("s1", "t2", 0) == new.patches[0]
    assert await store.read_patch("s1", "t1", 0) is None


# ---------------------------------------------------------------- their cost

NEWEST = "at_us>? AND (at_us,revision,number)<(?,?,?))"
QUESTIONS = {
    "times of a session": (
        past.LOCK_TIME[True],
        ("s", 0, 1, 2, 3, 9),
        f"by_session (session_id=? AND {NEWEST}",
    ),
    "times of all": (past.LOCK_TIME[False], (0, 1, 2, 3, 9), f"lock_times_by_time ({NEWEST}"),
    "one patch": (past.PATCH[True], ("s", "t", 1), "(session_id=? AND task_id=? AND number=?)"),
    "the last patch": (past.PATCH[False], ("s", "t"), "(session_id=? AND task_id=?)"),
    "one grant": (REMOVALS["removed_grants"], ("g",), "USING PRIMARY KEY (grant_id=?)"),
    "one request": (REMOVALS["removed_lock_requests"], ("q",), "USING PRIMARY KEY (waiter_id=?)"),
    "a session's grants": (removals._AT_ONCE[2], ("s",), "grants_by_session (session_id=?)"),
    "a session's requests": (removals._AT_ONCE[3], ("s",), "lock_requests_by_session (session_id=?)"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_about_locks_is_answered_by_an_index_without_sorting(question: str) -> None:
    sql, arguments, expected = QUESTIONS[question]
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, Path("new"))
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", arguments)]
    assert expected in plan[0], plan
    assert not any(step.startswith("SCAN") or "TEMP B-TREE" in step for step in plan), plan


def test_a_grant_that_is_renewed_leaves_the_index_by_session_alone() -> None:
    for table in (TABLES.grants, TABLES.lock_requests):
        assert "session_id = excluded" not in table.put_sql
