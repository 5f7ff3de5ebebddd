"""The lock table of one workspace: who holds which path, who waits for which, in which order.

A trie of path segments. An entry sits at its key's node; every node above counts it, so that
"nothing at or below here" is known without looking. Holders and waiters live in the same trie: a
request is granted when no incompatible entry overlaps with it that is a holder, or a waiter who came
earlier. So everybody who cannot conflict passes, and nobody is starved.

A node keeps exclusive and shared entries apart, each in order of ticket: who is in the way at a node is
found by bisection, and subtrees that hold nothing incompatible are never entered.

Owners are attempt ids (holders) and waiter tickets; which task they belong to is the caller's business.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

from buildrunner_coordinator.domain.model import LockMode, PathRequest
from buildrunner_coordinator.domain.paths import key_of

HELD = 0
"""The ticket of a holder: earlier than every waiter's."""


class Party(NamedTuple):
    """On whose account something is held or asked for."""

    id: str
    session_id: str
    is_session: bool = False


class Entry(NamedTuple):
    owner: str
    request: PathRequest
    ticket: int
    """HELD, or the waiter's place in the order of arrival."""
    party: Party


def excludes(a: Party, b: Party) -> bool:
    if a.id == b.id:
        return False
    return not (a.session_id == b.session_id and (a.is_session or b.is_session))


_ticket = itemgetter(2)


class _Node:
    __slots__ = ("children", "exclusive", "exclusive_below", "shared", "shared_below")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.exclusive: list[Entry] = []
        """By ticket: holders first."""
        self.shared: list[Entry] = []
        self.exclusive_below = 0
        self.shared_below = 0

    @property
    def below(self) -> int:
        """Entries of all modes strictly below."""
        return self.exclusive_below + self.shared_below

    def entries(self, mode: LockMode) -> list[Entry]:
        return self.shared if mode is LockMode.SHARED else self.exclusive

    def count_below(self, mode: LockMode, change: int) -> None:
        if mode is LockMode.SHARED:
            self.shared_below += change
        else:
            self.exclusive_below += change


class LockTable:
    """Grants are made and taken back by `add` and `remove`; `blockers` says what is in the way."""

    def __init__(self, fold_case: bool = False) -> None:
        self._root = _Node()
        self._parties: dict[str, Party] = {}
        self._entries: dict[str, tuple[PathRequest, ...]] = {}
        self._tickets: dict[str, int] = {}

    def __contains__(self, owner: str) -> bool:
        return owner in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, owner: str, requests: tuple[PathRequest, ...], party: Party, ticket: int = HELD) -> None:
        """Enters a holder, or with a ticket above HELD a waiter. The owner must not be there yet."""
        assert owner not in self._entries, f"{owner} is in the lock table already"
        self._entries[owner] = requests
        self._tickets[owner] = ticket
        self._parties[owner] = party
        for request in requests:
            node = self._root
            for segment in key_of(request):
                node.count_below(request.mode, 1)
                child = node.children.get(segment)
                if child is None:
                    child = node.children[segment] = _Node()
                node = child
            insort(node.entries(request.mode), Entry(owner, request, ticket, party), key=_ticket)

    def remove(self, owner: str) -> None:
        """Takes out a holder or waiter; none by that name is a harmless repeat."""
        ticket = self._tickets.pop(owner, HELD)
        party = self._parties.pop(owner, None)
        for request in self._entries.pop(owner, ()):
            assert party
            self._take_out(Entry(owner, request, ticket, party))

    def party(self, owner: str) -> Party | None:
        return self._parties.get(owner)

    def requests(self, owner: str) -> tuple[PathRequest, ...]:
        return self._entries.get(owner, ())

    def conflicts(
        self, requests: tuple[PathRequest, ...], party: Party, ticket: int | None = None
    ) -> Iterator[tuple[PathRequest, Entry]]:
        for request in requests:
            for entries in self.incompatible(request):
                for one in list(entries):
                    if (one.ticket == HELD or (ticket is not None and one.ticket < ticket)) and excludes(
                        one.party, party
                    ):
                        yield request, one

    def ticket(self, owner: str) -> int | None:
        return self._tickets.get(owner)

    def owners(self) -> Iterator[tuple[str, int, tuple[PathRequest, ...]]]:
        """(owner, ticket, requests), holders and waiters in order of entry."""
        for owner, requests in self._entries.items():
            yield owner, self._tickets[owner], requests

    def blockers(self, requests: tuple[PathRequest, ...], ticket: int, party: Party) -> list[Entry]:
        found: list[Entry] = []
        for request in requests:
            mine = [e for r, e in self.conflicts((request,), party, ticket)]
            holder = next((e for e in mine if e.ticket == HELD), None)
            waiter = max((e for e in mine if e.ticket != HELD), key=_ticket, default=None)
            found.extend(one for one in (holder, waiter) if one is not None)
        return found

    def incompatible(self, request: PathRequest) -> Iterator[list[Entry]]:
        """Lists of entries that cannot be held beside `request`, each in order of ticket, none empty."""
        is_shared = request.mode is LockMode.SHARED
        node = self._root
        yield from _at(node, is_shared)
        for segment in key_of(request):
            child = node.children.get(segment)
            if child is None:
                return
            node = child
            yield from _at(node, is_shared)
        yield from _beneath(node, is_shared)

    def _take_out(self, entry: Entry) -> None:
        key, mode = key_of(entry.request), entry.request.mode
        path = [self._root]
        for segment in key:
            path.append(path[-1].children[segment])
        entries = path[-1].entries(mode)
        del entries[entries.index(entry, bisect_left(entries, entry.ticket, key=_ticket))]
        for above in path[:-1]:
            above.count_below(mode, -1)
        for depth in range(len(key), 0, -1):
            node = path[depth]
            if node.exclusive or node.shared or node.children:
                break
            del path[depth - 1].children[key[depth - 1]]


def _at(node: _Node, is_shared: bool) -> Iterator[list[Entry]]:
    if node.exclusive:
        yield node.exclusive
    if node.shared and not is_shared:
        yield node.shared


def _beneath(top: _Node, is_shared: bool) -> Iterator[list[Entry]]:
    stack = [top]
    while stack:
        node = stack.pop()
        if node.exclusive_below or (node.shared_below and not is_shared):
            for child in node.children.values():
                yield from _at(child, is_shared)
                stack.append(child)


def _holders(entries: list[Entry]) -> Iterator[Entry]:
    for one in entries:
        if one.ticket != HELD:
            return
        yield one
