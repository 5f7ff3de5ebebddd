"""Puts a snapshot together from parts of plain rows, as a database hands them out. No I/O."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from buildrunner_coordinator.domain.changes import EndedTask, MetaRow, Snapshot, SpecRow, TaskRow
from buildrunner_coordinator.store.reads import Part
from buildrunner_coordinator.store.rows import TABLES, Plain

_MAKERS: dict[str, Callable[[Plain], Any]] = {
    **{table.name: table.make for table in TABLES},
    "ended": partial(tuple.__new__, EndedTask),
}
_ALIKE: dict[str, list[int]] = {
    name: [row_type._fields.index(column) for column in columns]
    for name, row_type, columns in (
        ("specs", SpecRow, ("session_id", "traits_json", "needs_json", "files_json")),
        ("tasks", TaskRow, ("session_id", "status", "avoid_json", "worker_id", "host")),
        ("ended", EndedTask, ("session_id", "status")),
    )
}
"""Where the columns stand in which a million rows have few different texts, which are kept once."""
_LONGEST = 200
"""Characters of a text that is worth a look whether it is there already."""


class SnapshotBuilder:
    """Takes parts in the order in which they were read."""

    def __init__(self) -> None:
        # The counters come last, with the answer; until then there is nothing to show.
        self._snapshot = Snapshot(meta=MetaRow("", "", 0, 0, 0, 0, 0, 0, 0, 0))
        self._texts: dict[str, str] = {}

    def add(self, part: Part) -> None:
        name, rows = part
        if name == "output_bytes":
            self._snapshot.output_bytes.update(rows)
            return
        if name in _ALIKE:
            rows = self._shared(rows, _ALIKE[name])
        getattr(self._snapshot, name).extend(map(_MAKERS[name], rows))

    def _shared(self, rows: list[Plain], columns: list[int]) -> list[Plain]:
        """The rows with equal texts of these columns made one: half the memory of a loaded row."""
        known = self._texts.setdefault
        shared = []
        for row in rows:
            fields = list(row)
            for at in columns:
                if len(fields[at]) <= _LONGEST:
                    fields[at] = known(fields[at], fields[at])
            shared.append(tuple(fields))
        return shared

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
