"""Random commits: a store in memory and a database hold the same, before and after a restart."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildrunner_coordinator.domain.changes import (
    AttemptRow,
    Changes,
    EventRow,
    GrantRow,
    LapseRow,
    LockRequestRow,
    LockTimeRow,
    PatchRow,
    PoolRow,
    RequestRow,
    Snapshot,
    WorkerRow,
)
from buildrunner_coordinator.domain.model import SessionStatus, TaskStatus
from buildrunner_coordinator.domain.questions import AttemptQuery, EventQuery, LockTimeQuery
from buildrunner_coordinator.store.base import Store
from buildrunner_coordinator.store.memory import MemoryRows, MemoryStore
from buildrunner_coordinator.store.sqlite import SqliteStore
from tests.store.store_rows import NOW_US, WORKSPACE, attempt, event, filled, piece, session, spec, task

SESSIONS = st.integers(0, 2)
TASKS = st.integers(0, 3)
NUMBERS = st.integers(1, 2)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
HUGE = st.integers(-(2**63), 2**63 - 1)


@st.composite
def batches(draw: st.DrawFn) -> Changes:
    """Rows under few keys, so that they often meet; every task with its spec, as a core commits them."""
    changes = Changes(revision=draw(st.integers(0, 2**40)))
    for number in draw(st.sets(SESSIONS)):
        status = draw(st.sampled_from(SessionStatus))
        changes.sessions.append(
            session(f"s{number}", ordinal=number + 1, status=status.value, name=draw(TEXTS))
        )
    for pair in draw(st.sets(st.tuples(SESSIONS, TASKS))):
        add_task(draw, changes, *pair)
    changes.removed_sessions = [f"s{number}" for number in draw(st.sets(SESSIONS, max_size=1))]
    keys = st.sets(st.sampled_from(["a", "b", "c"]))
    changes.workers = [
        filled(WorkerRow, worker_id=key, ordinal=ord(key), pid=draw(HUGE)) for key in draw(keys)
    ]
    changes.pools = [filled(PoolRow, session_id=f"s{draw(SESSIONS)}", host=key) for key in draw(keys)]
    changes.lapses = [filled(LapseRow, attempt_id=key, session_id=f"s{draw(SESSIONS)}") for key in draw(keys)]
    changes.requests = [
        filled(RequestRow, client_id="c", request_id=key, reply=draw(st.binary(max_size=9)))
        for key in draw(keys)
    ]
    places = draw(st.sets(st.tuples(st.integers(1, 9), NUMBERS)))
    changes.events = [draw_event(draw, *place) for place in places]
    changes.removed_events = [(us,) for us in draw(st.sets(st.integers(0, 9), max_size=1))]
    changes.removed_workers, changes.removed_lapses = list(draw(keys)), list(draw(keys))
    changes.removed_pools = [(f"s{draw(SESSIONS)}", key) for key in draw(keys)]
    changes.removed_requests = [("c", key) for key in draw(keys)]
    add_locks(draw, changes)
    return changes


def add_locks(draw: st.DrawFn, changes: Changes) -> None:
    """The session of a grant or a request never changes: it goes with the key."""
    keys = st.sets(st.sampled_from(["s0", "s1", "s2"]))
    changes.grants = [
        filled(GrantRow, grant_id=f"g-{key}", session_id=key, fence=draw(HUGE)) for key in draw(keys)
    ]
    changes.lock_requests = [
        filled(LockRequestRow, waiter_id=f"q-{key}", session_id=key, host=draw(TEXTS)) for key in draw(keys)
    ]
    changes.removed_grants = [f"g-{key}" for key in draw(keys)]
    changes.removed_lock_requests = [f"q-{key}" for key in draw(keys)]
    changes.patches = [
        PatchRow(f"s{number}", f"t{draw(TASKS)}", draw(NUMBERS), draw(st.binary(max_size=9)))
        for number in draw(st.sets(SESSIONS))
    ]
    changes.lock_times = [
        filled(LockTimeRow, revision=revision, number=number, at_us=draw(st.integers(0, 3)), session_id=key)
        for revision, number in draw(st.sets(st.tuples(st.integers(1, 9), NUMBERS)))
        for key in draw(keys)
    ][:4]


def draw_event(draw: st.DrawFn, revision: int, number: int) -> EventRow:
    named = draw(st.sampled_from([("", "", "w1"), ("s0", "", ""), ("s1", "t1", "w2"), ("s1", "t2", "")]))
    about = dict(zip(("session_id", "task_id", "worker_id"), named, strict=True))
    return event(revision, number, us=revision, message=draw(TEXTS), **about)


def add_task(draw: st.DrawFn, changes: Changes, session_number: int, task_number: int) -> None:
    named = (f"s{session_number}", f"t{task_number}")
    ordinal = session_number * 10 + task_number + 1
    status = draw(st.sampled_from(TaskStatus))
    attempt_id = f"{named}" if draw(st.booleans()) else ""
    changes.specs.append(spec(*named, ordinal, spec=draw(st.binary(max_size=9))))
    changes.tasks.append(
        task(
            *named,
            ordinal,
            status=status.value,
            attempt_id=attempt_id,
            attempts=draw(NUMBERS),
            error=draw(TEXTS),
        )
    )
    for number in draw(st.sets(NUMBERS)):
        changes.attempts.append(ended(draw, named, number, ordinal))
        offsets = draw(st.sets(st.sampled_from([0, 4, 8])))
        changes.outputs += [
            piece(*named, at, draw(st.binary(min_size=1, max_size=4)), number) for at in offsets
        ]


def ended(draw: st.DrawFn, named: tuple[str, str], number: int, task_number: int) -> AttemptRow:
    result = draw(st.none() | st.binary(max_size=9))
    revision = draw(st.integers(1, 4))
    return attempt(*named, number, result=result, task_number=task_number, ended_revision=revision)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.lists(batches(), max_size=6), st.integers(1, 3))
def test_a_database_holds_what_a_store_in_memory_holds(commits: list[Changes], page: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(compare(commits, page, Path(folder) / "state.db"))


async def compare(commits: list[Changes], page: int, path: Path) -> None:
    rows = MemoryRows()
    memory, database = MemoryStore(rows), SqliteStore(path, writer="inline")
    first, second = await memory.open(NOW_US, WORKSPACE), await database.open(NOW_US, WORKSPACE)
    for changes in commits:
        await memory.commit(first.meta.epoch, changes)
        await database.commit(second.meta.epoch, changes)
    for session_id in ("s0", "s1", "s2"):
        statuses = [TaskStatus.FAILED, TaskStatus.QUEUED, TaskStatus.RUNNING]
        for wanted in ([], statuses):
            expected = await memory.read_tasks(session_id, wanted, 0, page)
            assert await database.read_tasks(session_id, wanted, 0, page) == expected
        for task_id in ("t0", "t1", "t2", "t3"):
            assert await database.read_task(session_id, task_id) == await memory.read_task(
                session_id, task_id
            )
            for place in ((1, 0, 1), (2, 5, 6)):
                expected_output = await memory.read_output(session_id, task_id, *place)
                assert await database.read_output(session_id, task_id, *place) == expected_output
        await compare_attempts(memory, database, session_id, page)
        await compare_locks(memory, database, session_id, page)
        for named in (EventQuery(session_id), EventQuery(session_id, "t1"), EventQuery(worker_id="w1")):
            for query in (named._replace(limit=page), named._replace(after=(2, 1))):
                assert await database.read_events(query) == await memory.read_events(query)
    assert await database.read_worker_ids("w") == await memory.read_worker_ids("w")
    await memory.close()
    await database.close()
    again = MemoryStore(rows)
    assert comparable(await database.open(NOW_US, WORKSPACE)) == comparable(
        await again.open(NOW_US, WORKSPACE)
    )
    await database.close()


async def compare_attempts(memory: Store, database: Store, session_id: str, page: int) -> None:
    for task_ids in ((), ("t1", "t0"), ("t3",)):
        for after, limit_bytes in (((0, 0, 0), 1 << 20), ((1, 2, 1), 900), ((2, 1 << 60, 0), 1)):
            query = AttemptQuery(session_id, task_ids, after, page, limit_bytes, page != 2, page == 1)
            assert await database.read_attempts(query) == await memory.read_attempts(query)


async def compare_locks(memory: Store, database: Store, session_id: str, page: int) -> None:
    for place in (("t0", 0), ("t1", 1), ("t1", 0), ("t2", 2)):
        assert await database.read_patch(session_id, *place) == await memory.read_patch(session_id, *place)
    for whose in ("", session_id):
        for query in (LockTimeQuery(whose), LockTimeQuery(whose, 1, (2, 5, 2), page)):
            assert await database.read_lock_times(query) == await memory.read_lock_times(query)


def comparable(snapshot: Snapshot) -> Snapshot:
    """Ended tasks have no order; the two stores have different names."""
    snapshot.ended.sort()
    snapshot.sessions.sort()
    snapshot.meta = snapshot.meta._replace(store_id="")
    return snapshot
