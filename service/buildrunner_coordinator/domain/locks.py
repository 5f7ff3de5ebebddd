"""The lock table of one workspace: who holds which path, who waits for which, in which order.

A trie of path segments. An entry sits at its key's node; every node above counts it, so that
"nothing at or below here" is known without looking. Holders and waiters live in the same trie: a
request is granted when no incompatible entry overlaps with it that is a holder, or a waiter who came
earlier. So everybody who cannot conflict passes, and nobody is starved.

Owners are attempt ids (holders) and waiter tickets; which task they belong to is the caller's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from buildrunner_coordinator.domain.model import LockMode, PathRequest
from buildrunner_coordinator.domain.paths import key_of

HELD = 0
"""The ticket of a holder: earlier than every waiter's."""


class Entry(NamedTuple):
    owner: str
    request: PathRequest
    ticket: int
    """HELD, or the waiter's place in the order of arrival."""


class _Node:
    __slots__ = ("below", "children", "entries")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.entries: list[Entry] = []
        self.below = 0


class LockTable:
    """Grants are made and taken back by `add` and `remove`; `blockers` says what is in the way."""

    def __init__(self) -> None:
        self._root = _Node()
        self._entries: dict[str, tuple[PathRequest, ...]] = {}
        self._tickets: dict[str, int] = {}

    def __contains__(self, owner: str) -> bool:
        return owner in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, owner: str, requests: tuple[PathRequest, ...], ticket: int = HELD) -> None:
        """Enters a holder, or with a ticket above HELD a waiter. The owner must not be there yet."""
        assert owner not in self._entries, f"{owner} is in the lock table already"
        self._entries[owner] = requests
        self._tickets[owner] = ticket
        for request in requests:
            node = self._root
            for segment in key_of(request):
                node.below += 1
                node = node.children.setdefault(segment, _Node())
            node.entries.append(Entry(owner, request, ticket))

    def remove(self, owner: str) -> None:
        """Takes out a holder or waiter; none by that name is a harmless repeat."""
        self._tickets.pop(owner, None)
        for request in self._entries.pop(owner, ()):
            self._take_out(owner, key_of(request))

    def ticket(self, owner: str) -> int | None:
        return self._tickets.get(owner)

    def owners(self) -> Iterator[tuple[str, int, tuple[PathRequest, ...]]]:
        """(owner, ticket, requests), holders and waiters in order of entry."""
        for owner, requests in self._entries.items():
            yield owner, self._tickets[owner], requests

    def blockers(self, requests: tuple[PathRequest, ...], ticket: int, owner: str = "") -> list[Entry]:
        """What keeps a request with this ticket from being granted: for each path one holder, and the
        last waiter that came before it. Empty: it may be granted."""
        found: list[Entry] = []
        for request in requests:
            holder: Entry | None = None
            waiter: Entry | None = None
            for entry in self._overlapping(key_of(request)):
                if entry.owner == owner or not _incompatible(entry.request.mode, request.mode):
                    continue
                if entry.ticket == HELD:
                    holder = holder or entry
                elif entry.ticket < ticket and (waiter is None or entry.ticket > waiter.ticket):
                    waiter = entry
            found.extend(one for one in (holder, waiter) if one is not None)
        return found

    def _overlapping(self, key: tuple[str, ...]) -> Iterator[Entry]:
        node = self._root
        yield from node.entries
        for segment in key:
            child = node.children.get(segment)
            if child is None:
                return
            node = child
            yield from node.entries
        if node.below:
            yield from self._beneath(node)

    def _beneath(self, top: _Node) -> Iterator[Entry]:
        stack = list(top.children.values())
        while stack:
            node = stack.pop()
            yield from node.entries
            if node.below:
                stack.extend(node.children.values())

    def _take_out(self, owner: str, key: tuple[str, ...]) -> None:
        path = [self._root]
        for segment in key:
            path.append(path[-1].children[segment])
        node = path[-1]
        node.entries.remove(next(entry for entry in node.entries if entry.owner == owner))
        for above in path[:-1]:
            above.below -= 1
        for depth in range(len(key), 0, -1):
            if path[depth].entries or path[depth].children:
                break
            del path[depth - 1].children[key[depth - 1]]


def _incompatible(one: LockMode, other: LockMode) -> bool:
    return one is LockMode.EXCLUSIVE or other is LockMode.EXCLUSIVE
