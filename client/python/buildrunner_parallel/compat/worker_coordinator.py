"""A pool of external workers and the tasks for them, kept by a coordinator: nothing of them is kept here.

What is remembered are hints: which attempt of a task was last seen with a worker, so that the end of an
older one is never taken for that of a newer; where tasks were put, so that they are found again.
"""

from __future__ import annotations

import itertools
import os
import socket
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import NotFoundError, RefusedError
from ..records import SessionStatus as RecordStatus
from ..records import TaskStatus
from . import leaving
from .errors import id_text, value_errors
from .home import OWN_SESSION, Home, home_of
from .statuses import WorkerStatus
from .tasks import (
    data_of,
    given_id,
    given_session_of,
    id_of_run,
    is_given_id,
    is_to_run,
    number_of_run,
    task_spec,
)
from .worker import CURRENT_TASK, Worker, current_task_of

if TYPE_CHECKING:
    from ..records import Session as SessionRecord
    from ..records import TaskSummary
    from ..records import Worker as WorkerRecord
    from .session_manager import SessionManager

_WAITING = ("blocked", "queued")
_IN_HANDS = frozenset({TaskStatus.ASSIGNED, TaskStatus.RUNNING})
_HINTS = 10_000
_SMALL_STEPS = 8

_Seen = dict[tuple[str, str], tuple[str, int]]


class WorkerCoordinator:
    """Hands tasks to workers in order of their registration, and further ones as they finish.

    The workers are programs of the user's own, registered here, and those of this object alone; they are
    known to the coordinator of `session_manager`, or without one to the workspace's. Tasks whose data has
    `argv`, `run` or `handler` go to worker processes that run them: up to `max_workers` are started for their
    session.

    Methods raise ValueError for what is refused, UnreachableError when no coordinator can be had.
    """

    HEARTBEAT_TIMEOUT: float = 30
    """Seconds after its last heartbeat at which a worker is OFFLINE and its task goes back to the queue."""

    def __init__(self, session_manager: SessionManager | None = None, max_workers: int = 3) -> None:
        self.session_manager = session_manager
        self.max_workers = max_workers
        self._home: Home = session_manager._home if session_manager is not None else home_of(None)
        self._pool = f"compat-{uuid.uuid4().hex[:12]}"
        self._workers: dict[str, Worker] = {}
        self._mine = leaving.belongings(self._home)
        self._seen: _Seen = {}
        self._places: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name == "HEARTBEAT_TIMEOUT" and "_home" in self.__dict__:
            for record in self._records():
                self._home.client.update_worker(record.worker_id, lease_s=self._lease_s())
            self._home.changed()

    def _lease_s(self) -> float:
        return max(0.001, float(self.HEARTBEAT_TIMEOUT))

    # ----------------------------------------------------------------- workers

    @property
    def workers(self) -> Mapping[str, Worker]:
        """Those of this object by id, as they are at each look, in order of registration."""
        return {one.worker_id: one for one in self.list_workers()}

    def register_worker(self, metadata: Mapping[str, Any] | None = None) -> Worker:
        """A new worker, IDLE; it may have its first task at once. It lives by heartbeats."""
        with value_errors():
            worker_id = self._home.client.register_external_worker(
                self._pool, metadata=metadata, lease_s=self._lease_s()
            )
        self._home.changed()
        self._mine.workers.add(worker_id)
        return self._worker(worker_id)

    def unregister_worker(self, worker_id: str) -> None:
        """It leaves, and its task goes back to the queue. Nothing happens for an unknown one."""
        if self._is_mine(worker_id):
            self._home.client.unregister_worker(worker_id, reason="its program unregistered it")
            self._home.changed()
        self._mine.workers.discard(worker_id)
        self._workers.pop(worker_id, None)

    def get_worker(self, worker_id: str) -> Worker | None:
        before = self._home.changes
        record = self._find(worker_id)
        return None if record is None else self._shown(record, before)

    def list_workers(self, status: WorkerStatus | str | None = None) -> list[Worker]:
        """In order of registration; those of one status, or all."""
        before = self._home.changes
        words = () if status is None else (WorkerStatus(status).value,)
        return [self._shown(one, before) for one in self._records(words)]

    def get_all_workers(self) -> list[Worker]:
        return self.list_workers()

    def heartbeat(self, worker_id: str) -> None:
        """It lives. Brings an OFFLINE one back. Nothing happens for an unknown one."""
        if self._is_mine(worker_id):
            try:
                self._home.client.heartbeat_worker(worker_id)
            except NotFoundError:
                return
            self._home.changed()

    def check_worker_health(self) -> None:
        """Whoever was silent for longer than HEARTBEAT_TIMEOUT is OFFLINE behind this. The coordinator sees
        to it by itself, too."""
        lease_ms = round(self._lease_s() * 1000)
        for record in self._records():
            if record.lease_ms != lease_ms:
                self._home.client.update_worker(record.worker_id, lease_s=self._lease_s())
        self._home.changed()

    def scale_workers(self, n: int) -> None:
        """Registers workers until there are `n`, but no more than max_workers; or lets idle ones go until no
        more than `n` are left. Those that are OFFLINE do not count."""
        there = [one for one in self._records() if one.status.value != "offline"]
        for _ in range(min(n, self.max_workers) - len(there)):
            self.register_worker()
        idle = [one for one in there if one.status.value == "idle" and not one.tasks]
        for record in idle[: max(0, len(there) - max(n, 0))]:
            self.unregister_worker(record.worker_id)

    def _worker(self, worker_id: str) -> Worker:
        return self._workers.setdefault(worker_id, Worker(self, worker_id))

    def _shown(self, record: WorkerRecord, changes: int) -> Worker:
        worker = self._worker(record.worker_id)
        worker._take(record, changes)
        return worker

    def _records(self, statuses: tuple[str, ...] = ()) -> list[WorkerRecord]:
        return self._home.client.list_workers(statuses=statuses, pool=self._pool)

    def _find(self, worker_id: object) -> WorkerRecord | None:
        """One of this object's."""
        if not isinstance(worker_id, str):
            return None
        try:
            record = self._home.client.get_worker(worker_id)
        except NotFoundError:
            return None
        return record if record.pool == self._pool and record.worker_id == worker_id else None

    def _is_mine(self, worker_id: str) -> bool:
        return (
            worker_id in self._mine.workers or worker_id in self._workers or self._find(worker_id) is not None
        )

    def _look(self, record: WorkerRecord) -> None:
        """What a worker has is known from now on by this attempt."""
        for ref in record.tasks:
            self._seen[record.worker_id, given_id(ref.task_id)] = (ref.attempt_id, ref.fence)
            self._place(given_id(ref.task_id), ref.session_id, ref.task_id)

    # ----------------------------------------------------------------- tasks

    def assign_task(
        self, task_id: str, task_data: Any, session_id: str | None = None, worker_id: str | None = None
    ) -> str | None:
        """The id of the worker that has it now, or None: then it is queued.

        The first idle worker gets it; with `worker_id` only that one, for as long as it is there. The first
        task of a CREATED session starts it. Raises ValueError for data that is not JSON, an id that is no
        text, and a session that has ended.
        """
        if not is_given_id(task_id):
            raise ValueError(f"a task's id must be a text, found {task_id!r}")
        session_id = None if session_id is None else id_text(session_id)
        to_run = is_to_run(task_data)
        bound = self._bound_to(worker_id, to_run)
        with value_errors(session_id):
            summary, session = self._submit(task_id, task_data, session_id, bound)
            self._home.changed()
            if to_run:
                self._want_workers(session)
            if session.status is RecordStatus.CREATED:
                self._home.client.start_session(session.session_id)
                summary = self._home.client.get_task(session.session_id, summary.task_id).summary
        if summary.status not in _IN_HANDS:
            return None
        if not to_run:
            self._seen[summary.worker_id, task_id] = (summary.attempt_id, summary.fence)
        return summary.worker_id

    def get_task(self, task_id: str) -> Any:
        """What was assigned under this id, last; None for an unknown one."""
        place = self._places.get(task_id) or self._place_in_pool(task_id)
        if place is None:
            return None
        try:
            return data_of(self._home.client.get_task(*place).spec)
        except NotFoundError:
            return None

    def complete_task(self, worker_id: str, task_id: str, success: bool = True) -> None:
        """The worker is done with it: it counts, and the worker gets the next one. What was taken from it
        since it was last looked at does not count for it; what it was never given counts all the same.
        Nothing happens for an unknown worker."""
        seen = self._seen.pop((worker_id, task_id), None)
        if seen is None:
            record = self._find(worker_id)
            if record is None:
                return
            self._look(record)
            seen = self._seen.pop((worker_id, task_id), None)
            if seen is None:
                self._count_by_itself(record, task_id, success)
                return
        try:
            self._home.client.report_attempt(worker_id, *seen, succeeded=success)
        except NotFoundError:
            return
        finally:
            self._home.changed()

    def _count_by_itself(self, record: WorkerRecord, task_id: str, success: bool) -> None:
        """Nobody gave it this task. If it says that it does just this, it is free again."""
        changes: dict[str, Any] = {"add_succeeded": int(success), "add_failed": int(not success)}
        if current_task_of(record) in (task_id, None) and not record.tasks:
            changes["status"] = "idle" if record.status.value == "busy" else ""
            changes["metadata"] = {name: one for name, one in record.metadata.items() if name != CURRENT_TASK}
        self._home.client.update_worker(record.worker_id, **changes)
        self._home.changed()

    @property
    def task_queue(self) -> list[dict[str, Any]]:
        """What waits for a worker of this object, in order."""
        found = self._home.client.list_pool_tasks(self._pool, statuses=_WAITING)
        return [
            {
                "task_id": given_id(one.summary.task_id),
                "task_data": data_of(one.spec),
                "session_id": given_session_of(one.spec) or self._shown_session(one.summary.session_id),
            }
            for one in found
        ]

    def _queued_ids(self, limit: int) -> list[str]:
        found = self._home.client.list_pool_tasks(self._pool, statuses=_WAITING, limit=limit)
        return [given_id(one.summary.task_id) for one in found]

    @property
    def task_assignments(self) -> dict[str, str]:
        """Which worker has which task now."""
        return {given_id(ref.task_id): one.worker_id for one in self._records() for ref in one.tasks}

    def _submit(
        self, task_id: str, data: Any, session_id: str | None, bound: str
    ) -> tuple[TaskSummary, SessionRecord]:
        if session_id is not None:
            try:
                return self._put(task_id, data, session_id, None, bound)
            except NotFoundError:
                pass  # an unknown session is no reason not to do the work
        return self._put(task_id, data, self._own_session(), session_id, bound)

    def _put(
        self, task_id: str, data: Any, session_id: str, given_session: str | None, bound: str
    ) -> tuple[TaskSummary, SessionRecord]:
        for run in self._runs(task_id, session_id):
            name = id_of_run(task_id, run)
            spec = task_spec(name, data, self._pool, given_session=given_session, worker_id=bound)
            try:
                summary, session = self._home.client.submit_task(session_id, spec)
            except RefusedError as error:
                if error.reason != "TASK_EXISTS":
                    raise
                continue
            self._place(task_id, session.session_id, name)
            return summary, session
        raise AssertionError("there is always another number")

    def _runs(self, task_id: str, session_id: str) -> Iterator[int]:
        """Numbers to try, the likely one first. Where many are taken the steps grow, and some stay unused."""
        last_session, name = self._places.get(task_id, ("", ""))
        run = number_of_run(name) + 1 if last_session == session_id else 1
        for tried in itertools.count():
            yield run
            run += 1 if tried < _SMALL_STEPS else tried

    def _bound_to(self, worker_id: str | None, to_run: bool) -> str:
        """The worker that is asked for, if there is one and it could have such a task."""
        if not worker_id:
            return ""
        if not to_run:
            return worker_id if self._is_mine(worker_id) else ""
        try:
            found = self._home.client.get_worker(worker_id)
        except NotFoundError:
            return ""
        return found.worker_id if found.kinds.commands or found.kinds.handlers else ""

    def _want_workers(self, session: SessionRecord) -> None:
        """Somebody is to run its tasks: workers of its own, unless there are some for all."""
        client = self._home.client
        if session.wanted_workers or any(not one.session_id and one.wanted for one in client.list_pools()):
            return
        client.set_pool(max(1, self.max_workers), session_id=session.session_id)

    def _own_session(self) -> str:
        """Where tasks are that were assigned without a session."""
        if not self._mine.own_session_id:
            client = self._home.client
            leaving.remove_left_over(client)
            who = {"pool": self._pool, "host": socket.gethostname(), "pid": os.getpid()}
            made = client.create_session(
                "Tasks without a session", driver="owner", metadata={OWN_SESSION: who}
            )
            client.start_session(made.session_id)
            self._mine.own_session_id = made.session_id
        return self._mine.own_session_id

    def _shown_session(self, session_id: str) -> str | None:
        return None if session_id == self._mine.own_session_id else session_id

    def _place(self, task_id: str, session_id: str, name: str) -> None:
        self._places[task_id] = (session_id, name)
        self._places.move_to_end(task_id)
        if len(self._places) > _HINTS:
            self._places.popitem(last=False)

    def _place_in_pool(self, task_id: str) -> tuple[str, str] | None:
        found = [
            one.summary
            for one in self._home.client.list_pool_tasks(self._pool)
            if given_id(one.summary.task_id) == task_id
        ]
        return (found[-1].session_id, found[-1].task_id) if found else None

    # ----------------------------------------------------------------- statistics

    def get_load_distribution(self) -> dict[str, Any]:
        """How many workers there are in which state, and what they have done; utilization is the percentage
        that is busy."""
        records = self._records()
        words = [one.status.value for one in records]
        busy = words.count("busy")
        return {
            "total_workers": len(records),
            "idle_workers": words.count("idle"),
            "busy_workers": busy,
            "offline_workers": words.count("offline"),
            "queued_tasks": self._home.client.count_pool_tasks(self._pool, statuses=_WAITING),
            "total_completed": sum(one.tasks_succeeded for one in records),
            "total_failed": sum(one.tasks_failed for one in records),
            "utilization": 100.0 * busy / len(records) if records else 0.0,
        }

    def get_statistics(self) -> dict[str, Any]:
        return {
            "distribution": self.get_load_distribution(),
            "workers": [
                {
                    "worker_id": one.worker_id,
                    "status": one.status.value,
                    "tasks_completed": one.tasks_succeeded,
                    "tasks_failed": one.tasks_failed,
                    "current_task": current_task_of(one),
                }
                for one in self._records()
            ],
        }

    def get_stats(self) -> dict[str, Any]:
        return self.get_statistics()
