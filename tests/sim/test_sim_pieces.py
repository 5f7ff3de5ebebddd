"""The same seeds where all that goes in pieces goes in the smallest ones, with what comes between."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import dependents, endings, reviving
from tests.sim.shrink import run_seed
from tests.sim.story import tell

SEEDS, EVENTS = 24, 300


@pytest.mark.parametrize("size", [1, 2])
def test_no_seed_breaks_a_rule_where_pieces_are_small(size, monkeypatch):
    monkeypatch.setattr(endings, "SWEEP_TASKS", size)
    monkeypatch.setattr(dependents, "TOLD_TASKS", size)
    monkeypatch.setattr(reviving, "REVIVED_TASKS", size)
    for seed in range(SEEDS):
        run = run_seed(seed, events=EVENTS)
        assert run.error is None, f"seed {seed}, pieces of {size}\n{tell(run.error, run.trace)}"
