"""A database that an older schema wrote is carried over: rows, checksums, what can be known of its past.

`data/written_by_schema_N.sql` are dumps of databases that the programs of those times really wrote.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain import invariants
from buildrunner_coordinator.domain.core import Core
from buildrunner_coordinator.domain.model import Kinds, Settings, Time
from buildrunner_coordinator.domain.questions import AttemptQuery, EventQuery, LockTimeQuery
from buildrunner_coordinator.domain.replies import LockPage
from buildrunner_coordinator.domain.steps import task_history
from buildrunner_coordinator.store.base import DamagedRowError
from buildrunner_coordinator.store.rows import TABLES
from buildrunner_coordinator.store.schema import migrate, steps
from buildrunner_coordinator.store.sqlite import SqliteStore

DUMPS = {n: Path(__file__).with_name("data") / f"written_by_schema_{n}.sql" for n in (1, 3)}
NOW_US = 1_790_000_100_000_000
WORKSPACE = "workspace"
FIRST, SECOND = "910a2dec", "975835de"
LEFT = "1d0b14e4"
"""In the third schema: a removed session of which there was a row yet."""
WORKER = "6e73e372"
CARRIED = ("meta", "sessions", "specs", "tasks", "attempts", "outputs", "events", "workers", "pools")

Make = Callable[..., SqliteStore]


@pytest.fixture
def old_database(tmp_path: Path) -> Path:
    return written_by(1, tmp_path)


@pytest.fixture
def third_database(tmp_path: Path) -> Path:
    return written_by(3, tmp_path)


def written_by(schema: int, folder: Path) -> Path:
    path = folder / "state.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMPS[schema].read_text())
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


@pytest.mark.parametrize(("schema", "live"), [(1, 2), (3, 8)])
async def test_a_migrated_database_is_made_as_a_new_one_and_opens_again(
    schema: int, live: int, tmp_path: Path, make_sqlite: Make
) -> None:
    old_database = written_by(schema, tmp_path)
    await (store := make_sqlite(old_database, writer="inline")).open(NOW_US, WORKSPACE)
    await store.close()
    assert version_of(old_database) == len(steps())
    snapshot = await (store := make_sqlite(old_database)).open(NOW_US, WORKSPACE)
    await store.close()
    assert len(snapshot.tasks) == live
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


# ---------------------------------------------------------------- from the third schema


def rows_of(path: Path, table: str) -> list[dict[str, object]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3")]


def test_what_the_third_schema_wrote_is_kept_to_the_last_column(third_database: Path) -> None:
    old = {name: rows_of(third_database, name) for name in CARRIED}
    with closing(sqlite3.connect(third_database, isolation_level=None)) as connection:
        migrate(connection, third_database)
    added: dict[str, dict[str, object]] = {
        "meta": {"next_ticket": 1, "folds_case": 0},
        "tasks": {"ticket": 0, "waits_since_us": 0},
        "attempts": {"patch_bytes": 0, "patch_dropped_bytes": 0, "branch": "", "commit_id": "", "merged": 0},
        "workers": {"lease_ms": 0},
    }
    for name, before in old.items():
        expected = [{**row, **added.get(name, {})} for row in before]
        after = rows_of(third_database, name)
        if name in added:  # sealed anew: whether rightly, the reading of all rows tells
            for row in (*expected, *after):
                del row["checksum"]
        assert before and after == expected, name


async def test_those_who_waited_for_paths_wait_in_their_order(
    third_database: Path, make_sqlite: Make
) -> None:
    store = make_sqlite(third_database, writer="inline")
    snapshot = await store.open(NOW_US, WORKSPACE)
    assert {row.ticket for row in snapshot.tasks} == {0}
    held = tuple(c.Held(row.attempt_id, row.fence, True) for row in snapshot.tasks if row.attempt_id)
    now = Time(NOW_US, NOW_US)
    core = Core.load(snapshot, Settings(), now)
    invariants.check(core)
    core.apply(c.Register(1, WORKER, slots=3, kinds=Kinds(True), held=held, store_id=core.store_id), now)
    answer = core.apply(c.ListLocks(), now)
    core.place(now)
    invariants.check(core)
    page = answer() if callable(answer) else None
    assert isinstance(page, LockPage)
    assert [(one.position, one.holder.task_id) for one in page.waiters] == [
        (1, "waits-1"), (2, "reads"), (3, "waits-2"),
    ]  # fmt: skip
    assert [row.attempt_id for row in snapshot.lapses] == ["adfc37bce921c586"]
    assert (snapshot.grants, snapshot.lock_requests) == ([], [])


async def test_every_row_of_the_third_schema_is_sound_behind_the_step(
    third_database: Path, make_sqlite: Make
) -> None:
    store = make_sqlite(third_database, writer="inline")
    await store.open(NOW_US, WORKSPACE)
    ended = {}
    for session_id in (FIRST, SECOND):
        assert len((await store.read_tasks(session_id)).rows) == 5
        page = await store.read_attempts(AttemptQuery(session_id, with_specs=True))
        ended[session_id] = [(row.task_id, row.patch_bytes, row.merged) for row, _ in page.rows]
        assert await store.read_events(EventQuery(session_id))
    assert ended == {FIRST: [("ok", 0, 0), ("again", 0, 0), ("crashes", 0, 0)], SECOND: [("lost", 0, 0)]}
    assert await store.read_patch(FIRST, "ok", 0) is None
    assert await store.read_lock_times(LockTimeQuery()) == []


async def test_a_removal_that_was_under_way_goes_on(third_database: Path, make_sqlite: Make) -> None:
    assert [row["session_id"] for row in rows_of(third_database, "attempts")].count(LEFT) == 1
    store = make_sqlite(third_database, writer="inline")
    await store.open(NOW_US, WORKSPACE)
    assert (await store.read_attempts(AttemptQuery(LEFT))).rows == []
    await store.close()
    assert LEFT not in [row["session_id"] for row in rows_of(third_database, "attempts")]


@pytest.mark.parametrize(
    ("table", "sql"),
    [
        ("meta", "UPDATE meta SET next_order = next_order - 1"),
        ("tasks", "UPDATE tasks SET given_back = 3 WHERE task_id = 'reads'"),
        ("attempts", "UPDATE attempts SET modified_files_json = '[]' WHERE task_id = 'ok'"),
        ("attempts", "UPDATE attempts SET ended_revision = 1 WHERE task_id = 'lost'"),
    ],
)
async def test_a_damaged_row_of_the_third_schema_is_not_sealed_as_sound(
    table: str, sql: str, third_database: Path, make_sqlite: Make
) -> None:
    with closing(sqlite3.connect(third_database)) as connection:
        connection.execute(sql)
        connection.commit()
    with pytest.raises(DamagedRowError, match=f"of table {table} is not as it was written"):
        await make_sqlite(third_database, writer="inline").open(NOW_US, WORKSPACE)
    assert version_of(third_database) == 3


@pytest.mark.parametrize("schema", DUMPS)
def test_released_steps_are_as_they_were(schema: int, tmp_path: Path) -> None:
    """A dump has what the steps of its time made: an edit of one would strand every database out there."""
    for number in range(1, schema + 1):
        shutil.copy(steps()[number], tmp_path)
    definitions = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY 1, 2"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as dumped:
        dumped.executescript(DUMPS[schema].read_text())
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
            migrate(made, Path("new"), tmp_path)
            assert made.execute(definitions).fetchall() == dumped.execute(definitions).fetchall()
            assert len(made.execute(definitions).fetchall()) == {1: 13, 3: 19}[schema]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_checksum_by_definition_is_the_checksum_by_row_type(table) -> None:
    from buildrunner_coordinator.store.sealing import _seal, columns_of_tables
    from tests.store.store_rows import filled

    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, Path("new"))
        columns = columns_of_tables(connection)[table.name]
    row = filled(table.row_type)
    assert _seal(table.name, columns)(row) == table.seal(row)
