"""Who waits for whom: circles of waiting, found before somebody closes one, and chains of holders.

The nodes are entries of the lock table. A waiter waits for what is in its way. A holder waits only if
something that must end before it lets go waits itself: for an attempt or a grant with a lease, requests
made on its account; for a session's own grant, which lasts until the session ends, its queued tasks and
the requests of the session and of its attempts. Everybody else lets go by himself.
"""

from __future__ import annotations

from collections.abc import Iterator

from buildrunner_coordinator.domain.locks import HELD, Entry, Party
from buildrunner_coordinator.domain.model import PathRequest
from buildrunner_coordinator.domain.state import State

MOST_STEPS = 20_000
"""Entries looked at in one search. Beyond it no circle is found: the wait then ends by its timeout."""

Step = tuple[PathRequest, Entry]
"""Somebody waits for this path, which that entry has or asked for before."""


def accounts_of(core: State, party: Party) -> frozenset[str]:
    """Ids of parties that cannot let go while this one waits."""
    if party.id in core.attempts or party.is_session or _is_task(party):
        return frozenset((party.id, party.session_id))
    return frozenset((party.id,))


def holds_anything(core: State, accounts: frozenset[str]) -> bool:
    """Without that nobody can wait for them, so that no circle closes."""
    return any(one in core.accounts or one in core.attempts for one in accounts)


def circle(core: State, files: tuple[PathRequest, ...], ticket: int, party: Party) -> list[Step]:
    """The steps from such a request back to its own holdings; empty if it would close no circle."""
    accounts = accounts_of(core, party)
    if not holds_anything(core, accounts):
        return []
    return _Search(core, accounts).path(core.locks.conflicts(files, party, ticket))


def waits_for(core: State, owner: str, accounts: frozenset[str]) -> bool:
    """That waiter cannot go on before one of these parties lets go, however many stand between."""
    return bool(_Search(core, accounts).path(_in_the_way(core, owner)))


def chain(core: State, owner: str, longest: int = 8) -> list[Step]:
    """What that owner in the lock table waits for, and what that waits for, to the end; each once.

    Of several ways the first is shown. Empty for one that waits for nobody.
    """
    found: list[Step] = []
    seen = {owner}
    while len(found) < longest:
        step = next((one for one in _beyond(core, owner) if one[1].owner not in seen), None)
        if step is None:
            break
        found.append(step)
        owner = step[1].owner
        seen.add(owner)
    return found


class _Search:
    def __init__(self, core: State, accounts: frozenset[str]) -> None:
        self._core = core
        self._accounts = accounts
        self._seen: set[str] = set()
        self._steps = 0

    def path(self, steps: Iterator[Step]) -> list[Step]:
        """Depth first; a walk of its own stack, since a queue may be long."""
        trail: list[tuple[Step | None, Iterator[Step]]] = [(None, steps)]
        while trail and self._steps < MOST_STEPS:
            step = next(trail[-1][1], None)
            self._steps += 1
            if step is None:
                trail.pop()
                continue
            entry = step[1]
            if entry.ticket == HELD and entry.party.id in self._accounts:
                return [one for one, _ in trail if one is not None] + [step]
            if entry.owner not in self._seen:
                self._seen.add(entry.owner)
                trail.append((step, _beyond(self._core, entry.owner)))
        return []


def _beyond(core: State, owner: str) -> Iterator[Step]:
    """What keeps this owner from letting go, or from getting what it waits for."""
    if core.locks.ticket(owner) != HELD:
        yield from _in_the_way(core, owner)
        return
    party = core.locks.party(owner)
    if party is not None:
        for waiter in _waiters_of(core, party):
            yield from _in_the_way(core, waiter)


def _in_the_way(core: State, waiter: str) -> Iterator[Step]:
    ticket, party = core.locks.ticket(waiter), core.locks.party(waiter)
    if ticket is not None and party is not None:
        yield from core.locks.conflicts(core.locks.requests(waiter), party, ticket)


def _waiters_of(core: State, party: Party) -> Iterator[str]:
    """Owners in the lock table that wait on this party's account."""
    for waiter_id, request in core.requesters.items():
        mine = request.root_id == party.id
        if mine or (party.is_session and request.session_id == party.id and request.attempt_id):
            yield request_name(waiter_id)
    if party.is_session:
        for session_id, task_id in list(core.queue.waiters.waiting):
            if session_id == party.id:
                yield f"{session_id}/{task_id}"


def request_name(waiter_id: str) -> str:
    """The name in the lock table of somebody who waits by hand. Sessions' ids are never empty."""
    return f"/{waiter_id}"


def _is_task(party: Party) -> bool:
    return "/" in party.id
