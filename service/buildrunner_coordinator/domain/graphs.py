"""Circles, levels and chains among needs. Kahn's algorithm (1962) finds that there is a circle, a walk
names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def find_cycle(needs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """A circle as [a, b, ..., a], each needing the next; empty when there is none.

    Needs that are no keys of the mapping are passed over.
    """
    if not any(needs.values()):
        return []
    left = {one: sum(need in needs for need in wanted) for one, wanted in needs.items()}
    dependents = dependents_of(needs)
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


def levels(needs: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """How many tasks stand before each on the longest chain to it: 0 for those that need none.

    In an order in which every task comes after what it needs. There must be no circle; needs that are no
    keys of the mapping are passed over.
    """
    left = {one: sum(need in needs for need in wanted) for one, wanted in needs.items()}
    dependents = dependents_of(needs)
    found: dict[str, int] = {}
    ready = [one for one, count in left.items() if count == 0]
    level = dict.fromkeys(needs, 0)
    for one in ready:
        found[one] = level[one]
        for dependent in dependents.get(one, ()):
            level[dependent] = max(level[dependent], level[one] + 1)
            left[dependent] -= 1
            if left[dependent] == 0:
                ready.append(dependent)
    return found


def dependents_of(needs: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Who needs whom, the other way round."""
    dependents: dict[str, list[str]] = {}
    for one, wanted in needs.items():
        for need in wanted:
            if need in needs:
                dependents.setdefault(need, []).append(one)
    return dependents


def longest_chain(needs: Mapping[str, tuple[str, ...]], level: Mapping[str, int]) -> list[str]:
    """A longest chain of needs, first to last; `level` is what `levels` found."""
    if not level:
        return []
    one: str | None = max(level, key=level.__getitem__)
    chain: list[str] = []
    while one is not None:
        chain.append(one)
        below = level[one] - 1
        one = next((need for need in needs[one] if level.get(need) == below), None)
    chain.reverse()
    return chain


def spans(
    needs: Mapping[str, tuple[str, ...]], dependents: Mapping[str, list[str]]
) -> dict[str, tuple[int, int]]:
    """Intervals of a forest that spans the graph: one within another's needs it, directly or not.

    The reverse does not hold: whether two that lie apart are ordered takes a walk to tell.
    """
    found: dict[str, tuple[int, int]] = {}
    seen: set[str] = set()
    for root in needs:
        if any(need in needs for need in needs[root]):
            continue
        seen.add(root)
        stack = [(root, len(seen), iter(dependents.get(root, ())))]
        while stack:
            one, begin, rest = stack[-1]
            child = next((other for other in rest if other not in seen), None)
            if child is None:
                stack.pop()
                found[one] = (begin, len(seen) + 1)
            else:
                seen.add(child)
                stack.append((child, len(seen), iter(dependents.get(child, ()))))
    return found


def reachable(start: str, edges: Mapping[str, Iterable[str]]) -> set[str]:
    """Everything that can be reached from `start` along `edges`, without itself."""
    seen: set[str] = set()
    stack = [start]
    while stack:
        for after in edges.get(stack.pop(), ()):
            if after not in seen:
                seen.add(after)
                stack.append(after)
    return seen
