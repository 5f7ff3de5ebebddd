"""What the kit itself asks the coordinator, with stubs and nothing else: tasks, workers, locks, the past.

No client of any language is between a scenario and the coordinator's record.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import grpc

from buildrunner_parallel.v1 import (
    coordinator_service_pb2 as coordinator,
)
from buildrunner_parallel.v1 import (
    coordinator_service_pb2_grpc,
    event_service_pb2_grpc,
    lock_service_pb2_grpc,
    log_service_pb2_grpc,
    session_service_pb2_grpc,
    task_service_pb2_grpc,
    worker_service_pb2_grpc,
)
from buildrunner_parallel.v1 import (
    event_service_pb2 as events,
)
from buildrunner_parallel.v1 import (
    lock_service_pb2 as locks,
)
from buildrunner_parallel.v1 import (
    log_service_pb2 as logs,
)
from buildrunner_parallel.v1 import (
    session_service_pb2 as sessions,
)
from buildrunner_parallel.v1 import (
    task_service_pb2 as tasks,
)
from buildrunner_parallel.v1 import (
    types_pb2 as types,
)
from buildrunner_parallel.v1 import (
    worker_service_pb2 as workers,
)

_CALL_S = 60.0
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", 64 << 20),
)


class Observer:
    """Asks the coordinator at `address`, and waits for it while it is away."""

    def __init__(self, address: str, token: str) -> None:
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._metadata = (("authorization", f"Bearer {token}"), ("br-client-id", uuid.uuid4().hex))

    def close(self) -> None:
        self._channel.close()

    def _ask(self, stub: type, method: str, request: Any) -> Any:
        return getattr(stub(self._channel), method)(
            request, metadata=self._metadata, timeout=_CALL_S, wait_for_ready=True
        )

    def info(self) -> coordinator.GetInfoResponse:
        return self._ask(
            coordinator_service_pb2_grpc.CoordinatorServiceStub, "GetInfo", coordinator.GetInfoRequest()
        )

    # ----------------------------------------------------------------- sessions

    def _session(self, method: str, request: Any) -> Any:
        return self._ask(session_service_pb2_grpc.SessionServiceStub, method, request)

    def create(self, name: str, **fields: Any) -> str:
        """The id of a new session."""
        request = sessions.CreateSessionRequest(request_id=uuid.uuid4().hex, name=name, **fields)
        return str(self._session("CreateSession", request).session.session_id)

    def begin(self, name: str, **fields: Any) -> str:
        """The id of a new session that runs."""
        session_id = self.create(name, **fields)
        self._session("StartSession", sessions.StartSessionRequest(session_id=session_id))
        return session_id

    def session(self, session_id: str) -> types.Session:
        return self._session("GetSession", sessions.GetSessionRequest(session_id=session_id)).session

    def all_sessions(self) -> list[types.Session]:
        return list(self._session("ListSessions", sessions.ListSessionsRequest(page_size=1000)).sessions)

    def pause(self, session_id: str, *, now: bool = False) -> None:
        self._session("PauseSession", sessions.PauseSessionRequest(session_id=session_id, now=now))

    def resume(self, session_id: str) -> None:
        self._session("ResumeSession", sessions.ResumeSessionRequest(session_id=session_id))

    def cancel_session(self, session_id: str) -> None:
        self._session("CancelSession", sessions.CancelSessionRequest(session_id=session_id))

    def seal(self, session_id: str) -> None:
        self._session("CloseSession", sessions.CloseSessionRequest(session_id=session_id))

    # -------------------------------------------------------------------- tasks

    def _task(self, method: str, request: Any) -> Any:
        return self._ask(task_service_pb2_grpc.TaskServiceStub, method, request)

    def submit(self, session_id: str, *specs: types.TaskSpec) -> None:
        self._task(
            "SubmitTasks",
            tasks.SubmitTasksRequest(request_id=uuid.uuid4().hex, session_id=session_id, tasks=specs),
        )

    def task(self, session_id: str, task_id: str) -> types.Task:
        return self._task("GetTask", tasks.GetTaskRequest(session_id=session_id, task_id=task_id)).task

    def all_tasks(self, session_id: str) -> list[types.TaskSummary]:
        request = tasks.ListTasksRequest(session_id=session_id, page_size=1000)
        return list(self._task("ListTasks", request).tasks)

    def cancel(self, session_id: str, task_id: str) -> None:
        self._task("CancelTask", tasks.CancelTaskRequest(session_id=session_id, task_id=task_id))

    def output(self, session_id: str, task_id: str) -> dict[str, bytes]:
        """`stdout`, `stderr`, and under `dropped` how many bytes are missing, as decimal digits."""
        request = logs.ReadOutputRequest(session_id=session_id, task_id=task_id)
        parts = {types.OUTPUT_CHANNEL_STDOUT: bytearray(), types.OUTPUT_CHANNEL_STDERR: bytearray()}
        dropped_bytes = 0
        for answer in self._ask(log_service_pb2_grpc.LogServiceStub, "ReadOutput", request):
            parts[answer.chunk.channel or types.OUTPUT_CHANNEL_STDOUT] += answer.chunk.data
            dropped_bytes += answer.chunk.dropped_bytes
        return {
            "stdout": bytes(parts[types.OUTPUT_CHANNEL_STDOUT]),
            "stderr": bytes(parts[types.OUTPUT_CHANNEL_STDERR]),
            "dropped": str(dropped_bytes).encode(),
        }

    # ------------------------------------------------------------------ workers

    def _worker(self, method: str, request: Any) -> Any:
        return self._ask(worker_service_pb2_grpc.WorkerServiceStub, method, request)

    def all_workers(self) -> list[types.Worker]:
        return list(self._worker("ListWorkers", workers.ListWorkersRequest()).workers)

    def drain(self, worker_id: str) -> None:
        self._worker("DrainWorker", workers.DrainWorkerRequest(worker_id=worker_id, reason="the kit asks"))

    # -------------------------------------------------------------------- locks

    def _lock(self, method: str, request: Any) -> Any:
        return self._ask(lock_service_pb2_grpc.LockServiceStub, method, request)

    def take(self, session_id: str, *paths: str, shared: bool = False) -> locks.AcquireLocksResponse:
        mode = types.LOCK_MODE_SHARED if shared else types.LOCK_MODE_EXCLUSIVE
        wanted = [types.PathRequest(path=path, mode=mode, kind=types.LOCK_KIND_AUTO) for path in paths]
        return self._lock("AcquireLocks", locks.AcquireLocksRequest(session_id=session_id, paths=wanted))

    def release(self, session_id: str) -> None:
        self._lock("ReleaseLocks", locks.ReleaseLocksRequest(session_id=session_id))

    def held(self) -> locks.ListLocksResponse:
        """What is held, and who waits."""
        return self._lock("ListLocks", locks.ListLocksRequest(page_size=1000))

    # -------------------------------------------------------------- what happened

    def history(self, session_id: str, task_id: str = "") -> list[events.HistoryEvent]:
        request = events.ListHistoryRequest(session_id=session_id, task_id=task_id, page_size=1000)
        return list(self._ask(event_service_pb2_grpc.EventServiceStub, "ListHistory", request).events)

    def kinds(self, session_id: str, task_id: str) -> list[str]:
        """What happened to a task, in one word each."""
        return [event.kind for event in self.history(session_id, task_id)]

    def feed(self, **fields: Any) -> Iterator[events.WatchResponse]:
        """A watch of its own; `.cancel()` ends it."""
        stub = event_service_pb2_grpc.EventServiceStub(self._channel)
        answers: Iterator[events.WatchResponse] = stub.Watch(
            events.WatchRequest(**fields), metadata=self._metadata, wait_for_ready=True
        )
        return answers
