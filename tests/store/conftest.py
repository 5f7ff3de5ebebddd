"""The stores that the behaviour suite runs against."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from buildrunner_coordinator.store.base import Store
from buildrunner_coordinator.store.memory import MemoryRows, MemoryStore
from buildrunner_coordinator.store.sqlite import SqliteStore


class Shelf:
    """Makes stores over the same rows, as restarts do, and over backups; closes them in the end."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.path = folder / "state.db"
        self._rows = MemoryRows()
        self._made: list[Store] = []

    def store(self) -> Store:
        """Another store over the same rows; close the last one first."""
        if self.kind == "memory":
            return self._keep(MemoryStore(self._rows))
        return self._keep(self._sqlite(self.path))

    def restored(self, backup: Path) -> Store:
        return self._keep(self._sqlite(backup))

    async def close_all(self) -> None:
        for store in self._made:
            await store.close()

    def _sqlite(self, path: Path) -> SqliteStore:
        return SqliteStore(path, writer="process" if self.kind == "sqlite-process" else "inline")

    def _keep(self, store: Store) -> Store:
        self._made.append(store)
        return store


@pytest.fixture(params=["memory", "sqlite-inline", "sqlite-process"])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    shelf = Shelf(request.param, tmp_path)
    yield shelf
    await shelf.close_all()


@pytest.fixture
async def make_sqlite(tmp_path: Path) -> AsyncIterator[Callable[..., SqliteStore]]:
    """Makes SQLite stores, which are closed in the end."""
    made: list[SqliteStore] = []

    def make(path: Path = tmp_path / "state.db", **options: object) -> SqliteStore:
        made.append(SqliteStore(path, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    closings: list[Awaitable[None]] = [store.close() for store in made]
    for closing in closings:
        await closing
