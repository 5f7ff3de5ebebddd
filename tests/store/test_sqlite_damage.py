"""Files that are not as they were written: each is refused with one line, or read in full."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from buildrunner_coordinator.domain.questions import AttemptQuery, EventQuery, LockTimeQuery
from buildrunner_coordinator.store.base import DamagedRowError, NewerSchemaError, StoreError
from buildrunner_coordinator.store.rows import META, TABLES, Table
from buildrunner_coordinator.store.schema import steps
from buildrunner_coordinator.store.sqlite import SqliteStore
from tests.store.store_rows import NOW_US, WORKSPACE, one_of_each

Make = Callable[..., SqliteStore]


async def make_database(make_sqlite: Make) -> None:
    store = make_sqlite(writer="inline")
    epoch = (await store.open(NOW_US, WORKSPACE)).meta.epoch
    await store.commit(epoch, one_of_each())
    await store.close()


def alter(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(sql).rowcount != 0


async def read_everything(store: SqliteStore) -> None:
    await store.open(NOW_US, WORKSPACE)
    await store.read_tasks("s1")
    await store.read_task("s1", "t1")
    await store.read_output("s1", "t1", 2)
    await store.read_attempts(AttemptQuery("s1", with_specs=True))
    await store.read_events(EventQuery("s1"))
    await store.read_patch("s1", "t1", 0)
    await store.read_lock_times(LockTimeQuery())


@pytest.mark.parametrize("table", [META, *TABLES], ids=lambda table: table.name)
async def test_a_changed_column_is_found(table: Table, make_sqlite: Make, tmp_path: Path) -> None:
    """One column of each table; that every column counts is shown beside the checksums."""
    await make_database(make_sqlite)
    column = table.columns[-1]
    alter(tmp_path / "state.db", f"UPDATE {table.name} SET {column} = coalesce({column}, 0) || '7'")
    with pytest.raises(DamagedRowError, match=f"table {table.name} is not as it was written: restore"):
        await read_everything(make_sqlite(writer="inline"))


@pytest.mark.parametrize("table", [META, *TABLES], ids=lambda table: table.name)
async def test_a_changed_checksum_is_found(table: Table, make_sqlite: Make, tmp_path: Path) -> None:
    await make_database(make_sqlite)
    alter(tmp_path / "state.db", f"UPDATE {table.name} SET checksum = checksum + 1")
    with pytest.raises(DamagedRowError, match=f"table {table.name}"):
        await read_everything(make_sqlite(writer="inline"))


MARKS = {
    "sessions": "reported_json ü", "specs": "traits_json ü", "tasks": "avoid_json ü",
    "workers": "capabilities_json ü", "outputs": "world\n", "requests": "reply\0",
    "patches": "diff --git", "grants": "holds for", "lock_requests": "waits for", "lock_times": "path ü",
}  # fmt: skip


@pytest.mark.parametrize("table", MARKS)
async def test_one_flipped_byte_of_a_row_is_found(table: str, make_sqlite: Make, tmp_path: Path) -> None:
    await make_database(make_sqlite)
    path = tmp_path / "state.db"
    content = bytearray(path.read_bytes())
    at = content.rfind(MARKS[table].encode())
    assert at > 0
    for bit in (0, 7):
        flipped = content.copy()
        flipped[at] ^= 1 << bit
        path.write_bytes(flipped)
        store = make_sqlite(writer="inline")
        with pytest.raises(DamagedRowError, match=r"state\.db is damaged: the row .* restore the database"):
            await read_everything(store)
        await store.close()


async def test_a_damaged_row_is_named_through_the_writer_process_too(
    make_sqlite: Make, tmp_path: Path
) -> None:
    await make_database(make_sqlite)
    alter(tmp_path / "state.db", "UPDATE tasks SET status = 'succeeded'")
    with pytest.raises(DamagedRowError, match=r"the row \('s1', 't1', 1\) of table tasks"):
        await make_sqlite().open(NOW_US, WORKSPACE)


@pytest.mark.parametrize(
    ("sql", "named"),
    [("DELETE FROM specs", r"row \('s1', 't1', 1\) of table specs"), ("DELETE FROM meta", "of table meta")],
)
async def test_a_missing_row_is_found(sql: str, named: str, make_sqlite: Make, tmp_path: Path) -> None:
    await make_database(make_sqlite)
    alter(tmp_path / "state.db", sql)
    with pytest.raises(DamagedRowError, match=named):
        await make_sqlite(writer="inline").open(NOW_US, WORKSPACE)


@pytest.mark.parametrize("writer", ["inline", "process"])
async def test_a_database_of_a_newer_version_is_left_alone(
    writer: str, make_sqlite: Make, tmp_path: Path
) -> None:
    await make_database(make_sqlite)
    alter(tmp_path / "state.db", "PRAGMA user_version = 999")
    with pytest.raises(NewerSchemaError, match=r"newer version of this program \(schema 999.*update"):
        await make_sqlite(writer=writer).open(NOW_US, WORKSPACE)
    alter(tmp_path / "state.db", f"PRAGMA user_version = {len(steps())}")
    assert len((await make_sqlite(writer=writer).open(NOW_US, WORKSPACE)).sessions) == 1


async def test_a_changed_definition_is_found(make_sqlite: Make, tmp_path: Path) -> None:
    await make_database(make_sqlite)
    path = tmp_path / "state.db"
    content = path.read_bytes()
    for old, new in ((b"traits_json TEXT", b"traits_jsom TEXT"), (b"<> 'queued'", b"<> 'qveued'")):
        assert old in content
        path.write_bytes(content.replace(old, new))
        with pytest.raises(DamagedRowError, match="table sqlite_master"):
            await make_sqlite(writer="inline").open(NOW_US, WORKSPACE)


async def test_a_file_that_is_no_database_is_refused(make_sqlite: Make, tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("sessions: none\n" * 4096)
    with pytest.raises(StoreError, match="is not a database"):
        await make_sqlite(writer="inline").open(NOW_US, WORKSPACE)


async def test_a_database_of_another_program_is_refused(make_sqlite: Make, tmp_path: Path) -> None:
    alter(tmp_path / "state.db", "CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(StoreError, match="database of another program"):
        await make_sqlite(writer="inline").open(NOW_US, WORKSPACE)


async def test_a_truncated_database_is_refused_with_one_line(make_sqlite: Make, tmp_path: Path) -> None:
    await make_database(make_sqlite)
    path = tmp_path / "state.db"
    content = path.read_bytes()
    for size in [*range(1, 101, 33), *range(512, len(content), 3000), len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(StoreError) as caught:
            await read_everything(make_sqlite(writer="inline"))
        assert "state.db" in str(caught.value) and "\n" not in str(caught.value), size


async def test_a_database_cut_to_nothing_beside_its_log_is_refused(make_sqlite: Make, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = make_sqlite(writer="inline")
    await store.open(NOW_US, WORKSPACE)
    (tmp_path / "copy.db").touch()
    (tmp_path / "copy.db-wal").write_bytes(path.with_name("state.db-wal").read_bytes())
    with pytest.raises(StoreError, match="damaged"):
        await make_sqlite(tmp_path / "copy.db", writer="inline").open(NOW_US, WORKSPACE)
