"""The schema agrees with the row types, and rows with their checksums."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from buildrunner_coordinator.domain.changes import Changes
from buildrunner_coordinator.store.base import NewerSchemaError, StoreError
from buildrunner_coordinator.store.rows import META, REMOVALS, TABLES, Table
from buildrunner_coordinator.store.schema import STEPS, migrate, steps
from tests.store.store_rows import filled


@pytest.mark.parametrize("table", [META, *TABLES], ids=lambda table: table.name)
def test_the_columns_of_a_table_are_the_fields_of_its_rows(table: Table) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, Path("new"))
        columns = connection.execute(f"PRAGMA table_info({table.name})").fetchall()
    assert [column[1] for column in columns] == [*table.columns, "checksum"]


def test_everything_that_a_commit_may_carry_has_its_place() -> None:
    others = {"revision", "meta", "removed_sessions", "output_trims"}
    places = {*others, *REMOVALS, *(table.name for table in TABLES)}
    assert set(Changes.__dataclass_fields__) == places


@pytest.mark.parametrize("table", [META, *TABLES], ids=lambda table: table.name)
def test_each_column_counts_in_the_checksum(table: Table) -> None:
    row = filled(table.row_type)
    stored = (*row, table.seal(row))
    assert table.unsealed(stored) == row
    for index, value in enumerate(row):
        others = [value + 1, None] if isinstance(value, int) else [value[:-1], value + value[:1], None]
        for other in others:
            assert table.unsealed((*stored[:index], other, *stored[index + 1 :])) is None, table.columns[
                index
            ]


def test_a_row_in_another_table_is_not_sound() -> None:
    row = filled(TABLES.pools.row_type)
    renamed = Table("elsewhere", TABLES.pools.row_type, TABLES.pools.key)
    assert renamed.unsealed((*row, TABLES.pools.seal(row))) is None


def test_steps_are_applied_in_order_and_once(tmp_path: Path) -> None:
    first = STEPS.joinpath("0001_first.sql").read_text()
    (tmp_path / "0001_first.sql").write_text(first)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, Path("db"), tmp_path)
        (tmp_path / "0002_more.sql").write_text("CREATE TABLE more (a);\nINSERT INTO more VALUES (';');\n")
        migrate(connection, Path("db"), tmp_path)
        migrate(connection, Path("db"), tmp_path)
        assert connection.execute("SELECT a FROM more").fetchall() == [(";",)]
        (tmp_path / "0002_more.sql").unlink()
        with pytest.raises(NewerSchemaError, match="schema 2, here 1"):
            migrate(connection, Path("db"), tmp_path)


def test_a_step_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE a (b);\nINSERT INTO nowhere VALUES (1);\n")
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            migrate(connection, Path("db"), tmp_path)
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        assert connection.execute("PRAGMA user_version").fetchone() == (0,)


def test_a_missing_step_is_a_broken_installation(tmp_path: Path) -> None:
    (tmp_path / "0002_more.sql").write_text("SELECT 1;\n")
    with pytest.raises(StoreError, match="install again"):
        steps(tmp_path)
