"""Who is in the way of a request for paths, in full, and how a refusal says it."""

from __future__ import annotations

from buildrunner_coordinator.domain import deadlocks, history, waits
from buildrunner_coordinator.domain.deadlocks import Step
from buildrunner_coordinator.domain.locks import HELD, Entry, Party
from buildrunner_coordinator.domain.model import PathRequest, Session
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Holder, LockConflict
from buildrunner_coordinator.domain.state import State

LIMIT = 200
"""So many conflicts a refusal names. The paths in its first line are of these."""


def of(
    core: State, files: tuple[PathRequest, ...], party: Party, ticket: int | None = None, limit: int = LIMIT
) -> list[LockConflict]:
    """Holders, and with a ticket the waiters that came before it; each path with each of them once."""
    found: dict[tuple[str, str, str], LockConflict] = {}
    for asked, entry in core.locks.conflicts(files, party, ticket):
        key = (asked.path, entry.owner, entry.request.path)
        if key not in found:
            found[key] = of_entry(core, asked, entry)
            if len(found) >= limit:
                break
    return sorted(found.values(), key=lambda one: (one.position, one.asked.path))


def of_entry(core: State, asked: PathRequest, entry: Entry) -> LockConflict:
    holder = waits.holder_of(core, entry.owner) or Holder("", "", "", "", "", "")
    is_held = entry.ticket == HELD
    since_us = waits.since_us(core, entry.owner)
    return LockConflict(
        asked, entry.request, waits.lock_id_of(core, entry.owner, entry.request) if is_held else "", holder,
        max(0, core.now.us - since_us), 0 if is_held else place(core, entry.ticket),
        _silent_us(core, entry),
    )  # fmt: skip


def place(core: State, ticket: int) -> int:
    """1 for the first in the order of all who wait for paths."""
    before = sum(1 for one in core.requesters.values() if one.ticket < ticket)
    tasks = (core.tasks[session_id][task_id] for session_id, task_id in core.queue.waiters.waiting)
    return 1 + before + sum(1 for task in tasks if task.ticket < ticket)


def refusal(core: State, conflicts: list[LockConflict], waited_us: int = 0) -> Refusal:
    """LOCK_CONFLICT with every conflict. The first line names one session and what it has of the asked."""
    first = next((one for one in conflicts if not one.position), conflicts[0] if conflicts else None)
    if first is None:
        return Refusal(Reason.LOCK_CONFLICT, "The paths were taken until now: ask again.")
    session_id = first.holder.session_id
    same = [one for one in conflicts if one.holder.session_id == session_id]
    asked = ", ".join(dict.fromkeys(one.asked.path or "./" for one in same))
    message = f"Files already locked by session {session_id}: {asked}"
    if first.position:
        message = f"Files already asked for by session {session_id}: {asked}"
    others = len({one.holder.session_id for one in conflicts} - {session_id})
    if others:
        message += f" (and by {history.counted(others, 'other session')})"
    if waited_us:
        message += f" (waited for {history.duration(waited_us)})"
    return Refusal(Reason.LOCK_CONFLICT, message, session_id=session_id).about(conflicts)


def deadlock(core: State, session: Session, steps: list[Step]) -> Refusal:
    """DEADLOCK with the way round."""
    me = f"session {session.session_id} ({session.name})"
    message = f"Waiting would close a circle: {me} {circle_phrase(core, steps)}. Release something first."
    found = (of_entry(core, asked, entry) for asked, entry in steps)
    return Refusal(Reason.DEADLOCK, message, session_id=session.session_id).about(found)


def circle_phrase(core: State, steps: list[Step]) -> str:
    """Such as "waits for a, which x holds; that waits for b, which y holds"."""
    parts = []
    for asked, entry in steps:
        verb = "holds" if entry.ticket == HELD else "asked for before it"
        parts.append(f"waits for {asked.path or './'}, which {waits.who(core, entry.owner)} {verb}")
    return "; that ".join(parts)


def chain_phrase(core: State, owner: str) -> str:
    """What a holder itself hangs on, to the end: empty when on nothing."""
    steps = deadlocks.chain(core, owner)
    return f"; that {circle_phrase(core, steps)}" if steps else ""


def holder_of_path(core: State, wanted: PathRequest) -> str:
    """Somebody who holds what overlaps with this path, for people; empty if nobody does."""
    for _, entry in core.locks.conflicts((wanted,), Party("", "")):
        if entry.ticket == HELD:
            return waits.who(core, entry.owner)
    return ""


def _silent_us(core: State, entry: Entry) -> int:
    """Only a session's own grant stays for as long as nobody says otherwise."""
    session = core.sessions.get(entry.party.session_id)
    if entry.ticket != HELD or not entry.party.is_session or session is None:
        return 0
    return max(0, core.now.us - session.heard_us)
