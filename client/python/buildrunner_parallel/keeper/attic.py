"""Worktrees of attempts whose worker died, or whose session is gone, are cleared up now and then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..worker import leftovers
from ..worker.worktrees import FOLDER
from .chores import Chores

_INTERVAL_S = 5.0


class Attic:
    """The worktrees of one state directory. `is_gone` tells of a session id whether it was deleted; it may
    wait for the coordinator."""

    def __init__(self, data: Path, is_gone: Callable[[str], bool], chores: Chores) -> None:
        self._place = data / FOLDER
        self._is_gone = is_gone
        self._chores = chores
        self._is_busy = False
        self._due_at_s = 0.0

    def step(self, now_s: float) -> None:
        """Has a look taken when it is time, unless one is still being taken."""
        if self._is_busy or now_s < self._due_at_s:
            return
        self._due_at_s = now_s + _INTERVAL_S
        if self._place.is_dir():
            self._is_busy = True
            self._chores.add(self._look, self._looked)

    def _look(self) -> None:
        leftovers.clear(self._place, self._is_gone)

    def _looked(self, _: Any) -> None:
        self._is_busy = False
