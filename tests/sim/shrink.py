"""Running a seed, and finding the shortest schedule of it that still fails in the same way.

Delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002) over
the numbers of the actions: each action draws from its own generator, so leaving one out changes no other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from tests.sim.hooks import Hooks
from tests.sim.trace import Trace
from tests.sim.world import World

_NUMBERS = re.compile(r"\b(?=[0-9a-f-]*\d)[0-9a-f-]+\b|t[0-9a-f]{5}-\d+")

MakeHooks = Callable[[], Hooks]


class Run(NamedTuple):
    """How a run ended. `error` is None when all was well."""

    seed: int
    steps: int
    actions: int
    error: Exception | None
    trace: Trace
    digest: str

    @property
    def kind(self) -> str:
        """What failures of the same cause have in common: the message without its numbers and ids."""
        if self.error is None:
            return ""
        return f"{type(self.error).__name__} {_NUMBERS.sub('#', str(self.error))[:40]}"


def run_seed(
    seed: int, *, events: int = 500, limit: int | None = None, chosen: frozenset[int] | None = None,
    make_hooks: MakeHooks = Hooks,
) -> Run:  # fmt: skip
    world = World(seed, events=events, limit=limit, chosen=chosen, hooks=make_hooks())
    error: Exception | None = None
    try:
        with world.hooks.planted():
            world.run()
    except Exception as raised:  # whatever it is, it is the finding that is reported with its seed
        error = raised
    return Run(seed, world.schedule.steps, world.actions, error, world.trace, world.trace.digest())


def shrink(failed: Run, *, make_hooks: MakeHooks = Hooks, tries: int = 300) -> tuple[list[int], Run]:
    """The numbers of the actions that are left, and the run with these alone. Gives up after `tries` runs."""
    limit = failed.actions
    best = failed
    kept = list(range(limit))
    parts = 2
    while len(kept) > 1 and tries > 0:
        size = -(-len(kept) // parts)
        for start in range(0, len(kept), size):
            tries -= 1
            fewer = kept[:start] + kept[start + size :]
            run = run_seed(failed.seed, limit=limit, chosen=frozenset(fewer), make_hooks=make_hooks)
            if run.kind == failed.kind:
                kept, best, parts = fewer, run, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(kept))
    return kept, best
