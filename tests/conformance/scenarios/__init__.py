"""What must hold, one function each, to be read like sentences. Importing this package registers them all."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import NamedTuple

from ..stage import Stage

_MODULES = (
    "worker_basics", "worker_tasks", "worker_stopping", "worker_output", "worker_leaving", "worker_faults",
    "worker_peers", "client_basics", "client_tasks", "client_locks", "client_watch", "client_faults",
    "client_peers",
)  # fmt: skip


class Scenario(NamedTuple):
    """`name` is SIDE/NAME with the side worker or client; `about` is its sentence; `options` are the
    coordinator's; `needs` is a capability without which it cannot be played."""

    name: str
    about: str
    play: Callable[[Stage], None]
    options: tuple[str, ...] = ()
    needs: str = ""

    @property
    def side(self) -> str:
        return self.name.partition("/")[0]


_scenarios: dict[str, Scenario] = {}


def scenario(
    side: str, *options: str, needs: str = ""
) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
    """Registers the decorated function under its name, with dashes; its docstring is what must hold."""

    def register(play: Callable[[Stage], None]) -> Callable[[Stage], None]:
        name = f"{side}/{play.__name__.replace('_', '-')}"
        assert name not in _scenarios, f"two scenarios are named {name}"
        assert play.__doc__, f"{name} does not say what must hold"
        _scenarios[name] = Scenario(name, " ".join(play.__doc__.split()), play, options, needs)
        return play

    return register


def all_scenarios() -> dict[str, Scenario]:
    """Every scenario by its name, in the order of the modules."""
    for name in _MODULES:
        importlib.import_module(f"{__name__}.{name}")
    return dict(_scenarios)
