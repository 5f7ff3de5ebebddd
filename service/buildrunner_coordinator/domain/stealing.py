"""Taking assignments back from busy workers for idle ones.

What was sent ahead of its slot may wait behind a long task while another worker has nothing to do.
Once it has waited `steal_after_ms`, it is asked back; the worker answers that it has started, or gives
it back at no cost, and the next pass places it anew.
"""

from __future__ import annotations

from buildrunner_coordinator.domain import attempts, placement
from buildrunner_coordinator.domain.model import Attempt, Time, Worker
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.timers import Timer


def rebalance(core: State, now: Time) -> None:
    idle = [w for w in core.workers.values() if placement.has_room(w) and w.slots_taken < w.slots]
    if not idle:
        return
    loaded = [w for w in core.workers.values() if w.slots_taken > w.slots]
    wake_us = 0
    for thief in idle:
        for victim in loaded:
            free = thief.slots - thief.slots_taken
            wake_us = max(wake_us, _take_back(core, thief, victim, free, now))
    if wake_us:
        core.timers.add(wake_us, Timer.STEAL)


def _take_back(core: State, thief: Worker, victim: Worker, free: int, now: Time) -> int:
    """Asks `victim` for up to `free` assignments that suit `thief`. Returns when to look again, or 0."""
    ripe_us = now.us - core.settings.steal_after_ms * 1000
    surplus = [a for a in victim.attempts.values() if not a.started and a.stop_as is None]
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
        attempts.revoke(core, attempt)
        asked += 1
    return later_us


def _suits(core: State, thief: Worker, attempt: Attempt) -> bool:
    task = core.attempts[attempt.attempt_id]
    return not task.files and placement.suits(thief, task.session_id, task.traits)
