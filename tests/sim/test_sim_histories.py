"""The look at histories sees what is wrong with one."""

from __future__ import annotations

from typing import Any

import pytest

from buildrunner_coordinator.store.memory import MemoryRows
from tests.sim.histories import check_histories
from tests.sim.trace import SimulationFault
from tests.sim.world import World


@pytest.fixture(scope="module")
def world() -> World:
    world = World(5, events=250)
    world.run()
    return world


@pytest.fixture
def rows(world: World) -> MemoryRows:
    """Those of the run, to be spoilt."""
    again = MemoryRows()
    for name, value in vars(world.coordinator.rows).items():
        setattr(again, name, _copy(value))
    return again


def _copy(value: Any) -> Any:
    return {key: _copy(one) for key, one in value.items()} if isinstance(value, dict) else value


def spoil(rows: MemoryRows, **values: Any) -> None:
    """Changes one attempt that succeeded."""
    row = next(row for mine in rows.attempts.values() for row in mine.values() if row.outcome == "succeeded")
    spoilt = {name: value(row) for name, value in values.items()}
    rows.attempts[row.session_id][row.task_id, row.number] = row._replace(**spoilt)


def test_what_a_run_leaves_is_whole(rows: MemoryRows) -> None:
    assert sum(len(mine) for mine in rows.attempts.values()) > 20
    assert {row.kind for row in rows.events.values()} >= {"lost", "requeued", "registered", "ended"}
    check_histories(rows)


def test_a_start_behind_its_end_is_found(rows: MemoryRows) -> None:
    spoil(rows, started_revision=lambda row: row.ended_revision + 1)
    with pytest.raises(SimulationFault, match="in disorder"):
        check_histories(rows)


def test_an_end_behind_the_end_of_its_task_is_found(rows: MemoryRows) -> None:
    spoil(rows, ended_revision=lambda row: row.ended_revision + 1)
    with pytest.raises(SimulationFault, match="goes back"):
        check_histories(rows)


def test_an_attempt_without_a_place_is_found(rows: MemoryRows) -> None:
    spoil(rows, assigned_revision=lambda row: 0)
    with pytest.raises(SimulationFault, match="in disorder"):
        check_histories(rows)


def test_what_is_noted_behind_an_end_is_found(rows: MemoryRows) -> None:
    lost = next(key for key, row in rows.events.items() if row.kind == "requeued")
    rows.events[lost] = rows.events[lost]._replace(revision=1 << 40)
    with pytest.raises(SimulationFault, match="goes back"):
        check_histories(rows)
