"""Reasons why tasks do not run: grouped, followed from task to task, worded. Writes nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .lock_phrases import is_by_hand, waiter_phrase
from .phrases import wait_phrase

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence, Set

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import LockHolder, LockListing, TaskExplanation, Wait

# Of a session; what comes after these would wait for the same, and nobody reads on.
EXPLAINED_TASKS = 10_000
SHOWN_NAMES = 3
MOST_LINKS = 20
MOST_DEPTH = 8
_TIMED = ("backoff", "lock_delay")
# Where the coordinator goes on with what the first of the holders waits for.
_CHAIN = "; that waits for "
_AT_WORK = ("running", "cancelling")


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
    """A task that something waits for, and what it waits for itself; `depth` 0 is the task asked about.

    Without a `task_id` it is what somebody holds by hand in the session's name.
    """

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
        reason = found.setdefault(reason_key(wait), Reason(wait))
        reason.task_ids.append(one.task_id)
        reason.names.update(dict.fromkeys(wait.names))
        if wait.until and reason.wait.until and wait.until < reason.wait.until:
            reason.wait = wait
    return sorted(found.values(), key=lambda reason: -len(reason.task_ids))


def reason_key(wait: Wait) -> object:
    """The same for waits that are one reason to people."""
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


def link_sentences(link: Link, links: Sequence[Link]) -> list[str]:
    """What keeps the task of a link; what stands below it, in `links` of its own, is left out: why its needs
    do not run, and what the first of its holders waits for."""
    shown = {(one.session_id, one.task_id) for one in links}
    told = [_sentence(wait, shown) if link.depth < MOST_DEPTH else wait_phrase(wait) for wait in link.waits]
    return told or ([f"is {link.status}"] if link.depth and link.task_id else [])


def _sentence(wait: Wait, shown: Set[tuple[str, str]]) -> str:
    if wait.kind.value == "needs" and wait.names:
        return _needs(wait)
    told = wait_phrase(wait)
    first = next(iter(wait.holders), None) if wait.kind.value == "locks" else None
    is_below = first is not None and (first.session_id, first.task_id) in shown
    return told.partition(_CHAIN)[0] if is_below else told


def _needs(wait: Wait) -> str:
    hidden = len(wait.names) - MOST_LINKS
    return f"needs {', '.join(wait.names[:MOST_LINKS])}" + (f" and {hidden} more" if hidden > 0 else "")


def chain(client: Client, session_id: str, task_id: str) -> list[Link]:
    """The task, and whom it waits for, each with its own reasons: needs, and holders of locks to the end.

    Bounded, so that a wide graph stays readable. Raises NotFoundError for the task itself.
    """
    walk = _Walk(client)
    walk.visit(session_id, task_id, 0)
    return walk.links


def hand_waits(listing: LockListing, task_id: str = "") -> tuple[Wait, ...]:
    """What a session waits for by hand, or what that task of it asked for while it ran; of one session's
    listing."""
    from buildrunner_parallel.enums import WaitKind
    from buildrunner_parallel.records import Wait

    return tuple(
        Wait(
            WaitKind.LOCKS,
            waiter_phrase(one),
            tuple(request.path for request in one.paths),
            tuple(conflict.holder for conflict in one.conflicts),
        )
        for one in listing.waiters
        if is_by_hand(one) and one.waiter.task_id == task_id
    )


class _Walk:
    """Follows reasons from one to the next; each task and each session's own holdings once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._seen: set[tuple[str, str]] = set()
        self._listings: dict[str, LockListing] = {}
        self.links: list[Link] = []

    def visit(self, session_id: str, task_id: str, depth: int) -> None:
        self._seen.add((session_id, task_id))
        link = self._link(session_id, task_id, depth)
        if link is None:
            return
        self.links.append(link)
        for wait in link.waits if depth < MOST_DEPTH else ():
            for place in _followed(session_id, wait):
                if place not in self._seen and len(self.links) < MOST_LINKS:
                    self.visit(*place, depth + 1)

    def _link(self, session_id: str, task_id: str, depth: int) -> Link | None:
        """None for one that has ended since, and for holders by hand that wait for nothing."""
        if not task_id:
            waits = hand_waits(self._listing(session_id))
            return Link(session_id, "", "", depth, waits) if waits else None
        one = self._explained(session_id, task_id, depth)
        if one is None:
            return None
        status = one.status.value
        asked = hand_waits(self._listing(session_id), task_id) if status in _AT_WORK else ()
        return Link(session_id, task_id, status, depth, (*one.waits, *asked))

    def _listing(self, session_id: str) -> LockListing:
        if session_id not in self._listings:
            self._listings[session_id] = self._client.list_locks(session=session_id)
        return self._listings[session_id]

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
    """Session and task of those that `wait` is for; no task for what is held by hand."""
    if wait.kind.value == "needs":
        yield from ((session_id, name) for name in wait.names)
    elif wait.kind.value == "locks":
        yield from ((holder.session_id, holder.task_id) for holder in wait.holders)
