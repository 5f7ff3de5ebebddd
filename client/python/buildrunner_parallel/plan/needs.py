"""What each task needs: names and patterns over ids made into ids, cycles found and named.

Works on ids and lists alone, and in about linear time: plans may have 100,000 tasks.
"""

from __future__ import annotations

import bisect
import difflib
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence

MAX_EDGES = 5_000_000
_WILD = re.compile(r"[*?\[]")


class IdIndex:
    """All ids of a plan; answers which of them a name or pattern means."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._known = frozenset(ids)
        self._sorted = sorted(self._known)
        self._matches: dict[str, tuple[str, ...]] = {}

    def match(self, name: str) -> tuple[str, ...]:
        """The ids that `name` means: itself if it is one, else those that it matches as a pattern."""
        if name in self._known:
            return (name,)
        wild = _WILD.search(name)
        if not wild:
            return ()
        if name not in self._matches:
            self._matches[name] = self._scan(name, name[: wild.start()])
        return self._matches[name]

    def _scan(self, pattern: str, prefix: str) -> tuple[str, ...]:
        first = bisect.bisect_left(self._sorted, prefix)
        last = bisect.bisect_right(self._sorted, prefix + "\U0010ffff", lo=first)
        fits = re.compile(fnmatch.translate(pattern)).match
        return tuple(task_id for task_id in self._sorted[first:last] if fits(task_id))

    def suggestion(self, name: str) -> str:
        """A phrase that names the nearest id, or says that none matches."""
        if _WILD.search(name):
            return "no task's id matches it"
        near = difflib.get_close_matches(name, self._sorted[:20_000], n=1, cutoff=0.6)
        return f'did you mean "{near[0]}"?' if near else "no task has this id"


def find_cycle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """One cycle of `needs`, as ids whose last is the first again; empty when there is none."""
    done: set[str] = set()
    for start in needs:
        if start in done:
            continue
        path: dict[str, None] = {}
        stack = [(start, iter(needs[start]))]
        path[start] = None
        while stack:
            task_id, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                path.pop(task_id)
                done.add(task_id)
            elif following in path:
                names = list(path)
                return [*names[names.index(following) :], following]
            elif following not in done:
                path[following] = None
                stack.append((following, iter(needs[following])))
    return []
