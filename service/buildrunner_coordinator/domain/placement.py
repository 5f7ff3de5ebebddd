"""Which task goes to which worker: priority first, then equal shares, then the longest chain behind it, then
the order of submission.

One pass a batch. Tasks of a session with the same traits form a lane; the pass takes the session with
the highest priority and, among equals, the fewest slots at work, and gives its next task to the least
loaded worker that can take it. Free slots are filled before anything is sent ahead of its slot. Before
all others go those whose wait for path locks has aged; room for heavy tasks is kept by reserving.py.
"""

from __future__ import annotations

import heapq

from buildrunner_coordinator.domain import (
    attempts,
    conflicts,
    endings,
    external,
    relocking,
    requesting,
    reserving,
    waiting,
)
from buildrunner_coordinator.domain.eligibility import has_room, is_ready, may_place, serves, suits, takes
from buildrunner_coordinator.domain.model import (
    Session,
    Task,
    TaskStatus,
    Time,
    Traits,
    Worker,
)
from buildrunner_coordinator.domain.queueing import Lane
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.stealing import make_way, rebalance
from buildrunner_coordinator.domain.timers import Timer

_MOST_PARKED = 2000
"""So many tasks find their paths taken in one pass at most; the others are looked at in the next one,
so that a flood of tasks for one path does not hold up heartbeats."""

_MOST_PASSES = 8
"""In one batch; what is left then is looked at in the next one, at once."""

Candidate = tuple[bool, bool, float, int, int, Worker]
"""A worker in the order in which a lane asks them: full ones last, before them those on which room is
kept, then by the share of slots taken, by arrival. The fifth is what this order was reckoned with."""


def place(core: State, now: Time) -> None:
    """Ends when nothing is left that a worker could take now, and nobody waits for paths that are free.

    One pass, and another where tasks without a place to run at stood aside for those who can go at once.
    """
    relocking.go_on(core)
    for _ in range(_MOST_PASSES):
        requesting.serve(core, now)
        workers = _place_once(core, now)
        if core.queue.waiters.circles:
            _fail_deadlocked(core, now)
        elif not core.queue.waiters.called and not _let_pass(core, workers):
            break
    else:
        core.timers.add(now.us, Timer.STEAL)
    if core.queue.unstarted:
        rebalance(core, now)
        make_way(core, now)


def _place_once(core: State, now: Time) -> list[Worker]:
    """The workers that had room before it."""
    workers = [one for one in core.workers.values() if has_room(one)] if core.queue.lanes else []
    if workers:
        _recall(core, workers)
        _Pass(core, workers, now).run()
    else:
        core.queue.kept = {}
    return workers


def _recall(core: State, workers: list[Worker]) -> None:
    """Who stood aside and could be placed now is back at its place before anybody is served."""
    for key in list(core.queue.waiters.aside):
        task = core.tasks[key[0]][key[1]]
        if _could_go(core, task, workers):
            waiting.come_back(core, task)


def _could_go(core: State, task: Task, workers: list[Worker]) -> bool:
    """A worker has room for it and its session may have it placed, leaving path locks aside."""
    if task.status is not TaskStatus.QUEUED or not may_place(core.sessions[task.session_id]):
        return False
    return any(
        has_room(one) and suits(one, task.session_id, task.traits) and takes(one, task) for one in workers
    )


def _let_pass(core: State, workers: list[Worker]) -> bool:
    if not core.queue.waiters.woken:
        return False

    def could_go(key: waiting.Key) -> bool:
        if not key[0]:
            return core.requesters[key[1]].attached
        return _could_go(core, core.tasks[key[0]][key[1]], workers)

    def keeps_place(task: Task) -> bool:
        # Its session's own limit is no reason for others to wait, however long it has waited itself.
        is_aged = waiting.is_aged(core, task) and may_place(core.sessions[task.session_id])
        # Where room is kept for it, its paths are its own.
        return is_aged or reserving.is_aged(core, task) or _could_go(core, task, workers)

    return waiting.let_pass(core, could_go, keeps_place)


def _fail_deadlocked(core: State, now: Time) -> None:
    """Tasks whose wait closed a circle: it would not end by itself."""
    circles, core.queue.waiters.circles = core.queue.waiters.circles, {}
    for (session_id, task_id), steps in circles.items():
        task = core.tasks.get(session_id, {}).get(task_id)
        if task is None or task.status is not TaskStatus.QUEUED or not task.ticket:
            continue
        session = core.sessions[session_id]
        me = f"session {session_id} ({session.name})"
        task.error = f"its wait closes a circle: {me} {conflicts.circle_phrase(core, steps)}"
        task.ended_at_us = now.wall_us
        endings.fail(core, task, "DEADLOCK", now)


class _OpenLane:
    """A lane during a pass."""

    __slots__ = ("candidates", "lane", "traits")

    def __init__(self, traits: Traits, lane: Lane) -> None:
        self.traits = traits
        self.lane = lane
        self.candidates: list[Candidate] | None = None


class _Desk:
    """A session during a pass: its lanes, the one with its next task first. Lanes for whose tasks no
    worker has room are not among them: room only shrinks during a pass."""

    __slots__ = ("lanes", "session")

    def __init__(self, core: State, session: Session) -> None:
        self.session = session
        self.lanes: list[tuple[int, int, int, int, _OpenLane]] = []
        lanes = core.queue.lanes.get(session.session_id, {})
        for traits, lane in list(lanes.items()):
            _trim(core, lane)
            if lane:
                place_in_line = (-traits.priority, lane[0][0], lane[0][1], len(self.lanes))
                opened = _OpenLane(external.bound(core, traits), lane)
                self.lanes.append((*place_in_line, opened))
            else:
                del lanes[traits]
        heapq.heapify(self.lanes)

    def turn(self, core: State) -> _Turn | None:
        """None: nothing to place. Among equals goes who would have room kept: else those whose tasks fit
        would take every slot that comes free."""
        if not self.lanes or not may_place(self.session):
            return None
        priority, _, _, _, opened = self.lanes[0]
        is_young = not core.queue.claims or not reserving.is_aged(core, opened.lane[0][3])
        return priority, self.session.slots_taken, is_young, self.session.order, self

    def go_on(self, core: State) -> None:
        """The head of the first lane is gone: its lane lines up again."""
        priority, _, _, number, opened = self.lanes[0]
        _trim(core, opened.lane)
        if opened.lane:
            first = opened.lane[0]
            heapq.heapreplace(self.lanes, (priority, first[0], first[1], number, opened))
        else:
            heapq.heappop(self.lanes)


_Turn = tuple[int, int, bool, int, _Desk]
"""Negated priority, slots at work, not yet aged, order of the session: least first."""


class _Pass:
    def __init__(self, core: State, workers: list[Worker], now: Time) -> None:
        self.core = core
        self.workers = workers
        self.now = now
        self.rooms = len(workers)
        """How many workers may hold one more."""
        self.parked = 0
        self.kept: dict[str, tuple[str, str]] = {}
        self.kept_before = core.queue.kept
        self.not_ahead: set[str] = set()
        """Workers to which nothing is sent ahead, since that would take the room of heavy tasks."""

    def run(self) -> None:
        """Takes one task at a time from the session whose turn it is."""
        queue = self.core.queue
        reserving.forget_old(self.core)
        self._serve_aged()
        chosen = list(queue.lanes)
        while chosen:
            queue.stirred.clear()
            self._serve_all(chosen)
            chosen = [] if self._is_over() else sorted(queue.stirred)
        queue.kept = self.kept
        for session_id in [one for one, lanes in queue.lanes.items() if not lanes]:
            del queue.lanes[session_id]

    def _serve_all(self, session_ids: list[str]) -> None:
        turns = []
        for session_id in session_ids:
            turn = _Desk(self.core, self.core.sessions[session_id]).turn(self.core)
            if turn is not None:
                turns.append(turn)
                self._hold_back(turn[4])
        heapq.heapify(turns)
        while turns and not self._is_over():
            desk = turns[0][4]
            self._serve(desk)
            turn = desk.turn(self.core)
            if turn is None:
                heapq.heappop(turns)
            else:
                heapq.heapreplace(turns, turn)

    def _hold_back(self, desk: _Desk) -> None:
        for *_, opened in desk.lanes:
            if opened.traits.slots > 1:
                session_id, traits = desk.session.session_id, opened.traits
                self.not_ahead.update(one.worker_id for one in self.workers if suits(one, session_id, traits))

    def _is_over(self) -> bool:
        """Nobody can take anything, or enough was looked at for one pass."""
        if self.parked >= _MOST_PARKED:
            self.core.timers.add(self.now.us, Timer.STEAL)
            return True
        return not self.rooms and not self.core.queue.waiters.woken

    def _serve_aged(self) -> None:
        """Those whose wait for locks has aged, in order of their tickets, whoever's turn it would be."""
        core = self.core
        if not core.queue.waiters.woken:
            return
        found = [core.tasks[session_id][task_id] for session_id, task_id in core.queue.waiters.woken]
        aged = [task for task in found if waiting.is_aged(core, task) and is_ready(core, task)]
        aged.sort(key=lambda task: core.locks.ticket(waiting.waiter_name(task.key)) or 0)
        for task in aged:
            if not may_place(core.sessions[task.session_id]):
                continue
            opened = _OpenLane(task.traits, [])
            worker = self._choose(task.session_id, opened, task)
            if worker is not None:
                self._give(task, worker)
            elif task.traits.slots > 1:
                self._keep_room(task)

    def _serve(self, desk: _Desk) -> None:
        """Places the next task of the session, parks it, or finds its lane without a worker."""
        opened = desk.lanes[0][4]
        task = opened.lane[0][3]
        worker = self._choose(desk.session.session_id, opened, task)
        if worker is not None:
            heapq.heappop(opened.lane)
            self._give(task, worker)
            desk.go_on(self.core)
            return
        heapq.heappop(desk.lanes)
        self._let_go(desk.session.session_id, opened.traits)
        if opened.traits.slots > 1 and task.key not in self.kept.values():
            self._keep_room(task)

    def _give(self, task: Task, worker: Worker) -> None:
        if task.files and not waiting.try_grant(self.core, task):
            self.parked += 1
            return
        attempts.assign(self.core, task, worker, self.now)
        if len(worker.attempts) >= worker.credit:
            self.rooms -= 1

    def _let_go(self, session_id: str, traits: Traits) -> None:
        """Tasks that no worker suits keep no locks waiting."""
        core = self.core
        mine = [key for key in core.queue.waiters.woken if key[0] == session_id]
        if not mine or any(serves(w) and suits(w, session_id, traits) for w in core.workers.values()):
            return
        for _, task_id in mine:
            task = core.tasks[session_id][task_id]
            if task.traits == traits:
                waiting.leave(core, task)

    def _keep_room(self, task: Task) -> None:
        able = [
            worker for worker in self.core.workers.values()
            if worker.connected and serves(worker) and worker.worker_id not in self.kept
            and suits(worker, task.session_id, task.traits)
        ]  # fmt: skip
        if able:
            worker_id = reserving.keep_room(self.core, task, able, self.now)
            if worker_id:
                self.kept[worker_id] = task.key

    def _choose(self, session_id: str, opened: _OpenLane, task: Task) -> Worker | None:
        """The least loaded one, of those on which it has not failed if one of them has a free slot; a free
        slot where it failed is better than to wait for another, from which it would be taken back at once."""
        heap = opened.candidates
        if heap is None:
            heap = opened.candidates = self._candidates(session_id, opened.traits)
        best = self._first_free(heap, task)
        if best is None or best.worker_id not in task.avoid:
            return best
        others = [one[5] for one in heap if one[5].worker_id not in task.avoid]
        fresh = [self._candidate(worker) for worker in others if self._free(worker, task)]
        other = min(fresh)[5] if fresh else best
        return best if _is_full(other) and not _is_full(best) else other

    def _first_free(self, heap: list[Candidate], task: Task) -> Worker | None:
        while heap:
            worker = heap[0][5]
            if heap[0][4] != worker.slots_taken:
                heapq.heapreplace(heap, self._candidate(worker))
            elif self._free(worker, task):
                return worker
            else:
                heapq.heappop(heap)
        return None

    def _free(self, worker: Worker, task: Task) -> bool:
        if not takes(worker, task) or worker.worker_id in self.kept:
            return False
        return not _is_full(worker) or worker.worker_id not in self.not_ahead

    def _candidates(self, session_id: str, traits: Traits) -> list[Candidate]:
        found = [self._candidate(worker) for worker in self.workers if suits(worker, session_id, traits)]
        heapq.heapify(found)
        return found

    def _candidate(self, worker: Worker) -> Candidate:
        taken, slots = worker.slots_taken, worker.slots
        was_kept = worker.worker_id in self.kept_before
        return taken >= slots, was_kept, taken / slots, worker.order, taken, worker


def _is_full(worker: Worker) -> bool:
    return worker.slots_taken >= worker.slots


def _trim(core: State, lane: Lane) -> None:
    """Drops entries at the head whose task may not be placed; whatever changes that enters it anew."""
    while lane and not is_ready(core, lane[0][3]):
        heapq.heappop(lane)
