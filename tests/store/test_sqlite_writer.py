"""The writer process: what it acknowledged survives its death, and it does not outlive its owner."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from buildrunner_coordinator.domain.changes import Changes
from buildrunner_coordinator.store.base import CommitError, StoreError
from buildrunner_coordinator.store.links import _spawn
from buildrunner_coordinator.store.sqlite import SqliteStore
from buildrunner_coordinator.store.wire import changes_to_plain, pack, receive
from tests.store.store_rows import NOW_US, WORKSPACE, one_of_each, with_tasks

Make = Callable[..., SqliteStore]


def batch(number: int) -> Changes:
    changes = with_tasks("s1", number * 10 + 1, ["queued"] * 10)
    changes.revision = number + 1
    return changes


def writer_of(store: SqliteStore) -> int:
    assert store.writer_pid is not None
    return store.writer_pid


@pytest.mark.parametrize("commits", [1, 7, 40])
async def test_kill_of_the_writer_loses_nothing_that_was_acknowledged(
    commits: int, make_sqlite: Make
) -> None:
    store = make_sqlite()
    epoch = (await store.open(NOW_US, WORKSPACE)).meta.epoch
    acknowledged = 0

    async def commit_on() -> None:
        nonlocal acknowledged
        for number in range(100_000):
            await store.commit(epoch, batch(number))
            acknowledged += 1
            if acknowledged == commits:
                # From now on it may die at any moment, in the middle of a commit too.
                asyncio.get_running_loop().call_later(0.001, os.kill, writer_of(store), signal.SIGKILL)

    with pytest.raises(CommitError, match="has ended"):
        await commit_on()
    with pytest.raises(StoreError):
        await store.read_tasks("s1")
    await store.close()
    snapshot = await make_sqlite().open(NOW_US, WORKSPACE)
    assert acknowledged >= commits
    assert snapshot.meta.revision in (acknowledged, acknowledged + 1)
    # All of a commit or nothing of it.
    assert [row.ordinal for row in snapshot.tasks] == list(range(1, snapshot.meta.revision * 10 + 1))


async def test_signals_that_end_a_coordinator_do_not_end_the_writer(make_sqlite: Make) -> None:
    store = make_sqlite()
    epoch = (await store.open(NOW_US, WORKSPACE)).meta.epoch
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(writer_of(store), number)
    await store.commit(epoch, one_of_each())
    assert os.getsid(writer_of(store)) != os.getsid(0)


async def test_the_writer_ends_with_the_store(make_sqlite: Make) -> None:
    store = make_sqlite()
    await store.open(NOW_US, WORKSPACE)
    writer = psutil.Process(writer_of(store))
    await store.close()
    assert not writer.is_running()


async def test_the_writer_ends_when_opening_fails(make_sqlite: Make, tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(StoreError):
        await make_sqlite(tmp_path / "missing" / "state.db").open(NOW_US, WORKSPACE)
    assert {child.pid for child in psutil.Process().children()} <= before


async def test_calls_at_the_same_time_are_answered_in_order(make_sqlite: Make) -> None:
    store = make_sqlite()
    epoch = (await store.open(NOW_US, WORKSPACE)).meta.epoch
    commits = (store.commit(epoch, batch(number)) for number in range(5))
    _, page = await asyncio.gather(asyncio.gather(*commits), store.read_tasks("s1"))
    assert len(page.rows) == 50


async def test_a_cancelled_call_does_not_disturb_the_next(make_sqlite: Make) -> None:
    store = make_sqlite()
    epoch = (await store.open(NOW_US, WORKSPACE)).meta.epoch
    call = asyncio.create_task(store.commit(epoch, batch(0)))
    await asyncio.sleep(0)
    call.cancel()
    assert len((await store.read_tasks("s1")).rows) == 10
    assert call.cancelled()


async def test_the_lock_is_held_until_the_writer_is_gone(make_sqlite: Make, tmp_path: Path) -> None:
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    store = make_sqlite(lock_fd=lock)
    await store.open(NOW_US, WORKSPACE)
    os.close(lock)
    another = os.open(tmp_path / "lock", os.O_RDWR)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
        await store.close()
        fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(another)


def test_what_has_not_arrived_in_full_is_not_committed(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    process, ours = start_raw(path)
    with ours, ours.makefile("rb") as answers:
        ours.sendall(pack(("open", (NOW_US, WORKSPACE))))
        assert receive(answers)[0] == "done"  # type: ignore[index]
        ours.sendall(pack(("commit", (NOW_US, changes_to_plain(batch(0))))))
        ours.sendall(pack(("commit", (NOW_US, changes_to_plain(batch(1)))))[:-1])
    assert process.wait(60) == 0
    process, ours = start_raw(path)
    with ours, ours.makefile("rb") as answers:
        ours.sendall(pack(("open", (NOW_US, WORKSPACE))))
        while (message := receive(answers)) is not None and message[0] == "part":
            pass
        assert message is not None and message[1][3] == 1  # the revision
    assert process.wait(60) == 0


def start_raw(path: Path) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        return _spawn(path, theirs.fileno(), None), ours
