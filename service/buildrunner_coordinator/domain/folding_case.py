"""Comparing without regard to case, one character for one: what file systems that ignore case do. Pure.

Full case folding ("ß" to "ss") changes lengths, which neither they nor patterns with "?" could follow.
"""

from __future__ import annotations

import sys
from functools import lru_cache

_MOST_SINGLE = 512
"""Ranges up to so many characters are folded one by one."""


def fold(text: str) -> str:
    """The text in the one spelling that stands for all that differ in case only."""
    if text.isascii():
        return text.lower()
    return "".join(map(_fold_character, text))


def folded_ranges(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """A set of characters with the folded spelling of each of them. What folding takes out may stay in:
    no folded text has it."""
    points = [(low, high) for low, high in ranges]
    for low, high in ranges:
        if high - low <= _MOST_SINGLE:
            points += [(ord(c), ord(c)) for c in map(_fold_character, map(chr, range(low, high + 1)))]
        else:
            points += [(to, to) for char, to in _cased() if low <= char <= high]
    found: list[tuple[int, int]] = []
    for low, high in sorted(points):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        # One character stays one, so that literal text is known as such.
        one = ord(_fold_character(chr(ranges[0][0])))
        return ((one, one),)
    return tuple(found)


@lru_cache(maxsize=4096)
def _fold_character(char: str) -> str:
    for folded in (char.casefold(), char.lower()):
        if len(folded) == 1:
            return folded
    return char


@lru_cache(maxsize=1)
def _cased() -> tuple[tuple[int, int], ...]:
    """Every character that folding changes, and to what."""
    pairs = ((point, ord(_fold_character(chr(point)))) for point in range(sys.maxunicode + 1))
    return tuple((point, to) for point, to in pairs if point != to)
