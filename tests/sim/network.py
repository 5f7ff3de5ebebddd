"""Pipes between workers, clients and the coordinator: they delay, hold back, lose their tail when cut.

A pipe keeps the order of what goes through it; between two pipes there is none, so the last words of
an old stream may arrive behind the first ones of a new stream.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.sim.schedule import MS, Schedule


class Pipe:
    """One direction of a stream."""

    def __init__(self, schedule: Schedule, rng: random.Random, deliver: Callable[[Any], None]) -> None:
        self._schedule = schedule
        self._rng = rng
        self._deliver = deliver
        self._last_us = 0
        self._held_until_us = 0
        self._lost = False
        self.is_cut = False

    def send(self, message: Any) -> None:
        if self.is_cut:
            return
        now_us = self._schedule.now_us
        at_us = max(now_us + delay_us(self._rng), self._last_us, self._held_until_us)
        self._last_us = at_us
        self._schedule.at(at_us, self._arrive, message)

    def hold(self, for_us: int) -> None:
        """Nothing that is sent from now on arrives before this time has passed: a partition."""
        self._held_until_us = max(self._held_until_us, self._schedule.now_us + for_us)

    def cut(self, *, lose: bool) -> None:
        """Takes nothing more. What is under way is lost, or still arrives."""
        self.is_cut = True
        self._lost = self._lost or lose

    def _arrive(self, message: Any) -> None:
        if not self._lost:
            self._deliver(message)


def delay_us(rng: random.Random) -> int:
    """Mostly below a millisecond, now and then some hundred."""
    roll = rng.random()
    if roll < 0.8:
        return rng.randrange(50, 800)
    return rng.randrange(MS, 20 * MS) if roll < 0.97 else rng.randrange(20 * MS, 900 * MS)
