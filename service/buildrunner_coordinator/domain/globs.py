"""What glob patterns match, and whether two of them have a path in common. Exact, within a budget of work.

A pattern is the set of the file paths that it matches as a whole: it claims nothing below them. A search
over pairs of positions decides on common paths: over segments, and within a pair of segments over atoms
(the product construction of automata; Rabin and Scott, "Finite automata and their decision problems",
1959). When the budget is spent, both patterns count as the whole tree of their literal beginning: more
than they match, never less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache

from buildrunner_coordinator.domain.glob_text import (
    ANY_SEGMENTS,
    STAR,
    Ranges,
    Segment,
    expand,
    literal_of,
    segments,
)

BUDGET_STEPS = 20_000
"""Pairs of positions that one question looks at, at most."""

States = tuple[frozenset[int], ...]
"""For each alternative of a pattern the positions at which a path may stand. All empty: it cannot match."""


class Overlap(Enum):
    NO = "no"
    YES = "yes"
    WIDENED = "widened"
    """The budget was spent: they may have a path in common, for all that is known."""

    def __bool__(self) -> bool:
        return self is not Overlap.NO


class Pattern:
    """A pattern ready to be asked. Made by `compiled`, shared by all who use it."""

    __slots__ = ("_ends", "_initial", "_matchers", "_prefixes", "alternatives", "is_widened", "prefix")

    def __init__(self, text: str, fold_case: bool) -> None:
        expanded = expand(text)
        self.is_widened = expanded is None
        """It has too many alternatives: it counts as the tree of its literal beginning."""
        if expanded is None:
            begin = text[: min(text.find(char) for char in "*?[{" if char in text)]
            expanded = [begin.rpartition("/")[0] + "/**"]
        self.alternatives = tuple(dict.fromkeys(segments(text, one, fold_case) for one in expanded))
        self._prefixes = tuple(_literal_prefix(one) for one in self.alternatives)
        self.prefix = _common_prefix(self._prefixes)
        """The literal segments with which every path that it matches begins."""
        self._ends = tuple(map(len, self.alternatives))
        self._matchers = [[_matcher(one) for one in alternative] for alternative in self.alternatives]
        self._initial = tuple(frozenset(_closed(alternative, {0})) for alternative in self.alternatives)

    @property
    def initial(self) -> States:
        """Before the first segment."""
        return self._initial

    def step(self, states: States, segment: str) -> States:
        """Behind one more segment of a path, which must be folded if the pattern is."""
        return tuple(
            self._step(alternative, matchers, mine, segment) if mine else mine
            for alternative, matchers, mine in zip(self.alternatives, self._matchers, states, strict=True)
        )

    def walk(self, path: Sequence[str]) -> States:
        states = self._initial
        for segment in path:
            states = self.step(states, segment)
            if not any(states):
                break
        return states

    def ends(self, states: States) -> bool:
        """The path that led there is one of those that it matches."""
        return any(end in mine for end, mine in zip(self._ends, states, strict=True))

    def matches(self, path: Sequence[str]) -> bool:
        """The path is one of those that it matches."""
        return self.ends(self.walk(path))

    def reaches(self, path: Sequence[str]) -> bool:
        """It matches that path, or one below it."""
        return any(self.walk(path))

    def is_below(self, path: tuple[str, ...]) -> bool:
        """Its literal beginning (of one of its alternatives) is that path, or lies below it."""
        return any(one[: len(path)] == path for one in self._prefixes)

    @staticmethod
    def _step(
        alternative: tuple[Segment, ...],
        matchers: list[Callable[[str], bool]],
        states: frozenset[int],
        segment: str,
    ) -> frozenset[int]:
        found: set[int] = set()
        for at in states:
            if at < len(alternative):
                if alternative[at] == ANY_SEGMENTS:
                    found.add(at)
                elif matchers[at](segment):
                    found.add(at + 1)
        return frozenset(_closed(alternative, found))


@lru_cache(maxsize=1 << 16)
def compiled(text: str, fold_case: bool = False) -> Pattern:
    """Raises Refusal (INVALID) for a malformed pattern."""
    return Pattern(text, fold_case)


@lru_cache(maxsize=1 << 14)
def overlap(one: Pattern, other: Pattern, budget: int = BUDGET_STEPS) -> Overlap:
    """Whether some path is matched by both."""
    search = _Search(budget)
    try:
        for a in one.alternatives:
            for b in other.alternatives:
                if search.paths(a, b):
                    return Overlap.WIDENED if one.is_widened or other.is_widened else Overlap.YES
    except _BudgetSpent:
        shorter = min(len(one.prefix), len(other.prefix))
        return Overlap.WIDENED if one.prefix[:shorter] == other.prefix[:shorter] else Overlap.NO
    return Overlap.NO


class _BudgetSpent(Exception):
    pass


class _Search:
    def __init__(self, budget: int) -> None:
        self._left = budget
        self._known: dict[tuple[Segment, Segment], bool] = {}

    def paths(self, a: tuple[Segment, ...], b: tuple[Segment, ...]) -> bool:
        stack, seen = [(0, 0)], {(0, 0)}
        while stack:
            i, j = stack.pop()
            if i == len(a) and j == len(b):
                return True
            for pair in self._next_segments(a, b, i, j):
                if pair not in seen:
                    seen.add(pair)
                    stack.append(pair)
        return False

    def _next_segments(
        self, a: tuple[Segment, ...], b: tuple[Segment, ...], i: int, j: int
    ) -> list[tuple[int, int]]:
        self._spend()
        any_a, any_b = i < len(a) and a[i] == ANY_SEGMENTS, j < len(b) and b[j] == ANY_SEGMENTS
        found = []
        if any_a:
            found.append((i + 1, j))
        if any_b:
            found.append((i, j + 1))
        if i == len(a) or j == len(b):
            return found
        if any_a and not any_b:
            found.append((i, j + 1))
        elif any_b and not any_a:
            found.append((i + 1, j))
        elif not any_a and self._segment(a[i], b[j]):
            found.append((i + 1, j + 1))
        return found

    def _segment(self, a: Segment, b: Segment) -> bool:
        known = self._known.get((a, b))
        if known is None:
            known = self._known[a, b] = self._names(a, b)
        return known

    def _names(self, a: Segment, b: Segment) -> bool:
        """Whether some name is matched by both segments."""
        stack, seen = [(0, 0)], {(0, 0)}
        while stack:
            i, j = stack.pop()
            if i == len(a) and j == len(b):
                return True
            self._spend()
            for pair in _next_atoms(a, b, i, j):
                if pair not in seen:
                    seen.add(pair)
                    stack.append(pair)
        return False

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _BudgetSpent


def _next_atoms(a: Segment, b: Segment, i: int, j: int) -> list[tuple[int, int]]:
    star_a, star_b = i < len(a) and a[i] == STAR, j < len(b) and b[j] == STAR
    found = []
    if star_a:
        found.append((i + 1, j))
    if star_b:
        found.append((i, j + 1))
    if i == len(a) or j == len(b):
        return found
    if star_a and not star_b:
        found.append((i, j + 1))
    elif star_b and not star_a:
        found.append((i + 1, j))
    elif not star_a and _meet(a[i], b[j]):
        found.append((i + 1, j + 1))
    return found


def _meet(a: Ranges, b: Ranges) -> bool:
    """Two sorted rows of ranges have a character in common."""
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i][1] < b[j][0]:
            i += 1
        elif b[j][1] < a[i][0]:
            j += 1
        else:
            return True
    return False


def _closed(alternative: tuple[Segment, ...], states: set[int]) -> set[int]:
    """With the positions behind each `**`, which may stand for no segment."""
    for at in sorted(states):
        while at < len(alternative) and alternative[at] == ANY_SEGMENTS:
            at += 1
            states.add(at)
    return states


def _literal_prefix(alternative: tuple[Segment, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for segment in alternative:
        name = None if segment == ANY_SEGMENTS else literal_of(segment)
        if name is None:
            break
        found.append(name)
    return tuple(found)


def _common_prefix(prefixes: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    found: list[str] = []
    for column in zip(*prefixes, strict=False):
        if len(set(column)) > 1:
            break
        found.append(column[0])
    return tuple(found)


def _matcher(segment: Segment) -> Callable[[str], bool]:
    """The quickest way to tell whether a name matches."""
    literal = literal_of(segment)
    if literal is not None:
        return literal.__eq__
    if segment == (STAR,) or segment == ANY_SEGMENTS:
        return lambda name: True
    rest = literal_of(segment[1:]) if segment[0] == STAR else None
    if rest is not None:
        return lambda name: name.endswith(rest)
    head = literal_of(segment[:-1]) if segment[-1] == STAR else None
    if head is not None:
        return lambda name: name.startswith(head)
    return lambda name: _matches_name(segment, name)


def _matches_name(segment: Segment, name: str) -> bool:
    """Goes back to the last star only, so that it takes at most len(segment) * len(name) steps."""
    i = j = 0
    star, mark = -1, 0
    while j < len(name):
        if i < len(segment) and segment[i] == STAR:
            star, mark = i, j
            i += 1
        elif i < len(segment) and _has(segment[i], ord(name[j])):
            i += 1
            j += 1
        elif star >= 0:
            mark += 1
            i, j = star + 1, mark
        else:
            return False
    return all(atom == STAR for atom in segment[i:])


def _has(ranges: Ranges, point: int) -> bool:
    return any(low <= point <= high for low, high in ranges)
