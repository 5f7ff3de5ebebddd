"""Comparing paths without regard to case, once a checkout of the workspace does."""

from __future__ import annotations

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.locks import LockTable
from buildrunner_coordinator.domain.model import Time
from buildrunner_coordinator.domain.state import State


def fold_case(core: State, command: c.FoldCase, now: Time) -> None:
    fold(core)


def fold(core: State) -> None:
    """From now on, for ever. Those who hold by now two spellings of one path keep them."""
    if core.folds_case:
        return
    core.folds_case = True
    core.journal.counters_changed = True
    table = LockTable(fold_case=True)
    for owner, ticket, requests in core.locks.owners():
        party = core.locks.party(owner)
        assert party is not None
        table.add(owner, requests, party, ticket)
    core.locks = table
