"""What every store must do: one suite, whichever it is."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from buildrunner_coordinator.domain.changes import (
    Changes,
    EndedTask,
    LapseRow,
    PoolRow,
    RequestRow,
    Snapshot,
    WorkerRow,
)
from buildrunner_coordinator.domain.model import TaskStatus
from buildrunner_coordinator.store.base import CommitError, FencedError, Store, StoreError
from tests.store.conftest import Shelf
from tests.store.store_rows import (
    NOW_US,
    WORKSPACE,
    attempt,
    files_in,
    filled,
    one_of_each,
    piece,
    session,
    spec,
    task,
    with_tasks,
)


async def reopened(shelf: Shelf, store: Store) -> tuple[Store, Snapshot]:
    await store.close()
    again = shelf.store()
    return again, await again.open(NOW_US, WORKSPACE)


async def committed(shelf: Shelf, *batches: Changes) -> tuple[Store, int]:
    store = shelf.store()
    epoch = (await store.open(NOW_US, WORKSPACE)).meta.epoch
    for changes in batches:
        await store.commit(epoch, changes)
    return store, epoch


async def test_a_new_store_is_empty_and_numbers_from_one(shelf: Shelf) -> None:
    snapshot = await shelf.store().open(NOW_US, WORKSPACE)
    assert snapshot == Snapshot(meta=snapshot.meta)
    meta = snapshot.meta
    assert meta[1:] == (WORKSPACE, NOW_US, 1, 0, NOW_US, 1, 1, 1, 0)
    assert len(meta.store_id) >= 8


async def test_a_row_in_every_table_comes_back_as_it_was(shelf: Shelf) -> None:
    changes = one_of_each()
    store, _ = await committed(shelf, changes)
    store, snapshot = await reopened(shelf, store)
    assert snapshot == Snapshot(
        meta=snapshot.meta,
        sessions=changes.sessions,
        specs=changes.specs,
        tasks=changes.tasks,
        workers=changes.workers,
        pools=changes.pools,
        lapses=changes.lapses,
        requests=changes.requests,
        grants=changes.grants,
        lock_requests=changes.lock_requests,
        output_bytes={"a-s1": 12},
    )
    assert [type(row[0]) for row in (snapshot.sessions, snapshot.tasks)] == [
        type(changes.sessions[0]), type(changes.tasks[0]),
    ]  # fmt: skip
    assert await store.read_task("s1", "t1") == (changes.specs[0], changes.tasks[0], changes.attempts)
    assert await store.read_output("s1", "t1", 2) == changes.outputs


async def test_rows_with_enumerations_truths_and_hard_texts_come_back(shelf: Shelf) -> None:
    changes = one_of_each()
    changes.tasks = [
        task("s1", "t1", 1, status=TaskStatus.QUEUED, error="a\0b\x1b\n'\"\U0001f600", exit_code=-9)
    ]
    changes.sessions = [session(open=True, name="", reported_json="[]", ended_us=2**62)]
    changes.attempts = [attempt("s1", "t1", 1, result=None), attempt("s1", "t1", 2, result=b"")]
    store, _ = await committed(shelf, changes)
    store, snapshot = await reopened(shelf, store)
    assert (snapshot.tasks, snapshot.sessions) == (changes.tasks, changes.sessions)
    assert await store.read_task("s1", "t1") == (changes.specs[0], changes.tasks[0], changes.attempts)


async def test_a_row_replaces_the_one_with_its_key(shelf: Shelf) -> None:
    later = one_of_each(revision=2)
    later.sessions = [session(name="renamed")]
    later.specs = []
    later.tasks = [task("s1", "t1", 1, error="changed")]
    later.attempts = [attempt("s1", "t1", 1, error="changed")]
    later.outputs = [piece("s1", "t1", 6, b"there\n", 2)]
    later.workers = [filled(WorkerRow, worker_id="w-s1", ordinal=1, host="moved")]
    later.pools = [filled(PoolRow, session_id="s1", host="h1", wanted=77)]
    later.lapses = [filled(LapseRow, attempt_id="l-s1", session_id="s1", fence=77)]
    later.requests = [filled(RequestRow, client_id="c1", request_id="r-s1", reply=b"other")]
    store, _ = await committed(shelf, one_of_each(), later)
    store, snapshot = await reopened(shelf, store)
    for name in ("sessions", "tasks", "workers", "pools", "lapses", "requests"):
        assert getattr(snapshot, name) == getattr(later, name), name
    found = await store.read_task("s1", "t1")
    assert found is not None and found[2] == later.attempts
    assert [row.data for row in await store.read_output("s1", "t1", 2)] == [b"hello ", b"there\n"]


async def test_removing_a_session_removes_all_that_is_below_it_and_nothing_else(shelf: Shelf) -> None:
    kept = one_of_each("s2", 2)
    store, epoch = await committed(shelf, one_of_each("s1", 1), kept)
    await store.commit(epoch, Changes(revision=3, removed_sessions=["s1"]))
    assert await store.read_task("s1", "t1") is None
    assert await store.read_output("s1", "t1", 2) == []
    assert (await store.read_tasks("s1")).rows == []
    store, snapshot = await reopened(shelf, store)
    assert snapshot.sessions == kept.sessions
    assert (snapshot.specs, snapshot.tasks) == (kept.specs, kept.tasks)
    assert (snapshot.pools, snapshot.lapses) == (kept.pools, kept.lapses)
    assert {row.worker_id for row in snapshot.workers} == {"w-s1", "w-s2"}
    assert snapshot.output_bytes == {"a-s2": 12}
    assert await store.read_task("s2", "t1") == (kept.specs[0], kept.tasks[0], kept.attempts)
    # Nothing of the removed one comes back with a session of the same id.
    await store.commit(snapshot.meta.epoch, with_tasks("s1", 9, ["queued"]))
    assert await store.read_task("s1", "t1") is None
    assert await store.read_output("s1", "t1", 2) == []


async def test_workers_pools_lapses_and_requests_are_removed_by_key(shelf: Shelf) -> None:
    store, epoch = await committed(shelf, one_of_each("s1", 1), one_of_each("s2", 2))
    gone = Changes(
        revision=3,
        removed_workers=["w-s1"],
        removed_pools=[("s1", "h1")],
        removed_lapses=["l-s1"],
        removed_requests=[("c1", "r-s1"), ("c1", "never there")],
    )
    await store.commit(epoch, gone)
    store, snapshot = await reopened(shelf, store)
    assert [row.worker_id for row in snapshot.workers] == ["w-s2"]
    assert [row.session_id for row in snapshot.pools] == ["s2"]
    assert [row.attempt_id for row in snapshot.lapses] == ["l-s2"]
    assert [row.request_id for row in snapshot.requests] == ["r-s2"]


async def test_a_key_removed_and_put_in_one_commit_is_there(shelf: Shelf) -> None:
    changes = one_of_each()
    store, epoch = await committed(shelf, changes)
    await store.commit(epoch, Changes(workers=changes.workers, removed_workers=["w-s1"]))
    _, snapshot = await reopened(shelf, store)
    assert snapshot.workers == changes.workers


async def test_ended_tasks_of_open_sessions_come_by_name_alone(shelf: Shelf) -> None:
    changes = with_tasks("s1", 1, ["succeeded", "queued", "failed", "blocked", "cancelled", "skipped"])
    store, _ = await committed(shelf, changes)
    _, snapshot = await reopened(shelf, store)
    assert [row.task_id for row in snapshot.tasks] == ["t2", "t4"]
    assert [row.task_id for row in snapshot.specs] == ["t2", "t4"]
    assert sorted(snapshot.ended) == [
        EndedTask("s1", "t1", "succeeded"),
        EndedTask("s1", "t3", "failed"),
        EndedTask("s1", "t5", "cancelled"),
        EndedTask("s1", "t6", "skipped"),
    ]


async def test_sessions_that_are_over_come_without_their_tasks(shelf: Shelf) -> None:
    over = with_tasks("s1", 1, ["succeeded"])
    over.sessions = [session(status="completed")]
    store, _ = await committed(shelf, over)
    store, snapshot = await reopened(shelf, store)
    assert snapshot.sessions == over.sessions
    assert (snapshot.tasks, snapshot.ended) == ([], [])
    assert len((await store.read_tasks("s1")).rows) == 1


async def test_tasks_of_several_sessions_load_in_order_of_submission(shelf: Shelf) -> None:
    first, second = with_tasks("s1", 1, ["queued"] * 2), with_tasks("s0", 3, ["queued"] * 2)
    third = with_tasks("s1", 5, ["queued"])
    store, _ = await committed(shelf, third, second, first)
    _, snapshot = await reopened(shelf, store)
    assert [row.ordinal for row in snapshot.tasks] == [1, 2, 3, 4, 5]
    assert [row.ordinal for row in snapshot.specs] == [1, 2, 3, 4, 5]


async def test_a_live_attempt_without_output_is_at_offset_0(shelf: Shelf) -> None:
    changes = one_of_each()
    changes.outputs = [piece("s1", "t1", 0, b"of the attempt before", 1)]
    store, _ = await committed(shelf, changes)
    _, snapshot = await reopened(shelf, store)
    assert snapshot.output_bytes == {"a-s1": 0}


async def test_tasks_are_read_in_pages(shelf: Shelf) -> None:
    store, _ = await committed(shelf, with_tasks("s1", 1, ["queued"] * 5), with_tasks("s2", 6, ["queued"]))
    seen, after = [], 0
    for expected in (2, 2, 1):
        page = await store.read_tasks("s1", after=after, limit=2)
        assert len(page.rows) == expected
        seen += [row.task_id for _, row in page.rows]
        after = page.next_ordinal
    assert seen == ["t1", "t2", "t3", "t4", "t5"]
    assert after == 0
    assert (await store.read_tasks("s1", limit=5)).next_ordinal == 0
    assert (await store.read_tasks("nobody")).rows == []


async def test_tasks_are_read_by_status(shelf: Shelf) -> None:
    statuses = ["failed", "queued", "succeeded", "failed", "running", "skipped", "failed"]
    store, _ = await committed(shelf, with_tasks("s1", 1, statuses))
    page = await store.read_tasks("s1", ["failed", "running", "failed"], after=1, limit=2)
    assert [(row.ordinal, made.ordinal) for made, row in page.rows] == [(4, 4), (5, 5)]
    page = await store.read_tasks("s1", [TaskStatus.FAILED, TaskStatus.RUNNING], after=page.next_ordinal)
    assert [row.ordinal for _, row in page.rows] == [7]
    assert (await store.read_tasks("s1", ["cancelled"])).rows == []


async def test_a_status_that_changed_is_found_under_the_new_one_only(shelf: Shelf) -> None:
    store, epoch = await committed(shelf, with_tasks("s1", 1, ["running"]))
    await store.commit(epoch, Changes(tasks=[task("s1", "t1", 1, status="failed")]))
    assert (await store.read_tasks("s1", ["running"])).rows == []
    assert len((await store.read_tasks("s1", ["failed"])).rows) == 1
    await store.commit(epoch, Changes(tasks=[task("s1", "t1", 1, status="queued")]))
    assert (await store.read_tasks("s1", ["failed"])).rows == []


async def test_a_task_is_read_with_its_attempts_oldest_first(shelf: Shelf) -> None:
    changes = with_tasks("s1", 1, ["queued", "queued"])
    changes.attempts = [attempt("s1", "t1", number) for number in (10, 2, 1)] + [attempt("s1", "t2", 1)]
    store, _ = await committed(shelf, changes)
    found = await store.read_task("s1", "t1")
    assert found is not None
    assert [row.number for row in found[2]] == [1, 2, 10]
    assert await store.read_task("s1", "t3") is None


async def test_output_is_read_from_an_offset_up_to_a_limit(shelf: Shelf) -> None:
    changes = with_tasks("s1", 1, ["running"])
    changes.outputs = [piece("s1", "t1", at, bytes([at]) * 10) for at in (20, 0, 10)]
    changes.outputs += [piece("s1", "t1", 0, b"another attempt", 2), piece("s1", "t2", 0, b"another task")]
    store, _ = await committed(shelf, changes)

    async def offsets(offset: int, limit_bytes: int) -> list[int]:
        return [row.offset for row in await store.read_output("s1", "t1", 1, offset, limit_bytes)]

    assert await offsets(0, 100) == [0, 10, 20]
    assert await offsets(0, 20) == [0, 10]
    assert await offsets(0, 29) == [0, 10]
    assert await offsets(9, 1) == [0]
    assert await offsets(10, 1) == [10]
    assert await offsets(15, 100) == [10, 20]
    assert await offsets(30, 100) == []


async def test_output_behind_a_gap_is_read_from_within_the_gap(shelf: Shelf) -> None:
    changes = with_tasks("s1", 1, ["running"])
    changes.outputs = [piece("s1", "t1", 0, b"head"), piece("s1", "t1", 1000, b"tail")]
    store, _ = await committed(shelf, changes)
    assert [row.offset for row in await store.read_output("s1", "t1", 1, 4)] == [1000]
    assert [row.offset for row in await store.read_output("s1", "t1", 1, 999)] == [1000]


async def test_the_counters_of_the_last_commit_are_kept(shelf: Shelf) -> None:
    store = shelf.store()
    meta = (await store.open(NOW_US, WORKSPACE)).meta
    kept = meta._replace(revision=5, last_us=NOW_US + 9, next_fence=NOW_US + 70, next_index=8, next_order=3)
    await store.commit(meta.epoch, Changes(revision=5, meta=kept))
    await store.commit(meta.epoch, Changes(revision=6))
    _, snapshot = await reopened(shelf, store)
    assert snapshot.meta == kept._replace(revision=6, epoch=NOW_US + 1, next_fence=NOW_US + 71)


async def test_epochs_grow_even_when_the_clock_went_back(shelf: Shelf) -> None:
    epochs, fences, ids = [], [], set()
    for now_us in (NOW_US, NOW_US - 10**9, NOW_US, NOW_US + 500):
        store = shelf.store()
        meta = (await store.open(now_us, WORKSPACE)).meta
        epochs.append(meta.epoch)
        fences.append(meta.next_fence)
        ids.add(meta.store_id)
        await store.close()
    assert epochs == [NOW_US, NOW_US + 1, NOW_US + 2, NOW_US + 500]
    assert fences == sorted(set(fences)) and fences[0] >= NOW_US
    assert all(fence >= epoch for fence, epoch in zip(fences, epochs, strict=True))
    assert len(ids) == 1


async def test_a_restored_backup_cannot_reuse_an_epoch_or_a_fence(shelf: Shelf, tmp_path: Path) -> None:
    changes = one_of_each()
    store, epoch = await committed(shelf, changes)
    await store.backup(tmp_path / "backup.db")
    await store.commit(epoch, Changes(revision=2, removed_sessions=["s1"]))
    await store.close()
    restored = await shelf.restored(tmp_path / "backup.db").open(NOW_US + 10, WORKSPACE)
    assert restored.sessions == changes.sessions
    assert restored.tasks == changes.tasks
    assert restored.output_bytes == {"a-s1": 12}
    assert (restored.grants, restored.lock_requests) == (changes.grants, changes.lock_requests)
    assert restored.meta.epoch == NOW_US + 10 > epoch
    assert restored.meta.next_fence >= NOW_US + 10


async def test_a_backup_is_private_and_never_replaces_a_file(shelf: Shelf, tmp_path: Path) -> None:
    store, epoch = await committed(shelf, one_of_each())
    target = tmp_path / "backup.db"
    await store.backup(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    before = target.read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        await store.backup(target)
    with pytest.raises(StoreError, match=r"no backup was written: .*No such file or directory"):
        await store.backup(tmp_path / "missing" / "backup.db")
    assert target.read_bytes() == before
    assert not [name for name in files_in(tmp_path) if name.startswith(".")]
    await store.commit(epoch, Changes(revision=2))


async def test_another_epoch_is_fenced_and_its_store_is_done(shelf: Shelf) -> None:
    store, epoch = await committed(shelf, one_of_each())
    with pytest.raises(FencedError, match="taken over"):
        await store.commit(epoch - 1, Changes(revision=2, removed_sessions=["s1"]))
    with pytest.raises(CommitError):
        await store.commit(epoch, Changes(revision=2, removed_sessions=["s1"]))
    with pytest.raises(StoreError):
        await store.read_task("s1", "t1")
    _, snapshot = await reopened(shelf, store)
    assert len(snapshot.sessions) == 1


async def test_a_commit_that_carries_counters_of_another_epoch_is_refused(shelf: Shelf) -> None:
    store = shelf.store()
    meta = (await store.open(NOW_US, WORKSPACE)).meta
    with pytest.raises(CommitError, match="bug"):
        await store.commit(meta.epoch, Changes(meta=meta._replace(epoch=meta.epoch + 1)))


async def test_rows_of_another_workspace_are_refused(shelf: Shelf) -> None:
    store, _ = await committed(shelf, one_of_each())
    await store.close()
    with pytest.raises(StoreError, match=f"belongs to workspace {WORKSPACE}, not to elsewhere"):
        await shelf.store().open(NOW_US, "elsewhere")


async def test_a_store_that_is_not_open_or_closed_refuses(shelf: Shelf) -> None:
    store = shelf.store()
    with pytest.raises(StoreError, match="not open"):
        await store.read_tasks("s1")
    epoch = (await store.open(NOW_US, WORKSPACE)).meta.epoch
    with pytest.raises(StoreError, match="open already"):
        await store.open(NOW_US, WORKSPACE)
    await store.close()
    await store.close()
    with pytest.raises(CommitError, match="not open"):
        await store.commit(epoch, Changes(revision=1))
    with pytest.raises(StoreError, match="not open"):
        await store.read_output("s1", "t1", 1)


async def test_a_snapshot_does_not_change_with_later_commits(shelf: Shelf) -> None:
    store = shelf.store()
    snapshot = await store.open(NOW_US, WORKSPACE)
    before = replace(snapshot)
    await store.commit(snapshot.meta.epoch, one_of_each())
    assert snapshot == before
    assert snapshot.sessions == []


async def test_many_rows_load_in_full_and_in_order(shelf: Shelf) -> None:
    """More than one part of a snapshot, and a message longer than one read of a channel."""
    changes = with_tasks("s1", 1, ["queued"] * 2500)
    changes.specs[7] = spec("s1", "t8", 8, spec=bytes(range(256)) * 8192)
    store, _ = await committed(shelf, changes)
    _, snapshot = await reopened(shelf, store)
    assert snapshot.tasks == changes.tasks
    assert snapshot.specs == changes.specs


def test_the_store_says_what_it_is(shelf: Shelf) -> None:
    assert shelf.store().description.startswith(shelf.kind.split("-")[0])
