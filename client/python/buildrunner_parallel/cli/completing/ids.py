"""Ids that the coordinator knows, with a word on each. Asks one that runs, for a moment; never starts one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc

from buildrunner_parallel.channel import call_metadata, channel_options
from buildrunner_parallel.discovery import Target, locate
from buildrunner_parallel.v1 import types_pb2
from buildrunner_parallel.workspace import find_workspace

Candidate = tuple[str, str]
"""A value, and what it is."""

PATIENCE_S = 0.4
"""For all questions of one completion together: whoever presses Tab waits meanwhile."""
MOST = 500


class Coordinator:
    """The one that the words typed so far lead to. Every question may raise grpc.RpcError."""

    def __init__(self, target: Target) -> None:
        # Asked once: who does not answer at once is not asked again.
        options = {**dict(channel_options(target.address)), "grpc.enable_retries": 0}
        self._channel = grpc.insecure_channel(target.address, options=list(options.items()))
        self._metadata = call_metadata(target.token, None)
        self._deadline_s = time.monotonic() + PATIENCE_S

    def sessions(self, states: tuple[str, ...]) -> Iterator[Candidate]:
        """The newest ones, `last` first; of `states` only, if there are any."""
        from buildrunner_parallel.v1 import session_service_pb2 as wire
        from buildrunner_parallel.v1.session_service_pb2_grpc import SessionServiceStub

        answer = self._ask(SessionServiceStub, "ListSessions", wire.ListSessionsRequest(page_size=100))
        fitting = [(place, one) for place, one in enumerate(answer.sessions) if _fits(one, states)]
        for place, one in fitting:
            if place == 0:
                yield "last", f"the newest: {_session(one)}"
        for _, one in fitting:
            yield one.session_id, _session(one)

    def tasks(self, session: str, states: tuple[str, ...], beginning: str) -> Iterator[Candidate]:
        """Those of a session whose ids begin so, looked for as long as there is time."""
        from buildrunner_parallel.v1 import task_service_pb2 as wire
        from buildrunner_parallel.v1.task_service_pb2_grpc import TaskServiceStub

        statuses = [types_pb2.TaskStatus.Value(f"TASK_STATUS_{state.upper()}") for state in states]
        token = ""
        while True:
            request = wire.ListTasksRequest(
                session_id=session, statuses=statuses, page_size=1000, page_token=token
            )
            answer = self._ask(TaskServiceStub, "ListTasks", request)
            for one in answer.tasks:
                if one.task_id.startswith(beginning):
                    yield one.task_id, f"{_word(types_pb2.TaskStatus, one.status)}: {one.title}"
            token = answer.next_page_token
            if not token:
                return

    def workers(self) -> Iterator[Candidate]:
        """All of them."""
        from buildrunner_parallel.v1 import worker_service_pb2 as wire
        from buildrunner_parallel.v1.worker_service_pb2_grpc import WorkerServiceStub

        for one in self._ask(WorkerServiceStub, "ListWorkers", wire.ListWorkersRequest()).workers:
            status = _word(types_pb2.WorkerStatus, one.status)
            yield one.worker_id, f"{status}, on {one.host}" if one.host else status

    def locks(self) -> Iterator[Candidate]:
        """The ids of what is held."""
        for lock in self._locks(""):
            yield lock.lock_id, f"{lock.path}, held by {_holder(lock)}"

    def grants(self, session: str) -> Iterator[Candidate]:
        """The grants of a session that were taken by hand or by a program, each once."""
        found: dict[str, list[str]] = {}
        for lock in self._locks(session):
            if lock.grant_id:
                found.setdefault(lock.grant_id, []).append(lock.path)
        for grant_id, paths in found.items():
            yield grant_id, ", ".join(paths)

    def held_paths(self, session: str) -> Iterator[Candidate]:
        """What a session holds itself, as it is written from here."""
        workspace = find_workspace()
        for lock in self._locks(session):
            if not lock.holder.task_id:
                here = lock.path.startswith("res:") or not workspace.directory
                path = lock.path if here else os.path.relpath(lock.path, workspace.directory)
                yield path, f"lock {lock.lock_id}"

    def _locks(self, session: str) -> list[Any]:
        from buildrunner_parallel.v1 import lock_service_pb2 as wire
        from buildrunner_parallel.v1.lock_service_pb2_grpc import LockServiceStub

        whole = self._session_id(session) if session else ""
        answer = self._ask(LockServiceStub, "ListLocks", wire.ListLocksRequest(session_id=whole))
        return list(answer.locks)

    def _session_id(self, session: str) -> str:
        from buildrunner_parallel.v1 import session_service_pb2 as wire
        from buildrunner_parallel.v1.session_service_pb2_grpc import SessionServiceStub

        request = wire.GetSessionRequest(session_id=session)
        return str(self._ask(SessionServiceStub, "GetSession", request).session.session_id)

    def _ask(self, stub: Callable[[Any], Any], method: str, request: Any) -> Any:
        left_s = max(0.0, self._deadline_s - time.monotonic())
        return getattr(stub(self._channel), method)(request, timeout=left_s, metadata=self._metadata)


def coordinator(address: str, token_file: str) -> Coordinator:
    """Raises what locate does: where nothing was started there is nobody to ask."""
    return Coordinator(locate(address or None, None, Path(token_file) if token_file else None))


def _word(enum: Any, number: int) -> str:
    """A status as people know it; empty for one of a later version."""
    name = enum.Name(number) if number in enum.values() else ""
    return name.partition("_STATUS_")[2].lower()


def _fits(session: Any, states: tuple[str, ...]) -> bool:
    return not states or _word(types_pb2.SessionStatus, session.status) in states


def _session(session: Any) -> str:
    return f"{session.name}, {_word(types_pb2.SessionStatus, session.status)}"


def _holder(lock: Any) -> str:
    holder = lock.holder
    session = holder.session_name or holder.session_id
    return f"{holder.task_id} of {session}" if holder.task_id else session
