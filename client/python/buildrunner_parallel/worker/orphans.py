"""Whose are the processes that lost their parent? As a subreaper the supervisor inherits them all.

An orphan belongs to the run whose session or group it is in, or whose mark is in its environment; one that
hid both belongs to all that ran when it was first seen, and dies with the last of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from . import process_tree
from .runs import Run


class OrphanBook:
    """The inherited processes and the runs they belong to."""

    def __init__(self) -> None:
        self._suspects: dict[int, set[Run]] = {}
        self._known: dict[int, Run | None] = {}

    def look(self, runs_by_pid: dict[int, Run], runs: Iterable[Run]) -> None:
        """Finds new orphans among the children of this process and enters them with their owners."""
        for pid in process_tree.children_of(os.getpid()):
            if pid not in runs_by_pid and pid not in self._known:
                self._enter(pid, list(runs))

    def _enter(self, pid: int, runs: list[Run]) -> None:
        owner = _owner_of(pid, runs)
        if owner is None and len(runs) == 1:
            owner = runs[0]
        self._known[pid] = owner
        if owner is not None:
            owner.orphans.add(pid)
        else:
            self._suspects[pid] = set(runs)

    def reaped(self, pid: int) -> None:
        """An inherited process has ended."""
        owner = self._known.pop(pid, None)
        if owner is not None:
            owner.orphans.discard(pid)
        self._suspects.pop(pid, None)

    def hand_over_unowned(self, ending: Run) -> None:
        """Gives to `ending` the unowned orphans that can belong to no other run any more."""
        for pid, suspects in list(self._suspects.items()):
            suspects.discard(ending)
            if not suspects:
                del self._suspects[pid]
                self._known[pid] = ending
                ending.orphans.add(pid)


def _owner_of(pid: int, runs: list[Run]) -> Run | None:
    fields = process_tree.stat_of(pid)
    if fields is None:
        return None
    for run in runs:
        if run.pid in (fields[1], fields[2]):
            return run
    environment = process_tree.environment_of(pid)
    for run in runs:
        if os.fsencode(run.request.mark) in environment:
            return run
    return None
