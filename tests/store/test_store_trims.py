"""Trimmed output: every store keeps the same of it, and what is kept is sound."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildrunner_coordinator.domain.changes import Changes, OutputRow, OutputTrim
from buildrunner_coordinator.store.base import DamagedRowError
from buildrunner_coordinator.store.memory import MemoryStore
from buildrunner_coordinator.store.sqlite import SqliteStore
from tests.store.store_rows import NOW_US, WORKSPACE, piece

BYTES = bytes(range(40))
TRIMS = st.tuples(st.integers(1, 2), st.integers(0, 40), st.integers(0, 40))


def cut(ends: set[int]) -> list[tuple[int, bytes]]:
    """The same bytes, cut behind these offsets."""
    places = [0, *sorted(ends), len(BYTES)]
    return [(start, BYTES[start:end]) for start, end in pairwise(places) if start < end]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(1, 39), max_size=10), st.lists(st.lists(TRIMS, max_size=2), max_size=4))
def test_a_database_trims_as_a_store_in_memory_does(
    ends: set[int], commits: list[list[tuple[int, int, int]]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(compare(ends, commits, Path(folder) / "state.db"))


async def compare(ends: set[int], commits: list[list[tuple[int, int, int]]], path: Path) -> None:
    memory, database = MemoryStore(), SqliteStore(path, writer="inline")
    stores = [(store, (await store.open(NOW_US, WORKSPACE)).meta.epoch) for store in (memory, database)]
    written = [piece("s", "t", at, data, number) for number in (1, 2) for at, data in cut(ends)]
    for rows, trims in [(written, []), *(([], one) for one in commits)]:
        changes = Changes(outputs=rows, output_trims=[OutputTrim("s", "t", *one) for one in trims])
        for store, epoch in stores:
            await store.commit(epoch, changes)
    for number in (1, 2):
        kept = await memory.read_output("s", "t", number)
        assert await database.read_output("s", "t", number) == kept
        assert all(row.data == BYTES[row.offset : row.offset + len(row.data)] for row in kept)
    for store, _ in stores:
        await store.close()


@pytest.fixture(params=["memory", "inline", "process"])
async def store(request, tmp_path):
    one: Any = MemoryStore()
    if request.param != "memory":
        one = SqliteStore(tmp_path / "db", writer=request.param)
    one.epoch = (await one.open(NOW_US, WORKSPACE)).meta.epoch
    yield one
    await one.close()


async def test_a_piece_over_the_end_of_a_trim_loses_its_front_alone(store):
    rows = [piece("s", "t", 0, b"head"), piece("s", "t", 4, b"middle"), piece("s", "t", 10, b"tail")]
    changes = Changes(outputs=rows, output_trims=[OutputTrim("s", "t", 1, 4, 12)])
    await store.commit(store.epoch, changes)
    found = await store.read_output("s", "t", 1)
    assert [(row.offset, row.data) for row in found] == [(0, b"head"), (12, b"il")]
    assert found[1] == OutputRow("s", "t", 1, 12, 1, 2, b"il")
    assert await store.read_output("s", "t", 1, 5) == [found[1]]


async def test_other_attempts_and_tasks_are_left_alone(store):
    others = [piece("s", "t", 0, b"xyz", 2), piece("s", "u", 0, b"xyz"), piece("r", "t", 0, b"xyz")]
    await store.commit(store.epoch, Changes(outputs=[piece("s", "t", 0, b"xyz"), *others]))
    await store.commit(store.epoch, Changes(output_trims=[OutputTrim("s", "t", 1, 0, 3)]))
    assert await store.read_output("s", "t", 1) == []
    for row in others:
        assert await store.read_output(row.session_id, row.task_id, row.number) == [row]


async def test_a_damaged_piece_is_not_made_to_look_sound(tmp_path):
    path = tmp_path / "db"
    first = SqliteStore(path, writer="inline")
    epoch = (await first.open(NOW_US, WORKSPACE)).meta.epoch
    await first.commit(epoch, Changes(outputs=[piece("s", "t", 0, b"whole"), piece("s", "t", 5, b"broken")]))
    await first.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE outputs SET data = 'brOken' WHERE offset = 5")
    second = SqliteStore(path, writer="inline")
    epoch = (await second.open(NOW_US, WORKSPACE)).meta.epoch
    await second.commit(epoch, Changes(output_trims=[OutputTrim("s", "t", 1, 0, 8)]))
    with pytest.raises(DamagedRowError):
        await second.read_output("s", "t", 1)
    await second.close()
