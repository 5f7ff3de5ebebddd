"""A bounded number of seeds on every run of the tests; `make simulate` runs more."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.shrink import run_seed, shrink
from tests.sim.story import tell

SEEDS, EVENTS, CHUNKS = 80, 300, 8


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_seed_breaks_a_rule(chunk):
    for seed in range(chunk, SEEDS, CHUNKS):
        run = run_seed(seed, events=EVENTS)
        if run.error is not None:
            kept, least = shrink(run, tries=40)
            pytest.fail(
                f"seed {seed}, {EVENTS} events, actions {kept}\n{tell(least.error or run.error, least.trace)}"
            )


def test_the_same_seed_gives_the_same_run_twice():
    first, second = run_seed(7, events=400), run_seed(7, events=400)
    assert first.digest == second.digest
    assert first.steps == second.steps > 400


def test_another_seed_gives_another_run():
    assert run_seed(7, events=200).digest != run_seed(8, events=200).digest


def test_the_seeds_see_crashes_losses_retries_and_waits():
    wanted = {"coordinator dies", "worker dies", "worker leaves", "process begins", "cancelled", "skipped",
              "Assign", "Revoke", "Stop", "Drain", "Acknowledge"}  # fmt: skip
    seen: set[Any] = set()
    for seed in range(SEEDS):
        lines: list[tuple[int, str, Any]] = list(run_seed(seed, events=EVENTS).trace.lines)
        for _, what, details in lines:
            seen.add(what)
            if what == "task":
                seen.add(details[2])
            if what == "to be sent":
                seen.add(type(details[0][1]).__name__)
        if seen >= wanted:
            return
    assert seen >= wanted
