"""The lock table of one workspace: who holds which path, who waits for which, in which order.

A trie of path segments. An entry sits at its key's node, a glob at that of its literal beginning; every
node above counts it, so that "nothing at or below here" is known without looking. Holders have one trie
and waiters another: a request is granted when no incompatible entry overlaps with it that is a holder,
or a waiter who came earlier. So everybody who cannot conflict passes, and nobody is starved. One holder is
enough to say no, however many there are.

A node keeps exclusive and shared entries apart, each in order of ticket: who is in the way at a node is
found by bisection, and subtrees that hold nothing incompatible are never entered. Nor are those that a
glob which is asked about cannot match: its own automaton walks down with the question.

Owners are attempt ids, grant ids and names of waiters; which task they belong to is the caller's business.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple

from buildrunner_coordinator.domain import globs
from buildrunner_coordinator.domain.globs import Pattern
from buildrunner_coordinator.domain.model import LockKind, LockMode, PathRequest
from buildrunner_coordinator.domain.paths import is_met, key_of

HELD = 0
"""The ticket of a holder: earlier than every waiter's."""


class Party(NamedTuple):
    """On whose account something is held or asked for. Equal ids never exclude each other."""

    id: str
    """An attempt, a grant or a session."""
    session_id: str
    is_session: bool = False
    """What the session itself holds, which no other party of the session excludes."""


class Entry(NamedTuple):
    owner: str
    request: PathRequest
    ticket: int
    """HELD, or the waiter's place in the order of arrival."""
    party: Party


_ticket = itemgetter(2)


def excludes(a: Party, b: Party) -> bool:
    """The two may not hold the same path, unless both share it."""
    if a.id == b.id:
        return False
    return a.session_id != b.session_id or not (a.is_session or b.is_session)


class _Node:
    __slots__ = ("children", "exclusive", "exclusive_below", "exclusive_globs", "shared", "shared_below",
                 "shared_globs", "trees")  # fmt: skip

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.exclusive: list[Entry] = []
        """By ticket."""
        self.shared: list[Entry] = []
        self.exclusive_globs: list[Entry] | None = None
        """Those whose literal beginning ends here. Few nodes have any."""
        self.shared_globs: list[Entry] | None = None
        self.trees = 0
        """Of the entries here."""
        self.exclusive_below = 0
        self.shared_below = 0

    @property
    def below(self) -> int:
        """Entries of all modes strictly below."""
        return self.exclusive_below + self.shared_below

    @property
    def is_bare(self) -> bool:
        return not (
            self.exclusive or self.shared or self.children or self.exclusive_globs or self.shared_globs
        )

    def entries(self, request: PathRequest) -> list[Entry]:
        """The list that such a request's entry belongs to."""
        is_shared = request.mode is LockMode.SHARED
        if request.kind is not LockKind.GLOB:
            return self.shared if is_shared else self.exclusive
        if is_shared:
            if self.shared_globs is None:
                self.shared_globs = []
            return self.shared_globs
        if self.exclusive_globs is None:
            self.exclusive_globs = []
        return self.exclusive_globs

    def count_below(self, mode: LockMode, change: int) -> None:
        if mode is LockMode.SHARED:
            self.shared_below += change
        else:
            self.exclusive_below += change


class _Roots(NamedTuple):
    paths: _Node
    resources: _Node
    """Apart, since no path covers them, not even that of the whole repository."""

    def of(self, request: PathRequest) -> _Node:
        return self.resources if request.kind is LockKind.RESOURCE else self.paths


class LockTable:
    """Grants are made and taken back by `add` and `remove`; `blockers` says what is in the way."""

    def __init__(self, fold_case: bool = False) -> None:
        self.fold_case = fold_case
        self._held = _Roots(_Node(), _Node())
        self._waited_for = _Roots(_Node(), _Node())
        self._entries: dict[str, tuple[PathRequest, ...]] = {}
        self._tickets: dict[str, int] = {}
        self._parties: dict[str, Party] = {}
        self._waiting = 0
        """Owners that are no holders."""

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
        self._waiting += ticket != HELD
        roots = self._waited_for if ticket else self._held
        for request in requests:
            node = roots.of(request)
            for segment in key_of(request, self.fold_case):
                node.count_below(request.mode, 1)
                child = node.children.get(segment)
                if child is None:
                    child = node.children[segment] = _Node()
                node = child
            node.trees += request.kind is LockKind.TREE
            insort(node.entries(request), Entry(owner, request, ticket, party), key=_ticket)

    def remove(self, owner: str) -> None:
        """Takes out a holder or waiter; none by that name is a harmless repeat."""
        requests = self._entries.pop(owner, None)
        if requests is None:
            return
        ticket, party = self._tickets.pop(owner), self._parties.pop(owner)
        self._waiting -= ticket != HELD
        for request in requests:
            self._take_out(Entry(owner, request, ticket, party))

    def remove_some(self, owner: str, requests: Iterable[PathRequest]) -> None:
        """Takes out some of what a holder or waiter has. It keeps the others, of which there must be one."""
        gone = frozenset(requests)
        kept = tuple(one for one in self._entries[owner] if one not in gone)
        assert kept, f"nothing would be left of {owner}"
        ticket, party = self._tickets[owner], self._parties[owner]
        for request in self._entries[owner]:
            if request in gone:
                self._take_out(Entry(owner, request, ticket, party))
        self._entries[owner] = kept

    def ticket(self, owner: str) -> int | None:
        return self._tickets.get(owner)

    def party(self, owner: str) -> Party | None:
        return self._parties.get(owner)

    def requests(self, owner: str) -> tuple[PathRequest, ...]:
        """What it holds or waits for; nothing of one that is not there."""
        return self._entries.get(owner, ())

    def owners(self) -> Iterator[tuple[str, int, tuple[PathRequest, ...]]]:
        """(owner, ticket, requests), holders and waiters in order of entry."""
        for owner, requests in self._entries.items():
            yield owner, self._tickets[owner], requests

    def blockers(self, requests: tuple[PathRequest, ...], ticket: int, party: Party) -> list[Entry]:
        """What keeps a request with this ticket from being granted: for each path one holder, and the
        last waiter that came before it. Empty: it may be granted."""
        found: list[Entry] = []
        for request in requests:
            holder = self._holder_beside(request, party)
            if holder is not None:
                found.append(holder)
            waiter = self._last_before(request, ticket, party) if self._waiting else None
            if waiter is not None:
                found.append(waiter)
        return found

    def _holder_beside(self, request: PathRequest, party: Party) -> Entry | None:
        for entries in self._overlapping(request, self._held):
            for one in entries:
                if excludes(one.party, party):
                    return one
        return None

    def _last_before(self, request: PathRequest, ticket: int, party: Party) -> Entry | None:
        found: Entry | None = None
        for entries in self._overlapping(request, self._waited_for):
            place = bisect_left(entries, ticket, key=_ticket) - 1
            while place >= 0 and (found is None or entries[place].ticket > found.ticket):
                if excludes(entries[place].party, party):
                    found = entries[place]
                    break
                place -= 1
        return found

    def conflicts(
        self, requests: tuple[PathRequest, ...], party: Party, ticket: int | None = None
    ) -> Iterator[tuple[PathRequest, Entry]]:
        """Everything in the way of each path: holders, and with a ticket the waiters that came before it.

        The table must not change while this is read.
        """
        for request in requests:
            for entries in self.incompatible(request, held_only=ticket is None):
                for one in entries:
                    if one.ticket != HELD and (ticket is None or one.ticket >= ticket):
                        break
                    if excludes(one.party, party):
                        yield request, one

    def incompatible(self, request: PathRequest, *, held_only: bool = False) -> Iterator[list[Entry]]:
        """Lists of entries that cannot be held beside `request`, each in order of ticket, none empty: first
        of holders, then of waiters."""
        yield from self._overlapping(request, self._held)
        if self._waiting and not held_only:
            yield from self._overlapping(request, self._waited_for)

    def _overlapping(self, request: PathRequest, roots: _Roots) -> Iterator[list[Entry]]:
        is_shared = request.mode is LockMode.SHARED
        pattern = globs.compiled(request.path, self.fold_case) if request.kind is LockKind.GLOB else None
        key = key_of(request, self.fold_case)
        node = roots.of(request)
        yield from _above(node, is_shared, key, request.kind, pattern, self.fold_case)
        for segment in key:
            child = node.children.get(segment)
            if child is None:
                return
            node = child
            yield from _above(node, is_shared, key, request.kind, pattern, self.fold_case)
        if pattern is None:
            yield from _beneath(node, is_shared)
        else:
            yield from _matched_beneath(node, is_shared, pattern, self.fold_case)

    def _take_out(self, entry: Entry) -> None:
        key, mode = key_of(entry.request, self.fold_case), entry.request.mode
        roots = self._waited_for if entry.ticket else self._held
        path = [roots.of(entry.request)]
        for segment in key:
            path.append(path[-1].children[segment])
        path[-1].trees -= entry.request.kind is LockKind.TREE
        entries = path[-1].entries(entry.request)
        del entries[entries.index(entry, bisect_left(entries, entry.ticket, key=_ticket))]
        for above in path[:-1]:
            above.count_below(mode, -1)
        for depth in range(len(key), 0, -1):
            if not path[depth].is_bare:
                break
            del path[depth - 1].children[key[depth - 1]]


def _at(node: _Node, is_shared: bool) -> tuple[list[Entry], ...]:
    """Lists, none empty. Not a generator: questions about globs come here for thousands of nodes."""
    if is_shared or not node.shared:
        return (node.exclusive,) if node.exclusive else ()
    return (node.exclusive, node.shared) if node.exclusive else (node.shared,)


def _globs_at(node: _Node, is_shared: bool) -> Iterator[list[Entry]]:
    if node.exclusive_globs:
        yield node.exclusive_globs
    if node.shared_globs and not is_shared:
        yield node.shared_globs


def _above(
    node: _Node,
    is_shared: bool,
    key: tuple[str, ...],
    kind: LockKind,
    pattern: Pattern | None,
    fold_case: bool,
) -> Iterator[list[Entry]]:
    """At a node on the way to the request's own: files and trees overlap with it, globs if they match."""
    yield from _at(node, is_shared)
    if not (node.exclusive_globs or node.shared_globs):
        return
    for entries in _globs_at(node, is_shared):
        if pattern is None:
            matched = [one for one in entries if is_met(_pattern(one, fold_case).walk_on(key), kind)]
        else:
            matched = _meeting(entries, pattern, fold_case)
        if matched:
            yield matched


def _meeting(entries: list[Entry], pattern: Pattern, fold_case: bool) -> list[Entry]:
    return [one for one in entries if globs.overlap(_pattern(one, fold_case), pattern)]


def _pattern(entry: Entry, fold_case: bool) -> Pattern:
    return globs.compiled(entry.request.path, fold_case)


def _beneath(top: _Node, is_shared: bool) -> Iterator[list[Entry]]:
    """Everything below a file or a tree: all of it overlaps, globs too, since what they match is below."""
    stack = [top]
    while stack:
        node = stack.pop()
        if node.exclusive_below or (node.shared_below and not is_shared):
            for child in node.children.values():
                yield from _at(child, is_shared)
                if child.exclusive_globs or child.shared_globs:
                    yield from _globs_at(child, is_shared)
                if child.children:
                    stack.append(child)


def _trees(entries: list[Entry]) -> list[Entry]:
    return [one for one in entries if one.request.kind is LockKind.TREE]


def _matched_beneath(top: _Node, is_shared: bool, pattern: Pattern, fold_case: bool) -> Iterator[list[Entry]]:
    """What of all that is below a glob's literal beginning it can match."""
    stack = [(top, pattern.stem)]
    while stack:
        node, at = stack.pop()
        if not (node.exclusive_below or (node.shared_below and not is_shared)):
            continue
        step = at.step
        for segment, child in node.children.items():
            behind = step(segment)
            if behind is None:
                continue
            if behind.meets_file:
                yield from _at(child, is_shared)
            elif child.trees:
                # A tree is met by what it may hold, a file only by its own name.
                yield from filter(None, map(_trees, _at(child, is_shared)))
            if child.children:
                stack.append((child, behind))
            if child.exclusive_globs or child.shared_globs:
                for entries in _globs_at(child, is_shared):
                    matched = _meeting(entries, pattern, fold_case)
                    if matched:
                        yield matched
