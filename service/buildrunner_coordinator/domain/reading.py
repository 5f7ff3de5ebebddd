"""Questions that change nothing: locks, totals, everything a watcher begins with."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from buildrunner_coordinator.domain import (
    codec,
    conflicts,
    explaining,
    finding,
    grants,
    views,
    waiting,
    waits,
)
from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.locks import HELD
from buildrunner_coordinator.domain.model import (
    PathRequest,
    SessionStatus,
    TaskStatus,
    Time,
    WorkerStatus,
)
from buildrunner_coordinator.domain.paths import overlaps, parse_request
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import (
    Everything,
    Holder,
    LockPage,
    LockView,
    Summary,
    TaskView,
    Wait,
    WaiterView,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildrunner_coordinator.domain.state import State

_SHOWN_CONFLICTS = 8
"""Of each waiter in a list."""


def list_locks(core: State, command: c.ListLocks, now: Time) -> Callable[[], LockPage]:
    asked = parse_request(command.path) if command.path else None
    session_id = finding.find(core, command.session_id).session_id if command.session_id else ""

    def wanted(one_session: str, request: PathRequest) -> bool:
        if session_id not in ("", one_session):
            return False
        return asked is None or bool(overlaps(request, asked, core.folds_case))

    def page() -> LockPage:
        locks = [one for one in all_locks(core) if wanted(one.holder.session_id, _request(one))]
        waiters = [
            one
            for one in _waiters(core, core.now)
            if any(wanted(one.holder.session_id, file) for file in one.files)
        ]
        return LockPage(locks, waiters)

    return page


def all_locks(core: State) -> list[LockView]:
    """Every held path: of live attempts, and of lapsed ones until the lock delay is over."""
    found: list[LockView] = []
    for task in core.attempts.values():
        if task.files and task.attempt is not None:
            found.extend(waiting.lock_views(core, task, task.attempt))
    for lapse in core.lapses.values():
        session = core.sessions.get(lapse.session_id)
        holder = Holder(lapse.session_id, session.name if session else "", lapse.task_id, lapse.attempt_id,
                        lapse.worker_id, lapse.host)  # fmt: skip
        found.extend(
            LockView(f"{lapse.attempt_id}-{i}", one.path, one.mode, one.kind, holder, lapse.fence,
                     lapse.acquired_at_us, lapse.until_us)
            for i, one in enumerate(lapse.files)
        )  # fmt: skip
    for grant in core.grants.values():
        if not grant.suspended:
            found.extend(grants.views(core, grant))
    return found


def read_summary(core: State, command: c.ReadSummary, now: Time) -> Callable[[], Summary]:
    def summary() -> Summary:
        by_session = dict.fromkeys((one.value for one in SessionStatus), 0)
        tasks = dict.fromkeys((one.value for one in TaskStatus), 0)
        for session in core.sessions.values():
            by_session[session.status.value] += 1
            for status, count in session.counts.items():
                tasks[status.value] += count
        by_worker = dict.fromkeys((one.value for one in WorkerStatus), 0)
        for worker in core.workers.values():
            by_worker[worker.status.value] += 1
        waiters = len(core.queue.waiters.waiting) + len(core.requesters)
        return Summary(by_session, by_worker, tasks, sum(1 for _ in all_locks(core)), waiters)

    return summary


def find_answer(core: State, command: c.FindAnswer, now: Time) -> bytes:
    return core.requests.lookup(command.client_id, command.request_id, command.digest) or b""


def read_all(core: State, command: c.ReadAll, now: Time) -> Callable[[], Everything]:
    session_ids = [finding.find(core, one).session_id for one in command.session_ids]

    def everything() -> Everything:
        tasks = [views.task_view(core, t) for one in session_ids for t in core.tasks.get(one, {}).values()]
        return Everything(
            [codec.session_row(one) for one in core.sessions.values()],
            tasks,
            [views.worker_view(one) for one in core.workers.values()],
            [codec.pool_row(one) for one in core.pools.values()],
            all_locks(core),
            [codec.lapse_row(one) for one in core.lapses.values()],
        )

    return everything


def explain_tasks(
    core: State, command: c.ExplainTasks, now: Time
) -> Callable[[], list[tuple[TaskView, list[Wait]]]]:
    session = finding.find(core, command.session_id)
    mine = core.tasks.get(session.session_id, {})
    if (
        command.task_id
        and command.task_id not in mine
        and command.task_id not in core.ended.get(session.session_id, {})
    ):
        raise Refusal(Reason.TASK_NOT_FOUND, f"There is no unfinished task {command.task_id!r} in session "
                                             f"{session.session_id}.", id=command.task_id)  # fmt: skip

    def explained() -> list[tuple[TaskView, list[Wait]]]:
        explainer = explaining.Explainer(core, session)
        if command.task_id:
            task = mine.get(command.task_id)
            return [(views.task_view(core, task), explainer.explain_fully(task))] if task is not None else []
        chosen = [task for task in mine.values() if task.index > command.after]
        # In order already, but for tasks that were revived.
        chosen.sort(key=attrgetter("index"))
        return [(views.task_view(core, one), explainer.explain(one)) for one in chosen[: command.limit]]

    return explained


def _request(lock: LockView) -> PathRequest:
    return PathRequest(lock.path, lock.mode, lock.kind)


def _waiters(core: State, now: Time) -> list[WaiterView]:
    found = []
    waiting_now = [(ticket, owner, files) for owner, ticket, files in core.locks.owners() if ticket != HELD]
    for position, (ticket, owner, files) in enumerate(sorted(waiting_now), 1):
        holder = waits.holder_of(core, owner)
        party = core.locks.party(owner)
        if holder is not None and party is not None:
            in_its_way = conflicts.of(core, files, party, ticket, limit=_SHOWN_CONFLICTS)
            waited_us = max(0, now.us - waits.since_us(core, owner))
            found.append(WaiterView(holder, files, waited_us, position, tuple(in_its_way)))
    return found
