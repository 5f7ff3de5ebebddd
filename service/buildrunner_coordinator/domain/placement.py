"""Which task goes to which worker: priority first, then equal shares, then order of submission.

One pass a batch. Tasks of a session with the same traits form a lane; the pass takes the session with
the highest priority and, among equals, the fewest tasks at work, and gives its oldest task to the
least loaded worker that can take it. Free slots are filled before anything is sent ahead of its slot.
"""

from __future__ import annotations

import heapq

from buildrunner_coordinator.domain import attempts, waiting
from buildrunner_coordinator.domain.model import (
    Session,
    SessionStatus,
    Task,
    TaskKind,
    TaskStatus,
    Time,
    Traits,
    Worker,
    WorkerStatus,
)
from buildrunner_coordinator.domain.moves import held
from buildrunner_coordinator.domain.queueing import Lane
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.stealing import rebalance

Turn = tuple[int, int, int, str, Traits]
"""Whose turn it is: negated priority, tasks at work, order of the session; its id, the lane to serve."""


def place(core: State, now: Time) -> None:
    """One pass. Ends when nothing is left that a worker could take now."""
    if core.queue.lanes:
        workers = [worker for worker in core.workers.values() if has_room(worker)]
        if workers:
            _Pass(core, workers, now).run()
    if core.queue.unstarted:
        rebalance(core, now)


def has_room(worker: Worker) -> bool:
    """It may hold one more attempt at least."""
    return worker.connected and serves(worker) and len(worker.attempts) < worker.credit


def serves(worker: Worker) -> bool:
    """It takes tasks, now or when its stream is back."""
    return not worker.draining and worker.status in (WorkerStatus.IDLE, WorkerStatus.BUSY)


def suits(worker: Worker, session_id: str, traits: Traits) -> bool:
    """It is able and allowed to run such tasks of that session, leaving its load aside."""
    if worker.session_id and worker.session_id != session_id:
        return False
    if traits.wanted_worker_id and traits.wanted_worker_id != worker.worker_id:
        return False
    if traits.slots > worker.slots or not set(traits.labels) <= set(worker.labels):
        return False
    if traits.kind is TaskKind.COMMAND:
        return worker.kinds.commands
    if traits.kind is TaskKind.HANDLER:
        return traits.target in worker.kinds.handlers
    return worker.kinds.external and worker.pool == traits.target


def takes(worker: Worker, task: Task) -> bool:
    """It has room for this task now. Only light tasks without locks are sent ahead of their slot."""
    if len(worker.attempts) >= worker.credit:
        return False
    if worker.slots_taken + task.traits.slots <= worker.slots:
        return True
    return not task.files and task.traits.slots == 1


class _Pass:
    def __init__(self, core: State, workers: list[Worker], now: Time) -> None:
        self.core = core
        self.workers = workers
        self.now = now
        self.blocked: set[tuple[str, Traits]] = set()
        """Lanes that no worker has room for; room only shrinks during a pass."""
        self.candidates: dict[tuple[str, Traits], list[tuple[bool, float, int, Worker]]] = {}

    def run(self) -> None:
        """Takes one task at a time from the session whose turn it is."""
        turns: list[Turn] = []
        for session_id in list(self.core.queue.lanes):
            self._queue_turn(turns, session_id)
        while turns:
            _, _, _, session_id, traits = heapq.heappop(turns)
            self._serve(session_id, traits)
            self._queue_turn(turns, session_id)

    def _queue_turn(self, turns: list[Turn], session_id: str) -> None:
        session = self.core.sessions[session_id]
        traits = self._best_lane(session)
        if traits is not None:
            heapq.heappush(turns, (-traits.priority, held(session), session.order, session_id, traits))

    def _best_lane(self, session: Session) -> Traits | None:
        """The traits of the task that is next in this session, or None if none can be placed."""
        if session.status is not SessionStatus.RUNNING or session.ending_as is not None:
            return None
        if session.max_parallel and held(session) >= session.max_parallel:
            return None
        best: tuple[int, int] | None = None
        chosen: Traits | None = None
        lanes = self.core.queue.lanes.get(session.session_id, {})
        for traits, lane in list(lanes.items()):
            _trim(self.core, lane)
            if not lane:
                del lanes[traits]
            elif (session.session_id, traits) not in self.blocked:
                rank = (-traits.priority, lane[0][0])
                if best is None or rank < best:
                    best, chosen = rank, traits
        if not lanes:
            self.core.queue.lanes.pop(session.session_id, None)
        return chosen

    def _serve(self, session_id: str, traits: Traits) -> None:
        """Places the next task of the session, parks it, or finds its lane blocked."""
        lane = self.core.queue.lanes[session_id].get(traits)
        if not lane or lane[0][2].status is not TaskStatus.QUEUED:
            return
        task = lane[0][2]
        worker = self._choose(session_id, task)
        if worker is None:
            self._pass_over(session_id, traits, lane)
            return
        heapq.heappop(lane)
        if task.files and not waiting.try_grant(self.core, task):
            return
        attempts.assign(self.core, task, worker, self.now)

    def _pass_over(self, session_id: str, traits: Traits, lane: Lane) -> None:
        """No worker for the lane in this pass; one without any suitable worker keeps no locks waiting."""
        self.blocked.add((session_id, traits))
        if not any(serves(one) and suits(one, session_id, traits) for one in self.core.workers.values()):
            for _, _, task in lane:
                waiting.leave(self.core, task)

    def _choose(self, session_id: str, task: Task) -> Worker | None:
        heap = self._candidates(session_id, task.traits)
        if task.avoid:
            fresh = [one for *_, one in heap if one.worker_id not in task.avoid and takes(one, task)]
            if fresh:
                return min(fresh, key=_load)
        while heap:
            worker = heap[0][3]
            load = _load(worker)
            if load != heap[0][:3]:
                heapq.heapreplace(heap, (*load, worker))
            elif takes(worker, task):
                return worker
            else:
                heapq.heappop(heap)
        return None

    def _candidates(self, session_id: str, traits: Traits) -> list[tuple[bool, float, int, Worker]]:
        found = self.candidates.get((session_id, traits))
        if found is None:
            found = [(*_load(w), w) for w in self.workers if suits(w, session_id, traits)]
            heapq.heapify(found)
            self.candidates[session_id, traits] = found
        return found


def _load(worker: Worker) -> tuple[bool, float, int]:
    """Least first: free slots before full ones, then the share of slots taken, then the order of arrival."""
    return worker.slots_taken >= worker.slots, worker.slots_taken / worker.slots, worker.order


def _trim(core: State, lane: Lane) -> None:
    """Drops entries at the head whose task may not be placed; whatever changes that enters it anew."""
    while lane and not _may_be_placed(core, lane[0][2]):
        heapq.heappop(lane)


def _may_be_placed(core: State, task: Task) -> bool:
    return (
        task.status is TaskStatus.QUEUED
        and task.not_before_us <= core.now.us
        and task.key not in core.queue.waiters.behind
    )
