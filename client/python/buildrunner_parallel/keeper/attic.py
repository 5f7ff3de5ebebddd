"""Worktrees of attempts whose worker died, or whose session is gone, are cleared up now and then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..worker import leftovers
from ..worker.worktrees import FOLDER
from .chores import Chores

_INTERVAL_S = 5.0
_SESSIONS_INTERVAL_S = 60.0
"""Sessions that were deleted are asked for more seldom: each is a call of the coordinator."""


class Attic:
    """The worktrees of one state directory. `is_gone` tells of a session id whether it was deleted; it may
    wait for the coordinator."""

    def __init__(self, data: Path, is_gone: Callable[[str], bool], chores: Chores) -> None:
        self._place = data / FOLDER
        self._is_gone = is_gone
        self._chores = chores
        self._is_busy = False
        self._due_at_s = 0.0
        self._sessions_due_at_s = 0.0

    def step(self, now_s: float) -> None:
        """Has a look taken when it is time, unless one is still being taken."""
        if self._is_busy or now_s < self._due_at_s:
            return
        self._due_at_s = now_s + _INTERVAL_S
        if not self._place.is_dir():
            return
        is_gone: Callable[[str], bool] = _nobody_asks
        if now_s >= self._sessions_due_at_s:
            self._sessions_due_at_s = now_s + _SESSIONS_INTERVAL_S
            is_gone = self._is_gone
        self._is_busy = True
        self._chores.add(lambda: leftovers.clear(self._place, is_gone), self._looked)

    def _looked(self, _: Any) -> None:
        self._is_busy = False


def _nobody_asks(_: str) -> bool:
    return False
