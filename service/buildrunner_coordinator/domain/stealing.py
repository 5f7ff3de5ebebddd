"""Taking assignments back from busy workers: for idle ones, and for those whose turn comes first.

What was sent ahead of its slot may wait behind a long task while another worker has nothing to do, or
while a session that came later, or with a higher priority, finds no room. Once it has waited
`steal_after_ms`, it is asked back; the worker answers that it has started, or gives it back at no cost,
and the next pass places it anew.
"""

from __future__ import annotations

from buildrunner_coordinator.domain import attempts
from buildrunner_coordinator.domain.eligibility import has_room, is_ready, may_place, serves, suits
from buildrunner_coordinator.domain.model import Attempt, Session, Task, Time, Worker
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.timers import Timer


def rebalance(core: State, now: Time) -> None:
    kept = core.queue.kept
    idle = [
        w for w in core.workers.values()
        if has_room(w) and w.slots_taken < w.slots and w.worker_id not in kept
    ]  # fmt: skip
    if not idle:
        return
    loaded = [w for w in core.workers.values() if w.slots_taken > w.slots]
    stock = [(w, surplus) for w in loaded if (surplus := _surplus(w))]
    wake_us = 0
    for thief in idle:
        for victim, surplus in stock:
            if not thief.session_id or victim.session_id in ("", thief.session_id):
                wake_us = max(wake_us, _take_back(core, thief, surplus, now))
    if wake_us:
        core.timers.add(wake_us, Timer.STEAL)


def make_way(core: State, now: Time) -> None:
    """Asks back what was sent ahead in the way of a higher priority, or of a session that has less."""
    lanes = core.queue.lanes
    if len(lanes) < 2 and all(len(mine) < 2 for mine in lanes.values()):
        return
    loaded = [w for w in core.workers.values() if w.slots_taken > w.slots and serves(w)]
    first = _first_in_line(core) if loaded else None
    if first is None:
        return
    session, task = first
    for worker in loaded:
        if not suits(worker, session.session_id, task.traits):
            continue
        surplus = _surplus(worker)
        if any(one.revoking for one in surplus):
            continue
        found = next((one for one in reversed(surplus) if _yields(core, one, session, task)), None)
        if found is not None:
            ripe_us = found.assigned_us + core.settings.steal_after_ms * 1000
            if ripe_us <= now.us:
                attempts.revoke(core, found, f"it is the turn of session {session.session_id}")
                return
            core.timers.add(ripe_us, Timer.STEAL)


def _first_in_line(core: State) -> tuple[Session, Task] | None:
    """Whose turn it is, of light tasks without paths: others are not sent ahead."""
    best: tuple[tuple[int, int, int], Session, Task] | None = None
    for session_id, lanes in core.queue.lanes.items():
        session = core.sessions[session_id]
        if not may_place(session):
            continue
        for traits, lane in lanes.items():
            task = lane[0][3] if lane else None
            if task is None or task.files or traits.slots > 1 or not is_ready(core, task):
                continue
            rank = (-traits.priority, session.slots_taken, session.order)
            if best is None or rank < best[0]:
                best = (rank, session, task)
    return best[1:] if best is not None else None


def _yields(core: State, attempt: Attempt, session: Session, task: Task) -> bool:
    """An unstarted attempt ranks lower than `task`, and still would if it went and that one came."""
    victim = core.attempts[attempt.attempt_id]
    if victim.traits.priority != task.traits.priority:
        return victim.traits.priority < task.traits.priority
    its = core.sessions[victim.session_id].slots_taken
    return victim.session_id != session.session_id and session.slots_taken + 1 < its


def _surplus(worker: Worker) -> list[Attempt]:
    """What it was sent and has not started, as far as it was not told to leave it."""
    return [one for one in worker.attempts.values() if not one.started and one.stop_as is None]


def _take_back(core: State, thief: Worker, surplus: list[Attempt], now: Time) -> int:
    """Asks one worker for as many assignments that suit `thief` as that has free slots. Returns when to look
    again, or 0."""
    ripe_us = now.us - core.settings.steal_after_ms * 1000
    free = thief.slots - thief.slots_taken
    asked = sum(a.revoking for a in surplus)
    later_us = 0
    for attempt in reversed(surplus):
        if asked >= free:
            break
        if attempt.revoking or not _suits(core, thief, attempt):
            continue
        if attempt.assigned_us > ripe_us:
            later_us = attempt.assigned_us + core.settings.steal_after_ms * 1000
            continue
        attempts.revoke(core, attempt, "another worker was idle")
        asked += 1
    return later_us


def _suits(core: State, thief: Worker, attempt: Attempt) -> bool:
    task = core.attempts[attempt.attempt_id]
    return not task.files and suits(thief, task.session_id, task.traits)
