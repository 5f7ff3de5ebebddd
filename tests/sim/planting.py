"""How a bug is planted: functions of the core are replaced for the time of one run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.sim.hooks import Hooks


class Patched(Hooks):
    """Replaces functions of the core for the time of the run."""

    def patches(self) -> list[Any]:
        raise AssertionError("each plant says what it replaces")

    @contextmanager
    def planted(self) -> Iterator[None]:
        patches = self.patches()
        for one in patches:
            one.start()
        try:
            yield
        finally:
            for one in patches:
                one.stop()
