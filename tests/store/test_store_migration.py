"""A database that schema 1 wrote is carried over: rows, checksums, what can be known of its past.

`data/written_by_schema_1.sql` is the dump of a database that the program of that time really wrote.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from buildrunner_coordinator.domain import invariants
from buildrunner_coordinator.domain.core import Core
from buildrunner_coordinator.domain.model import Settings, Time
from buildrunner_coordinator.domain.questions import AttemptQuery
from buildrunner_coordinator.domain.steps import task_history
from buildrunner_coordinator.store.base import DamagedRowError
from buildrunner_coordinator.store.rows import TABLES
from buildrunner_coordinator.store.schema import STEPS, migrate, steps
from buildrunner_coordinator.store.sqlite import SqliteStore

DUMP = Path(__file__).with_name("data") / "written_by_schema_1.sql"
NOW_US = 1_790_000_100_000_000
WORKSPACE = "workspace"
FIRST, SECOND = "910a2dec", "975835de"

Make = Callable[..., SqliteStore]


@pytest.fixture
def old_database(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP.read_text())
    return path


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


async def test_the_core_comes_back_with_what_was_unfinished(old_database: Path, make_sqlite: Make) -> None:
    assert version_of(old_database) == 1
    store = make_sqlite(old_database, writer="inline")
    snapshot = await store.open(NOW_US, WORKSPACE)
    core = Core.load(snapshot, Settings(), Time(NOW_US, NOW_US))
    invariants.check(core)
    live, waits = core.tasks[FIRST]["live"], core.tasks[FIRST]["waits"]
    assert live.attempt is not None and live.attempt.task_number == live.number == 5
    assert live.attempt.assigned_revision == live.attempt.started_revision == live.revision > 0
    assert (waits.number, waits.submitted_revision, waits.attempt) == (6, 1, None)
    await store.close()
    assert version_of(old_database) == len(steps())


async def test_numbers_count_within_a_session_though_submissions_were_mixed(
    old_database: Path, make_sqlite: Make
) -> None:
    store = make_sqlite(old_database, writer="inline")
    await store.open(NOW_US, WORKSPACE)
    for session_id, names in ((FIRST, "a b needs-a late live waits"), (SECOND, "x fails behind")):
        page = await store.read_tasks(session_id)
        assert [spec.task_id for spec, _ in page.rows] == names.split()
        assert [spec.number for spec, _ in page.rows] == list(range(1, len(page.rows) + 1))


async def test_every_old_attempt_is_listed_once_the_last_of_a_task_at_its_end(
    old_database: Path, make_sqlite: Make
) -> None:
    store = make_sqlite(old_database, writer="inline")
    await store.open(NOW_US, WORKSPACE)
    page = await store.read_attempts(AttemptQuery(FIRST))
    listed = [(row.ended_revision, row.task_id, row.number) for row, _ in page.rows]
    assert listed == [(1, "b", 1), (12, "a", 1), (18, "needs-a", 1), (20, "b", 2), (24, "late", 1)]
    assert page.rows[1][0].result == b"\x00\xff result"
    for row, _ in page.rows:
        assert 0 < row.assigned_revision == row.started_revision == row.ended_revision


async def test_the_history_of_an_old_task_is_whole(old_database: Path, make_sqlite: Make) -> None:
    store = make_sqlite(old_database, writer="inline")
    await store.open(NOW_US, WORKSPACE)
    told = {}
    for session_id, task_id in ((FIRST, "b"), (SECOND, "behind"), (FIRST, "live")):
        found = await store.read_task(session_id, task_id)
        assert found is not None
        told[task_id] = [event.kind for _, event in task_history(*found, [])]
    one = ["assigned", "started", "ended"]
    assert told == {
        "b": ["submitted", *one, *one], "behind": ["submitted", "skipped"],
        "live": ["submitted", "assigned", "started"],
    }  # fmt: skip


async def test_a_migrated_database_is_made_as_a_new_one_and_opens_again(
    old_database: Path, make_sqlite: Make
) -> None:
    await (store := make_sqlite(old_database, writer="inline")).open(NOW_US, WORKSPACE)
    await store.close()
    assert version_of(old_database) == len(steps())
    snapshot = await (store := make_sqlite(old_database)).open(NOW_US, WORKSPACE)
    await store.close()
    assert len(snapshot.tasks) == 2
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        migrate(fresh, Path("new"))
        with closing(sqlite3.connect(old_database)) as carried:
            sql = "SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2"
            assert carried.execute(sql).fetchall() == fresh.execute(sql).fetchall()


@pytest.mark.parametrize(
    ("table", "sql"),
    [
        ("attempts", "UPDATE attempts SET exit_code = 77 WHERE task_id = 'late'"),
        ("attempts", "UPDATE attempts SET result = X'00' WHERE task_id = 'a'"),
        ("attempts", "UPDATE attempts SET result = NULL WHERE task_id = 'a'"),
        ("tasks", "UPDATE tasks SET status = 'succeeded' WHERE task_id = 'fails'"),
        ("specs", "UPDATE specs SET title = 'another' WHERE task_id = 'x'"),
        ("specs", "UPDATE specs SET title = CAST(X'ff' AS TEXT) WHERE task_id = 'x'"),
    ],
)
async def test_an_old_row_that_was_damaged_is_not_sealed_as_sound(
    table: str, sql: str, old_database: Path, make_sqlite: Make
) -> None:
    with closing(sqlite3.connect(old_database)) as connection:
        connection.execute(sql)
        connection.commit()
    for _ in range(2):
        with pytest.raises(DamagedRowError, match=f"of table {table} is not as it was written"):
            await make_sqlite(old_database, writer="inline").open(NOW_US, WORKSPACE)
        assert version_of(old_database) == 1


def test_released_steps_are_as_they_were() -> None:
    """Schema 1 is what the dump has: an edit of its step would strand every database out there."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(DUMP.read_text())
        dumped = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    first = STEPS.joinpath("0001_first.sql").read_text()
    assert len(dumped) == 13 and all(sql in first for sql in dumped.values())


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_checksum_by_definition_is_the_checksum_by_row_type(table) -> None:
    from buildrunner_coordinator.store.sealing import _seal, columns_of_tables
    from tests.store.store_rows import filled

    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, Path("new"))
        columns = columns_of_tables(connection)[table.name]
    row = filled(table.row_type)
    assert _seal(table.name, columns)(row) == table.seal(row)
