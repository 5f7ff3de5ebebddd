"""What a task that could start lacks: a worker that suits it, a free slot, or its session's turn."""

from __future__ import annotations

from collections import Counter

from buildrunner_coordinator.domain import external, history
from buildrunner_coordinator.domain.arriving import not_come, on_the_way
from buildrunner_coordinator.domain.eligibility import is_ready, may_place, runs_kind, serves, suits, takes
from buildrunner_coordinator.domain.model import (
    Session,
    Task,
    TaskKind,
    TaskStatus,
    Traits,
    Worker,
    WorkerStatus,
)
from buildrunner_coordinator.domain.replies import Wait
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.waits import listed

_CLOSEST = 3
_LOOKED_AT = 50
"""Of a lane, to see whether something in it may be placed."""


class Lacking:
    """Answers for tasks of one session at one moment; those of equal traits share what can be shared."""

    def __init__(self, core: State, session: Session) -> None:
        self._core = core
        self._session = session
        self._able: dict[Traits, list[Worker]] = {}
        self._sentences: dict[tuple[str, Traits], Wait | None] = {}

    def waits(self, task: Task) -> list[Wait]:
        """Empty only when a worker takes it this very moment."""
        able = self._able_to(task.traits)
        if not able:
            return [self._no_worker(task.traits)]
        free = [one for one in able if takes(one, task)]
        kept = [one for one in free if self._core.queue.kept.get(one.worker_id, task.key) != task.key]
        if free and len(kept) < len(free):
            return [self._share(task.traits, able) or Wait("no_slot", "its turn comes at once")]
        found = [self._kept(kept)] if kept else [self._no_slot(task, able), self._share(task.traits, able)]
        return [one for one in found if one is not None]

    def suitable(self, task: Task) -> Wait | None:
        """That there is no worker for it at all, whatever else it waits for; None where there is one, or one
        may come within moments."""
        if self._able_to(task.traits):
            return None
        found = self._no_worker(task.traits)
        return found if found.names else None

    def _able_to(self, traits: Traits) -> list[Worker]:
        known = self._able.get(traits)
        if known is None:
            mine = self._session.session_id
            there = [one for one in self._core.workers.values() if one.connected and serves(one)]
            asked = external.bound(self._core, traits)
            known = self._able[traits] = [one for one in there if suits(one, mine, asked)]
        return known

    # ------------------------------------------------------------------ no worker

    def _no_worker(self, traits: Traits) -> Wait:
        known = self._sentences.get(("no_worker", traits))
        if known is None:
            known = self._sentences["no_worker", traits] = self._say_no_worker(traits)
        return known

    def _say_no_worker(self, traits: Traits) -> Wait:
        coming = on_the_way(self._core, self._session, traits)
        if coming:
            # Without names: nothing is missing that anybody would have to see to.
            return Wait("no_worker", coming)
        wanted = [f"label {one}" for one in traits.labels] + [f"{traits.kind} {traits.target}".strip()]
        if traits.wanted_worker_id:
            wanted.append(f"id {traits.wanted_worker_id}")
        if traits.slots > 1:
            wanted.append(f"{traits.slots} slots")
        message = f"no connected worker {_demands(traits)}"
        lacks = [(self._lacks(one, traits), one) for one in self._core.workers.values()]
        lacks.sort(key=lambda pair: (len(pair[0]), pair[1].status is WorkerStatus.OFFLINE, pair[1].order))
        closest: dict[str, list[str]] = {}
        for found, one in lacks[:_CLOSEST]:
            closest.setdefault(listed(found), []).append(one.worker_id)
        if lacks:
            message += f"; closest {'is' if len(lacks) == 1 else 'are'} {_each_with_its_lack(closest)}"
        else:
            message = f"there is no worker at all; it needs one that {_demands(traits)}"
        message += not_come(self._core, self._session)
        return Wait("no_worker", message, tuple(wanted))

    def _lacks(self, worker: Worker, traits: Traits) -> list[str]:
        found = []
        if worker.status in (WorkerStatus.OFFLINE, WorkerStatus.ERROR):
            found.append(f"is {worker.status}")
        elif worker.draining:
            found.append("is draining")
        elif not worker.connected:
            found.append("is not connected")
        if worker.session_id and worker.session_id != self._session.session_id:
            found.append(f"serves session {worker.session_id} only")
        if traits.wanted_worker_id not in ("", worker.worker_id):
            found.append("is another one")
        if not runs_kind(worker, traits):
            found.append(_refused_kind(traits))
        if traits.slots > worker.slots:
            found.append(f"has {history.counted(worker.slots, 'slot')}")
        missing = [one for one in traits.labels if one not in worker.labels]
        if missing:
            found.append(f"lacks label {listed(missing)}")
        return found

    # ------------------------------------------------------------------ no slot, not its turn

    def _no_slot(self, task: Task, able: list[Worker]) -> Wait:
        need, traits = task.traits.slots, task.traits
        claim = self._core.queue.claims.get(task.key)
        if need > 1:
            free, best = max((one.slots - one.slots_taken, one.worker_id) for one in able)
            are = "is" if free == 1 else "are"
            most = f"at most {free} {are} free, on {best}" if free > 0 else "none is free"
            message = f"it needs {need} slots of one worker at once, and {most}"
            if claim is not None and self._core.queue.kept.get(claim.worker_id) == task.key:
                message += f"; what comes free on {claim.worker_id} is kept for it"
            return Wait("no_slot", message)
        known = self._sentences.get(("no_slot", traits))
        if known is None:
            known = self._sentences["no_slot", traits] = Wait("no_slot", say_no_slot(self._core, able))
        return known

    def _kept(self, kept: list[Worker]) -> Wait:
        session_id, task_id = self._core.queue.kept[kept[0].worker_id]
        name = self._core.sessions[session_id].name
        room = f"what is free on worker {kept[0].worker_id}"
        message = f"{room} is kept for {name}/{task_id}, which needs several slots at once"
        return Wait("share", message, (session_id,))

    def _share(self, traits: Traits, able: list[Worker]) -> Wait | None:
        key = ("share", traits)
        if key not in self._sentences:
            self._sentences[key] = self._say_share(traits, able)
        return self._sentences[key]

    def _say_share(self, traits: Traits, able: list[Worker]) -> Wait | None:
        """Sessions that come first when a slot is free: by priority, or since they have fewer."""
        mine = self._session
        first = []
        for session in self._core.sessions.values():
            if session is mine or not may_place(session):
                continue
            priority = self._best_priority(session, able)
            if priority is None or priority < traits.priority:
                continue
            if priority > traits.priority:
                first.append((session, f"{session.name} (which has priority {priority})"))
            elif (session.slots_taken, session.order) < (mine.slots_taken, mine.order):
                less = f"has {session.slots_taken} of the slots, and {mine.name} {mine.slots_taken}"
                first.append((session, f"{session.name} (which {less})"))
        if not first:
            return None
        message = f"the next free slot goes to {listed([text for _, text in first], 'or')}"
        return Wait("share", message, tuple(session.session_id for session, _ in first))

    def _best_priority(self, session: Session, able: list[Worker]) -> int | None:
        """Of the tasks of that session which could go to one of these workers; None without such."""
        best: int | None = None
        for traits, lane in self._core.queue.lanes.get(session.session_id, {}).items():
            if best is not None and traits.priority <= best:
                continue
            is_suited = any(suits(worker, session.session_id, traits) for worker in able)
            if is_suited and any(is_ready(self._core, task) for *_, task in lane[:_LOOKED_AT]):
                best = traits.priority
        return best


def _each_with_its_lack(closest: dict[str, list[str]]) -> str:
    """Such as `a1 and b2 (each is draining) and c3 (lacks label gpu)`."""
    told = [f"{listed(ids)} ({'each ' if len(ids) > 1 else ''}{lack})" for lack, ids in closest.items()]
    return listed(told)


def _demands(traits: Traits) -> str:
    """What a worker must be, such as `runs commands and has label gpu and 2 slots`."""
    found = [f"is {traits.wanted_worker_id}"] if traits.wanted_worker_id else []
    found.append(_kind_verb(traits))
    has = [f"label {one}" for one in traits.labels]
    if traits.slots > 1:
        has.append(f"{traits.slots} slots")
    if has:
        found.append(f"has {listed(has)}")
    return listed(found)


def _kind_verb(traits: Traits) -> str:
    if traits.kind is TaskKind.COMMAND:
        return "runs commands"
    if traits.kind is TaskKind.HANDLER:
        return f"runs handler {traits.target}"
    return f"takes external tasks of pool {traits.target}" if traits.target else "takes external tasks"


def _refused_kind(traits: Traits) -> str:
    verb, what = _kind_verb(traits).split(" ", 1)
    return f"{verb} no {what}"


def say_no_slot(core: State, able: list[Worker]) -> str:
    """Who has the slots, such as `all 3 slots that could run it are busy: app has 2 and docs 1`."""
    busy: Counter[str] = Counter()
    ahead = 0
    for worker in able:
        there = [core.attempts[attempt_id] for attempt_id in worker.attempts]
        room = worker.slots
        for task in sorted(there, key=lambda one: one.attempt is None or not one.attempt.started):
            if room > 0:
                busy[task.session_id] += min(room, task.traits.slots)
            else:
                ahead += 1
            room -= task.traits.slots
    slots = sum(one.slots for one in able)
    names = [(core.sessions[one].name, count) for one, count in busy.most_common()]
    if busy.total() < slots:
        said = "no worker that could run it takes another task for now"
    elif slots == 1:
        said = f"the only slot that could run it is busy with a task of {names[0][0]}"
    else:
        where = f" (on {len(able)} workers)" if len(able) > 1 else ""
        have = [f"{name} {count}" if at else f"{name} has {count}" for at, (name, count) in enumerate(names)]
        said = f"all {slots} slots that could run it{where} are busy: {listed(have)}"
    if ahead:
        said += (
            f"; {history.counted(ahead, 'task')} sent there before it {'is' if ahead == 1 else 'are'} next"
        )
    return said


def count_before(core: State, task: Task) -> int:
    """Tasks of its own session that are queued and go before it."""
    rank = _rank(task)
    mine = core.tasks[task.session_id].values()
    return sum(one.status is TaskStatus.QUEUED and _rank(one) < rank for one in mine)


def _rank(task: Task) -> tuple[int, int, int]:
    return -task.traits.priority, -task.chain, task.index
