"""Puts a snapshot together from parts of plain rows, as a database hands them out. No I/O."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from buildrunner_coordinator.domain.changes import EndedTask, MetaRow, Snapshot
from buildrunner_coordinator.store.reads import Part
from buildrunner_coordinator.store.rows import TABLES, Plain

_MAKERS: dict[str, Callable[[Plain], Any]] = {
    **{table.name: table.make for table in TABLES},
    "ended": partial(tuple.__new__, EndedTask),
}


class SnapshotBuilder:
    """Takes parts in the order in which they were read."""

    def __init__(self) -> None:
        # The counters come last, with the answer; until then there is nothing to show.
        self._snapshot = Snapshot(meta=MetaRow("", "", 0, 0, 0, 0, 0, 0))

    def add(self, part: Part) -> None:
        name, rows = part
        if name == "output_bytes":
            self._snapshot.output_bytes.update(rows)
        else:
            getattr(self._snapshot, name).extend(map(_MAKERS[name], rows))

    def finish(self, meta: MetaRow) -> Snapshot:
        self._snapshot.meta = meta
        return self._snapshot


@contextmanager
def no_collections() -> Iterator[None]:
    """Holds off the garbage collector, which would walk the growing heap again and again while rows load."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
