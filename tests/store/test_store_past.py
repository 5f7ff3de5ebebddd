"""Ended attempts and events, as every store must hand them out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from buildrunner_coordinator.domain.changes import AttemptRow, Changes
from buildrunner_coordinator.domain.questions import AttemptQuery, EventQuery
from buildrunner_coordinator.store import past
from buildrunner_coordinator.store.base import Store
from buildrunner_coordinator.store.rows import REMOVALS
from buildrunner_coordinator.store.schema import migrate
from tests.store.conftest import Shelf
from tests.store.store_rows import NOW_US, WORKSPACE, attempt, event, session, spec, task


async def committed(shelf: Shelf, *batches: Changes) -> tuple[Store, int]:
    store = shelf.store()
    epoch = (await store.open(NOW_US, WORKSPACE)).meta.epoch
    for changes in batches:
        await store.commit(epoch, changes)
    return store, epoch


def ended(task_number: int, number: int, revision: int, **values: object) -> AttemptRow:
    named = {"task_number": task_number, "ended_revision": revision, "result": None, **values}
    return attempt("s1", f"t{task_number}", number, **named)


def with_attempts(*attempts: AttemptRow) -> Changes:
    numbers = sorted({one.task_number for one in attempts})
    return Changes(
        sessions=[session()],
        specs=[spec("s1", f"t{n}", n, number=n, spec=f"spec {n}".encode()) for n in numbers],
        tasks=[task("s1", f"t{n}", n) for n in numbers],
        attempts=list(attempts),
    )


def names(rows: list[tuple[AttemptRow, bytes]]) -> list[str]:
    return [f"{row.task_id}.{row.number}" for row, _ in rows]


async def walk(store: Store, query: AttemptQuery) -> list[list[str]]:
    """All pages."""
    pages = []
    while True:
        page = await store.read_attempts(query)
        pages.append(names(page.rows))
        if not page.has_more:
            return pages
        last = page.rows[-1][0]
        query = query._replace(after=(last.ended_revision, last.task_number, last.number))


MIXED = (
    ended(10, 1, 5), ended(2, 1, 5), ended(2, 2, 7), ended(1, 3, 7), ended(3, 1, 4), ended(3, 2, 300),
)  # fmt: skip


async def test_attempts_come_in_the_order_of_their_ends_then_of_submission(shelf: Shelf) -> None:
    store, _ = await committed(shelf, with_attempts(*MIXED))
    in_order = ["t3.1", "t2.1", "t10.1", "t1.3", "t2.2", "t3.2"]
    for limit in (1, 2, 3, 5, 6, 7):
        pages = await walk(store, AttemptQuery("s1", limit=limit))
        assert pages == [in_order[at : at + limit] for at in range(0, 6, limit)], limit


async def test_attempts_are_read_behind_a_revision(shelf: Shelf) -> None:
    store, _ = await committed(shelf, with_attempts(*MIXED))
    behind = await store.read_attempts(AttemptQuery("s1", after=(5, 1 << 60, 1 << 60)))
    assert names(behind.rows) == ["t1.3", "t2.2", "t3.2"]
    assert (await store.read_attempts(AttemptQuery("s1", after=(300, 1 << 60, 0)))).rows == []
    assert (await store.read_attempts(AttemptQuery("nobody"))).rows == []


async def test_attempts_of_named_tasks_come_in_the_same_order(shelf: Shelf) -> None:
    store, _ = await committed(shelf, with_attempts(*MIXED))
    for limit in (1, 2, 3, 9):
        pages = await walk(store, AttemptQuery("s1", ("t2", "t3", "none", "t2"), limit=limit))
        assert [name for page in pages for name in page] == ["t3.1", "t2.1", "t2.2", "t3.2"]


async def test_a_page_of_attempts_is_bounded_in_bytes_and_never_empty(shelf: Shelf) -> None:
    sizes = (10, 400_000, 400_000, 400_000, 3_000_000, 10)
    rows = [ended(n, 1, n, result=bytes(size)) for n, size in enumerate(sizes, 1)]
    store, _ = await committed(shelf, with_attempts(*rows))
    query = AttemptQuery("s1", limit_bytes=1 << 20)
    expected = [["t1.1", "t2.1", "t3.1"], ["t4.1"], ["t5.1"], ["t6.1"]]
    assert await walk(store, query) == expected
    assert await walk(store, query._replace(task_ids=tuple(f"t{n}" for n in range(1, 7)))) == expected
    without = await store.read_attempts(query._replace(with_results=False))
    assert len(without.rows) == 6 and {row.result for row, _ in without.rows} == {None}


async def test_attempts_come_with_what_their_tasks_were_told_when_asked(shelf: Shelf) -> None:
    store, _ = await committed(shelf, with_attempts(*MIXED))
    plain = await store.read_attempts(AttemptQuery("s1"))
    told = await store.read_attempts(AttemptQuery("s1", with_specs=True))
    assert {one for _, one in plain.rows} == {b""}
    assert [one.decode() for _, one in told.rows] == [f"spec {row.task_number}" for row, _ in told.rows]
    assert [row for row, _ in plain.rows] == [row for row, _ in told.rows]


EVENTS = [
    event(3, 1, session_id="s1", kind="created"),
    event(3, 2, worker_id="aaaa0001", kind="registered", us=30),
    event(4, 1, session_id="s1", task_id="t1", worker_id="aaaa0001", kind="lost"),
    event(4, 2, session_id="s1", task_id="t2", kind="retried"),
    event(11, 1, worker_id="aaaa0002", kind="gone", us=110),
    event(11, 2, session_id="s2", task_id="t1", kind="requeued"),
]


def kinds(rows: list) -> list[str]:
    return [row.kind for row in rows]


async def test_events_are_read_by_session_task_and_worker(shelf: Shelf) -> None:
    store, _ = await committed(shelf, Changes(events=EVENTS[4:]), Changes(events=EVENTS[:4]))
    assert await store.read_events(EventQuery("s1")) == [EVENTS[0], EVENTS[2], EVENTS[3]]
    assert await store.read_events(EventQuery("s1", "t1")) == [EVENTS[2]]
    assert kinds(await store.read_events(EventQuery(worker_id="aaaa0001"))) == ["registered", "lost"]
    assert await store.read_events(EventQuery("s3")) == []
    assert kinds(await store.read_events(EventQuery("s1", after=(3, 1), limit=1))) == ["lost"]
    assert kinds(await store.read_events(EventQuery("s1", after=(4, 1)))) == ["retried"]


async def test_workers_that_events_tell_of_are_found_by_prefix(shelf: Shelf) -> None:
    store, _ = await committed(shelf, Changes(events=EVENTS))
    assert await store.read_worker_ids("aaaa") == ["aaaa0001", "aaaa0002"]
    assert await store.read_worker_ids("aaaa0002") == ["aaaa0002"]
    assert await store.read_worker_ids("b") == []


async def test_events_of_a_session_go_with_it_and_those_of_workers_by_age(shelf: Shelf) -> None:
    store, epoch = await committed(shelf, Changes(events=EVENTS))
    await store.commit(epoch, Changes(removed_sessions=["s1"]))
    assert await store.read_events(EventQuery("s1")) == []
    assert kinds(await store.read_events(EventQuery(worker_id="aaaa0001"))) == ["registered"]
    await store.commit(epoch, Changes(removed_events=[(110,)]))
    assert await store.read_events(EventQuery(worker_id="aaaa0001")) == []
    assert kinds(await store.read_events(EventQuery(worker_id="aaaa0002"))) == ["gone"]
    assert kinds(await store.read_events(EventQuery("s2"))) == ["requeued"]


async def test_attempts_and_events_outlive_a_restart_and_are_in_a_backup(
    shelf: Shelf, tmp_path: Path
) -> None:
    store, _ = await committed(shelf, with_attempts(*MIXED), Changes(events=EVENTS))
    await store.backup(tmp_path / "copy.db")
    await store.close()
    for again in (shelf.store(), shelf.restored(tmp_path / "copy.db")):
        await again.open(NOW_US, WORKSPACE)
        assert len((await again.read_attempts(AttemptQuery("s1"))).rows) == len(MIXED)
        assert await again.read_events(EventQuery("s1")) == [EVENTS[0], EVENTS[2], EVENTS[3]]


BY_END = "USING INDEX attempts_by_end (session_id=? AND (ended_revision,task_number,number)>(?,?,?))"
BEHIND = ("s", 1, 2, 3)
QUESTIONS = {
    "attempts": (past.SELECTS[False][1] + past.BEHIND, BEHIND, f"a {BY_END}"),
    "attempts with specs": (past.SELECTS[True][1] + past.BEHIND, BEHIND, f"a {BY_END}"),
    "places": (past._PLACES_SQL, ("s", "t"), "USING PRIMARY KEY (session_id=? AND task_id=?)"),
    "one": (past.SELECTS[True][1] + past.ONE, ("s", "t", 1), "(session_id=? AND task_id=? AND number=?)"),
    "session": (past.SUBJECTS["session_id"], BEHIND, "events_by_session (session_id=? AND (revision,"),
    "task": (past.SUBJECTS["task_id"], ("s", "t", 1, 2, 3), "events_by_task (session_id=? AND task_id=? AND"),
    "worker": (past.SUBJECTS["worker_id"], BEHIND, "events_by_worker (worker_id=? AND (revision,"),
    "worker ids": (past._WORKER_IDS_SQL, ("a", "b", 9), "events_by_worker (worker_id>? AND worker_id<?)"),
    "old events": (REMOVALS["removed_events"], (7,), "events_by_session (session_id=?)"),
}  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_is_answered_by_an_index_without_sorting(question: str) -> None:
    sql, arguments, expected = QUESTIONS[question]
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, Path("new"))
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", arguments)]
    assert expected in plan[0], plan
    assert all(step.startswith("SEARCH") for step in plan), plan


def test_the_places_of_attempts_are_read_without_their_results() -> None:
    """Behind a large column each look at a row would walk through all its pages."""
    columns = AttemptRow._fields
    places = ("session_id", "task_id", "number", "ended_revision", "task_number")
    assert max(map(columns.index, places)) < min(columns.index("result"), columns.index("error"))
