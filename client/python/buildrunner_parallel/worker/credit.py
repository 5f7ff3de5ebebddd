"""How many attempts a worker is willing to hold: few when tasks are long, many when they are short. Pure.

Tasks held ahead spare the round trip between one task and the next; but what waits here cannot run elsewhere.
"""

from __future__ import annotations

_AHEAD_US = 25_000.0
_MOST_AHEAD = 400
_NO_AHEAD_ABOVE_US = 1_000_000.0


class CreditGauge:
    """`fixed` above 0 is said once and kept; else the credit follows the mean running time."""

    def __init__(self, slots: int, fixed: int = 0) -> None:
        self._slots = slots
        self._fixed = fixed
        self._mean_us = 0.0
        self._told = self.initial

    @property
    def initial(self) -> int:
        """For the hello, before anything is known."""
        return self._fixed or self._slots + 1

    def ran(self, wall_us: int) -> None:
        """A task has ended after so long."""
        self._mean_us += (max(wall_us, 1) - self._mean_us) / (8 if self._mean_us else 1)

    def reset(self) -> None:
        """A new stream began with `initial`."""
        self._told = self.initial

    def change(self) -> int:
        """The new credit if it should be told, else 0."""
        if self._fixed or not self._mean_us:
            return 0
        if self._mean_us > _NO_AHEAD_ABOVE_US:
            wanted = self._slots
        else:
            wanted = self._slots + max(1, min(_MOST_AHEAD, int(self._slots * _AHEAD_US / self._mean_us)))
        is_close = min(wanted, self._told) > self._slots and 2 / 3 < wanted / self._told < 1.5
        if wanted == self._told or is_close:
            return 0
        self._told = wanted
        return wanted
