"""Reasons why tasks do not run: grouped, followed from task to task, worded. Writes nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .phrases import wait_phrase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import LockHolder, TaskExplanation, Wait

# Of a session; what comes after these would wait for the same, and nobody reads on.
EXPLAINED_TASKS = 10_000
SHOWN_NAMES = 3
MOST_LINKS = 20
MOST_DEPTH = 8
_TIMED = ("backoff", "lock_delay")


@dataclass
class Reason:
    """One reason and the tasks that it keeps from running, in order of their submission.

    `names` are those of all of its tasks: the paths that the same holders keep from them, for one.
    """

    wait: Wait
    task_ids: list[str] = field(default_factory=list)
    names: dict[str, None] = field(default_factory=dict)

    def sentence(self) -> str:
        """For people; tells of the paths of all when they are not the same."""
        if set(self.names) == set(self.wait.names):
            return wait_phrase(self.wait)
        shown = ", ".join(list(self.names)[:SHOWN_NAMES])
        hidden = len(self.names) - SHOWN_NAMES
        more = f" and {hidden} more" if hidden > 0 else ""
        holders = ", ".join(dict.fromkeys(map(_holder_name, self.wait.holders)))
        return f"waits for {shown}{more}, held by {holders}"


@dataclass(frozen=True)
class Link:
    """A task that something waits for, and what it waits for itself; `depth` 0 is the task asked about."""

    session_id: str
    task_id: str
    status: str
    depth: int
    waits: tuple[Wait, ...]


def reasons(explained: Iterable[TaskExplanation]) -> list[Reason]:
    """The most telling reason of each task that waits, equal ones together, those of most tasks first.

    Pauses behind failures are one reason, with the earliest of their ends; so are locks of the same holders.
    """
    found: dict[object, Reason] = {}
    for one in explained:
        if not one.waits:
            continue
        wait = one.waits[0]
        reason = found.setdefault(_key(wait), Reason(wait))
        reason.task_ids.append(one.task_id)
        reason.names.update(dict.fromkeys(wait.names))
        if wait.until and reason.wait.until and wait.until < reason.wait.until:
            reason.wait = wait
    return sorted(found.values(), key=lambda reason: -len(reason.task_ids))


def _key(wait: Wait) -> object:
    kind = wait.kind.value
    if kind in _TIMED:
        return kind
    if kind == "locks" and wait.holders:
        return (kind, frozenset(map(_holder_name, wait.holders)))
    # Sentences may tell of a moment; names do not.
    return (kind, wait.names or wait.message)


def _holder_name(holder: LockHolder) -> str:
    session = holder.session_name or holder.session_id
    return f"{session}/{holder.task_id}" if holder.task_id else session


def link_sentences(link: Link) -> list[str]:
    """What keeps the task of a link; needs by name alone, since what they wait for stands below them."""
    told = [
        _needs(wait)
        if wait.kind.value == "needs" and wait.names and link.depth < MOST_DEPTH
        else wait_phrase(wait)
        for wait in link.waits
    ]
    return told or ([f"is {link.status}"] if link.depth else [])


def _needs(wait: Wait) -> str:
    hidden = len(wait.names) - MOST_LINKS
    return f"needs {', '.join(wait.names[:MOST_LINKS])}" + (f" and {hidden} more" if hidden > 0 else "")


def chain(client: Client, session_id: str, task_id: str) -> list[Link]:
    """The task, and the tasks that it waits for, each with its own reasons: needs and holders of locks.

    Bounded, so that a wide graph stays readable. Raises NotFoundError for the task itself.
    """
    walk = _Walk(client)
    walk.visit(session_id, task_id, 0)
    return walk.links


class _Walk:
    """Follows reasons from task to task; each task once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._seen: set[tuple[str, str]] = set()
        self.links: list[Link] = []

    def visit(self, session_id: str, task_id: str, depth: int) -> None:
        self._seen.add((session_id, task_id))
        one = self._explained(session_id, task_id, depth)
        if one is None:
            return
        self.links.append(Link(session_id, task_id, one.status.value, depth, one.waits))
        for wait in one.waits if depth < MOST_DEPTH else ():
            for place in _followed(session_id, wait):
                if place not in self._seen and len(self.links) < MOST_LINKS:
                    self.visit(*place, depth + 1)

    def _explained(self, session_id: str, task_id: str, depth: int) -> TaskExplanation | None:
        from buildrunner_parallel.errors import NotFoundError

        try:
            explained = self._client.explain_tasks(session_id, task_id)
        except NotFoundError:
            # What was waited for has ended, or was deleted, since that was said.
            if not depth:
                raise
            return None
        return explained[0] if explained else None


def _followed(session_id: str, wait: Wait) -> Iterator[tuple[str, str]]:
    """Session and task of those that `wait` is for."""
    if wait.kind.value == "needs":
        yield from ((session_id, name) for name in wait.names)
    elif wait.kind.value == "locks":
        yield from ((holder.session_id, holder.task_id) for holder in wait.holders if holder.task_id)
