"""The harness is worth something only if it catches bugs: these are planted, and must be found."""

from __future__ import annotations

import pytest

from tests.sim.planted import PLANTS
from tests.sim.shrink import Run, run_seed

WITHIN_SEEDS = 200
FIRST_SEEDS = {"every-pause-gives-up": 80, "no-room-kept": 100, "taken-and-given-up": 200}
"""Where the search begins: two take a grant to a session that is paused and still runs something, one a long
rivalry for one worker. Few seeds have these."""

pytestmark = pytest.mark.timeout(600)  # up to 200 seeds, on however little of a processor


def first_failure(name: str) -> Run | None:
    first = FIRST_SEEDS.get(name, 0)
    for seed in range(first, first + WITHIN_SEEDS):
        run = run_seed(seed, make_hooks=PLANTS[name])
        if run.error is not None:
            return run
    return None


@pytest.mark.parametrize("name", sorted(PLANTS))
def test_a_planted_bug_is_caught(name):
    run = first_failure(name)
    assert run is not None, f"{name} lived through {WITHIN_SEEDS} seeds"
    assert isinstance(run.error, AssertionError), f"{name} broke the harness, not a rule: {run.error!r}"


def test_a_plant_is_gone_after_its_run():
    clean = run_seed(3, events=200).digest
    run_seed(3, events=200, make_hooks=PLANTS["no-lock-delay"])
    assert run_seed(3, events=200).digest == clean
