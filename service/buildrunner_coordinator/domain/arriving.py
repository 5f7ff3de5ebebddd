"""Workers that were asked for and have not come: whether a task may hope for one of them.

A keeper starts them, and the coordinator sees no keeper, only that a worker says hello. So nothing is said
here but what is known: how many were asked for, when, and how many came.
"""

from __future__ import annotations

from buildrunner_coordinator.domain import history
from buildrunner_coordinator.domain.model import Pool, Session, TaskKind, Traits, WorkerStatus
from buildrunner_coordinator.domain.state import State

STARTING_US = 10_000_000
"""So long a worker may take from being asked for to its hello before anybody needs to wonder."""


def on_the_way(core: State, session: Session, traits: Traits) -> str:
    """That workers which suit such tasks were asked for a moment ago and have not come yet; else empty."""
    for pool in _pools(core, session):
        waited_us = core.now.us - pool.asked_us
        if pool.asked_us and waited_us < STARTING_US and _would_suit(pool, traits):
            count = pool.wanted - _here(core, pool)
            if count > 0:
                they = "it was" if count == 1 else "they were"
                asked = f"{they} asked for {history.duration(waited_us)} ago"
                return f"waits for {_named(pool, count)} to start; {asked}"
    return ""


def not_come(core: State, session: Session) -> str:
    """The end of a sentence: how many of the session's own workers are there; empty when none is missed."""
    for pool in _pools(core, session):
        here = _here(core, pool)
        if pool.session_id and here < pool.wanted:
            return f"; of its own {history.counted(pool.wanted, 'worker')} {here or 'none'} " + (
                "is here" if here <= 1 else "are here"
            )
    return ""


def _pools(core: State, session: Session) -> list[Pool]:
    """Those that work for the session, its own first."""
    mine = [pool for pool in core.pools.values() if pool.session_id in ("", session.session_id)]
    return sorted(mine, key=lambda pool: not pool.session_id)


def _here(core: State, pool: Pool) -> int:
    return sum(
        one.session_id == pool.session_id
        and one.status is not WorkerStatus.OFFLINE
        and not one.draining
        and pool.host in ("", one.host)
        for one in core.workers.values()
    )


def _would_suit(pool: Pool, traits: Traits) -> bool:
    """Which handlers a module has is known only once a worker has loaded it."""
    if traits.wanted_worker_id or traits.slots > pool.slots or not set(traits.labels) <= set(pool.labels):
        return False
    if traits.kind is TaskKind.HANDLER:
        return bool(pool.handler_modules)
    return traits.kind is TaskKind.COMMAND


def _named(pool: Pool, count: int) -> str:
    workers = "worker" if count == 1 else f"{count} workers"
    return f"its own {workers}" if pool.session_id else f"the {workers} for all sessions"
