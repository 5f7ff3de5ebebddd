"""Ids from numbers, and finding things by a prefix of their id.

The mixing function is the finaliser of SplitMix64 (Steele, Lea, Flood, "Fast splittable
pseudorandom number generators", 2014): a bijection, so different numbers give different ids.
"""

from __future__ import annotations

from collections.abc import Collection, Container

from buildrunner_coordinator.domain.refusals import Reason, Refusal

_MASK = (1 << 64) - 1
_SHORTEST_PREFIX = 4
_SHOWN_CANDIDATES = 8


def mix(number: int) -> int:
    """A bijection of the 64-bit numbers that leaves no pattern of its input."""
    z = (number + 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def attempt_id(fence: int) -> str:
    """16 hex digits, different for every fence."""
    return f"{mix(fence):016x}"


def fresh_id(seed: int, taken: Container[str]) -> str:
    """8 hex digits made of `seed` that are not in `taken`."""
    while True:
        candidate = f"{mix(seed) >> 32:08x}"
        if candidate not in taken:
            return candidate
        seed += 1


def resolve(given: str, known: Collection[str], reason: Reason, noun: str) -> str:
    """The id that `given` is, or is a unique prefix of. Raises Refusal when there is none, or several."""
    if given in known:
        return given
    found = [one for one in known if one.startswith(given)] if len(given) >= _SHORTEST_PREFIX else []
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refusal(
            reason,
            f"There is no {noun} {given!r}. Ids and unique prefixes of {_SHORTEST_PREFIX} "
            f"or more digits are accepted.",
            id=given,
        )
    shown = ", ".join(sorted(found)[:_SHOWN_CANDIDATES])
    raise Refusal(
        Reason.AMBIGUOUS_ID,
        f"{given!r} is the beginning of {len(found)} {noun}s: {shown}. Give more digits.",
        candidates=",".join(sorted(found)),
    )
