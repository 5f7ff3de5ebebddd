"""Circles among needs. Kahn's algorithm (1962) finds that there is one, a walk names it."""

from __future__ import annotations

from collections.abc import Mapping


def find_cycle(needs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """A circle as [a, b, ..., a], each needing the next; empty when there is none.

    Needs that are no keys of the mapping are passed over.
    """
    if not any(needs.values()):
        return []
    left = {one: sum(need in needs for need in wanted) for one, wanted in needs.items()}
    dependents: dict[str, list[str]] = {}
    for one, wanted in needs.items():
        for need in wanted:
            if need in needs:
                dependents.setdefault(need, []).append(one)
    free = [one for one, count in left.items() if count == 0]
    while free:
        done = free.pop()
        del left[done]
        for one in dependents.get(done, ()):
            left[one] -= 1
            if left[one] == 0:
                free.append(one)
    return _walk(needs, left) if left else []


def _walk(needs: Mapping[str, tuple[str, ...]], left: Mapping[str, int]) -> list[str]:
    """Every task that is left needs another one that is left, so a walk must meet itself."""
    seen: dict[str, int] = {}
    path: list[str] = []
    one = next(iter(left))
    while one not in seen:
        seen[one] = len(path)
        path.append(one)
        one = next(need for need in needs[one] if need in left)
    return [*path[seen[one] :], one]
