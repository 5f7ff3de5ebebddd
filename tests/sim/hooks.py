"""Where planted bugs take hold of the harness. Without a plant these do nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from buildrunner_coordinator.domain.changes import Changes
    from buildrunner_coordinator.domain.core import Core
    from buildrunner_coordinator.engine.batch import Batch
    from tests.sim.coordinator import Coordinator


class Hooks:
    @contextmanager
    def planted(self) -> Iterator[None]:
        """The time of one run: what is patched in here is as before afterwards."""
        yield

    def loaded(self, core: Core) -> None:
        """A coordinator has started with this core."""

    def applied(self, coordinator: Coordinator, batch: Batch) -> None:
        """A batch has been applied and not committed."""

    def changes(self, changes: Changes) -> Changes:
        """What the store is given of a batch's changes."""
        return changes
