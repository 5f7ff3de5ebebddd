"""Core time: wall clock at the start, monotonic from there on. The only reader of clocks below `app`."""

from __future__ import annotations

import time
from collections.abc import Callable

from buildrunner_coordinator.domain.model import Time


def wall_us() -> int:
    """Microseconds since 1970 UTC, for people's eyes."""
    return time.time_ns() // 1000


def monotonic_us() -> int:
    """Microseconds of a clock that nobody can set."""
    return time.monotonic_ns() // 1000


class CoreClock:
    """Starts at the wall clock or behind the last stored stamp, whichever is later, and never goes back."""

    def __init__(
        self,
        last_us: int = 0,
        *,
        wall: Callable[[], int] = wall_us,
        monotonic: Callable[[], int] = monotonic_us,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset_us = max(wall(), last_us) - monotonic()

    def now(self) -> Time:
        return Time(self._offset_us + self._monotonic(), self._wall())
