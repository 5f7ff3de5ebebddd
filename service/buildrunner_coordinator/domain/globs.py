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
from typing import TypeVar

from buildrunner_coordinator.domain.glob_text import (
    ANY_SEGMENTS,
    STAR,
    Ranges,
    Segment,
    expand,
    literal_of,
    segments,
)

_Part = TypeVar("_Part")
BUDGET_STEPS = 20_000
"""Pairs of positions that one question looks at, at most."""

_GATE: Segment = ()
"""Stands in a row behind the literal beginning of an alternative, and lets every path through. No path
comes back to it, as one may to a `**` that follows."""
KEPT_STEPS = 10_000
"""Of one pattern. Any beyond, if it has that many, are worked out each time."""


class Overlap(Enum):
    NO = "no"
    YES = "yes"
    WIDENED = "widened"
    """The budget was spent: they may have a path in common, for all that is known."""

    def __bool__(self) -> bool:
        return self is not Overlap.NO


class Place:
    """Where a path stands within a pattern, behind some of its segments. Found as paths come to it, and
    kept: a step is then a few comparisons and a look into a dictionary."""

    __slots__ = ("_behind", "_pattern", "_targets", "_tests", "is_end", "meets_file")

    def __init__(self, pattern: Pattern, positions: frozenset[int]) -> None:
        self._pattern = pattern
        self.is_end = not pattern.ends.isdisjoint(positions)
        """The path is one of those that it matches."""
        self.meets_file = self.is_end or not pattern.literal.isdisjoint(positions)
        """So it is, or a literal beginning (of one of its alternatives) is the path, or lies below it."""
        targets: dict[Segment, list[int]] = {}
        for at in positions:
            segment = pattern.row[at]
            if segment:
                targets.setdefault(segment, []).append(at if segment == ANY_SEGMENTS else at + 1)
        self._targets = list(targets.values())
        self._tests = [pattern.matcher(one) for one in targets]
        self._behind: dict[tuple[bool, ...], Place | None] = {}

    def step(self, segment: str) -> Place | None:
        """Behind one more segment, which must be folded if the pattern is. None: nothing can match there."""
        answers = tuple([test(segment) for test in self._tests])
        try:
            return self._behind[answers]
        except KeyError:
            return self._work_out(answers)

    def _work_out(self, answers: tuple[bool, ...]) -> Place | None:
        passed = (targets for targets, answer in zip(self._targets, answers, strict=True) if answer)
        found = self._pattern.place({at for targets in passed for at in targets})
        if self._pattern.may_keep():
            self._behind[answers] = found
        return found


class Pattern:
    """A pattern ready to be asked. Made by `compiled`, shared by all who use it."""

    __slots__ = ("_kept_steps", "_matchers", "_places", "alternatives", "begin", "ends", "is_widened",
                 "literal", "prefix", "row", "stem")  # fmt: skip

    def __init__(self, text: str, fold_case: bool) -> None:
        expanded = expand(text)
        self.is_widened = expanded is None
        """It has too many alternatives: it counts as the tree of its literal beginning."""
        if expanded is None:
            plain = text[: min(text.find(char) for char in "*?[{" if char in text)]
            expanded = [plain.rpartition("/")[0] + "/**"]
        self.alternatives = tuple(dict.fromkeys(segments(text, one, fold_case) for one in expanded))
        prefixes = tuple(_literal_prefix(one) for one in self.alternatives)
        self.prefix = _common_prefix(prefixes)
        """The literal segments with which every path that it matches begins."""
        self.row: list[Segment | None] = []
        """All alternatives, one behind the other, with None behind each. Positions are indices of it."""
        begins: set[int] = set()
        literal: set[int] = set()
        for alternative, prefix in zip(self.alternatives, prefixes, strict=True):
            begin, depth = len(self.row), len(prefix)
            begins.add(begin)
            literal.update(range(begin, begin + depth + 1))
            self.row += (*alternative[:depth], _GATE, *alternative[depth:], None)
        self.ends = frozenset(at for at, segment in enumerate(self.row) if segment is None)
        self.literal = frozenset(literal)
        """Positions that only the literal beginning of an alternative leads to."""
        self._matchers: dict[Segment, Callable[[str], bool]] = {}
        self._places: dict[frozenset[int], Place] = {}
        self._kept_steps = 0
        first = self.place(begins)
        assert first is not None
        self.begin: Place = first
        """Before the first segment."""
        stem = self.walk(self.prefix)
        assert stem is not None, "a pattern's own beginning leads into it"
        self.stem: Place = stem
        """Behind its literal beginning."""

    def place(self, positions: set[int]) -> Place | None:
        """The one of these positions and of those behind each `**`, which may stand for no segment."""
        if not positions:
            return None
        for at in sorted(positions):
            while self.row[at] in (_GATE, ANY_SEGMENTS):
                at += 1
                positions.add(at)
        key = frozenset(positions)
        found = self._places.get(key)
        if found is None:
            found = Place(self, key)
            if self._kept_steps < KEPT_STEPS:
                self._places[key] = found
        return found

    def may_keep(self) -> bool:
        """Counts a step that a place wants to keep."""
        self._kept_steps += 1
        return self._kept_steps <= KEPT_STEPS

    def matcher(self, segment: Segment) -> Callable[[str], bool]:
        found = self._matchers.get(segment)
        if found is None:
            found = self._matchers[segment] = _matcher(segment)
        return found

    def walk(self, path: Sequence[str]) -> Place | None:
        """Where that path leads. None: it matches neither it nor anything below it."""
        return self._walk(self.begin, path)

    def walk_on(self, path: Sequence[str]) -> Place | None:
        """As `walk`, of a path that is known to begin with `prefix`."""
        return self._walk(self.stem, path[len(self.prefix) :])

    @staticmethod
    def _walk(begin: Place, path: Sequence[str]) -> Place | None:
        place: Place | None = begin
        for segment in path:
            if place is None:
                break
            place = place.step(segment)
        return place

    def matches(self, path: Sequence[str]) -> bool:
        """The path is one of those that it matches."""
        place = self.walk(path)
        return place is not None and place.is_end


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
        return _next_pairs(a, b, i, j, ANY_SEGMENTS, self._segment)

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
            for pair in _next_pairs(a, b, i, j, STAR, _meet):
                if pair not in seen:
                    seen.add(pair)
                    stack.append(pair)
        return False

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _BudgetSpent


def _next_pairs(
    a: Sequence[_Part], b: Sequence[_Part], i: int, j: int, star: _Part, meet: Callable[[_Part, _Part], bool]
) -> list[tuple[int, int]]:
    """Where two patterns at `i` and `j` can be next; `star` stands for any number of parts."""
    star_a, star_b = i < len(a) and a[i] == star, j < len(b) and b[j] == star
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
    elif not star_a and meet(a[i], b[j]):
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
