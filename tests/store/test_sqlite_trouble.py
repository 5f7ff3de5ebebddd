"""Places and disks that do not work: one clear line each, and nothing false said."""

from __future__ import annotations

import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import buildrunner_coordinator
from buildrunner_coordinator.domain.changes import Changes, WorkerRow
from buildrunner_coordinator.store import database as databases
from buildrunner_coordinator.store.base import CommitError, StoreError
from buildrunner_coordinator.store.database import Database
from buildrunner_coordinator.store.file_systems import NETWORKED, file_system_of
from buildrunner_coordinator.store.sqlite import SqliteStore
from tests.store.store_rows import NOW_US, WORKSPACE, files_in, filled, one_of_each

Make = Callable[..., SqliteStore]

# Gives up the privileges that let root write where the mode forbids it; for anybody else it changes nothing.
OPEN_UNPRIVILEGED = """
import ctypes, sys
from pathlib import Path
from buildrunner_coordinator.store.base import StoreError
from buildrunner_coordinator.store.database import Database
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()) == 0
try:
    Database(Path(sys.argv[1])).open(1, "w")
except StoreError as error:
    print(error)
"""


def open_unprivileged(path: Path) -> str:
    root = Path(buildrunner_coordinator.__file__).parents[1]
    command = [sys.executable, "-c", OPEN_UNPRIVILEGED, str(path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_a_read_only_directory_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o555)
    assert open_unprivileged(folder / "state.db") == (
        f"{folder}/state.db cannot be opened or made: Permission denied: "
        "check that its directory exists and is writable\n"
    )


def test_a_read_only_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.touch(mode=0o444)
    assert "Permission denied" in open_unprivileged(path)


async def test_a_missing_directory_is_one_line(make_sqlite: Make, tmp_path: Path) -> None:
    for writer in ("inline", "process"):
        with pytest.raises(StoreError, match=r"missing/state\.db cannot be opened or made: No such file"):
            await make_sqlite(tmp_path / "missing" / "state.db", writer=writer).open(NOW_US, WORKSPACE)


def test_a_full_disk_ends_the_store_and_keeps_what_was_committed(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    epoch = database.open(NOW_US, WORKSPACE).epoch
    database.commit(epoch, one_of_each())
    assert database._connection is not None
    database._connection.execute("PRAGMA max_page_count = 1")
    large = Changes(workers=[filled(WorkerRow, worker_id="w9", metadata_json="x" * 1_000_000)])
    with pytest.raises(CommitError, match=r"no space is left for .*state\.db: free some space"):
        database.commit(epoch, large)
    with pytest.raises(CommitError, match="no space is left"):
        database.commit(epoch, Changes(revision=9))
    with pytest.raises(StoreError, match="no space is left"):
        database.read_task("s1", "t1")
    again = Database(tmp_path / "state.db")
    assert again.open(NOW_US, WORKSPACE).revision == 1
    assert [row[0] for name, rows in again.snapshot_parts() if name == "workers" for row in rows] == ["w-s1"]
    again.close()


async def test_a_write_error_in_the_writer_process_ends_the_store(make_sqlite: Make) -> None:
    store = make_sqlite()
    epoch = (await store.open(NOW_US, WORKSPACE)).meta.epoch
    await store.commit(epoch, one_of_each())
    assert store.writer_pid is not None
    resource.prlimit(store.writer_pid, resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
    large = Changes(workers=[filled(WorkerRow, worker_id="w9", metadata_json="x" * 8_000_000)])
    with pytest.raises(CommitError, match=r"cannot be read or written .*check its disk"):
        await store.commit(epoch, large)
    with pytest.raises(CommitError, match="check its disk"):
        await store.commit(epoch, Changes(revision=9))
    await store.close()
    snapshot = await make_sqlite().open(NOW_US, WORKSPACE)
    assert [row.worker_id for row in snapshot.workers] == ["w-s1"]


async def test_a_value_that_no_column_takes_fails_the_commit_whole(make_sqlite: Make) -> None:
    store = make_sqlite(writer="inline")
    epoch = (await store.open(NOW_US, WORKSPACE)).meta.epoch
    changes = one_of_each()
    changes.workers = [filled(WorkerRow, worker_id="w1", pid=2**70)]
    with pytest.raises(CommitError, match="OverflowError"):
        await store.commit(epoch, changes)
    assert (await make_sqlite(writer="inline").open(NOW_US, WORKSPACE)).sessions == []


def test_a_second_opening_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "BUSY_TIMEOUT_S", 0.05)
    first, second = Database(tmp_path / "state.db"), Database(tmp_path / "state.db")
    first.open(NOW_US, WORKSPACE)
    with pytest.raises(StoreError, match="in use by another process"):
        second.open(NOW_US, WORKSPACE)
    first.close()
    second.open(NOW_US, WORKSPACE)
    second.close()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_network_file_system_is_refused_before_anything_is_made(kind: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=rf"lies on a network file system \({kind}\)"):
        Database(tmp_path / "state.db", file_system_of=lambda path: kind).open(NOW_US, WORKSPACE)
    assert files_in(tmp_path) == []


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    inner = tmp_path / "a b"
    escaped = str(inner).replace(" ", "\\040")
    mounts.write_text(
        f"/dev/x / ext4 rw 0 0\nhost:/y {escaped} nfs4 rw 0 0\nproc {tmp_path}/proc proc rw 0 0\n"
        f"old {tmp_path}/twice ext4 rw 0 0\nnew {tmp_path}/twice cifs rw 0 0\n"
    )
    assert file_system_of(inner / "deep", mounts) == "nfs4"
    assert file_system_of(tmp_path / "a", mounts) == "ext4"
    assert file_system_of(tmp_path / "twice", mounts) == "cifs"
    assert file_system_of(tmp_path, tmp_path / "nothing") == ""


def test_the_disk_that_tests_run_on_is_not_refused(tmp_path: Path) -> None:
    assert file_system_of(tmp_path) not in NETWORKED


async def test_the_database_is_private_and_leaves_no_log_behind(make_sqlite: Make, tmp_path: Path) -> None:
    store = make_sqlite(writer="inline")
    await store.open(NOW_US, WORKSPACE)
    assert files_in(tmp_path) == ["state.db", "state.db-wal"]
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in files_in(tmp_path)}
    assert modes == {0o600}
    await store.close()
    assert files_in(tmp_path) == ["state.db"]


def test_the_log_is_written_back_after_many_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "CHECKPOINT_COMMITS", 3)
    database = Database(tmp_path / "state.db")
    epoch = database.open(NOW_US, WORKSPACE).epoch
    for revision in (1, 2):
        database.commit(epoch, one_of_each(f"s{revision}", revision, revision))
        database.checkpoint()
    before = (tmp_path / "state.db").stat().st_size
    database.commit(epoch, Changes(revision=3))
    database.checkpoint()
    assert (tmp_path / "state.db").stat().st_size > before
    database.close()
