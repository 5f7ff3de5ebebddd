"""A coordinator made of a few lists, without gRPC: every task ends as the test says, at once or when told.

It keeps no more of ended tasks than `KEPT` attempts, so that a test can measure the memory of who uses it.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import grpc.aio

from buildrunner_parallel.aio import AsyncClient
from buildrunner_parallel.aio_connection import AsyncConnection, AsyncStubs
from buildrunner_parallel.client import Client
from buildrunner_parallel.connection import Connection, Stubs
from buildrunner_parallel.discovery import Target
from buildrunner_parallel.v1 import event_service_pb2 as events
from buildrunner_parallel.v1 import session_service_pb2 as sessions
from buildrunner_parallel.v1 import task_service_pb2 as tasks
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1 import worker_service_pb2 as workers

KEPT = 5000
SESSION_ID = "a3f2e1d9"
SUCCEEDED, FAILED = types.TASK_STATUS_SUCCEEDED, types.TASK_STATUS_FAILED
CANCELLED = types.TASK_STATUS_CANCELLED
BREAK = "the stream breaks"


class Gone(grpc.RpcError):
    """The coordinator went away."""

    def __init__(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "scripted"

    def trailing_metadata(self) -> tuple[Any, ...]:
        return ()


def echo(spec: Any) -> tuple[Any, bytes]:
    """The end of a task: it succeeds, and its result is its payload."""
    return SUCCEEDED, spec.handler.payload.data


class Instant:
    """`end(spec)` gives status and result of a task, or None: then it goes on until `finish`."""

    def __init__(self, end: Callable[[Any], tuple[Any, bytes] | None] = echo) -> None:
        self.end = end
        self.calls: list[str] = []
        self.requests: dict[str, list[Any]] = {}
        self.submitted = 0
        self.refuse: dict[str, list[grpc.RpcError]] = {}
        self.status = types.SESSION_STATUS_CREATED
        self.live: dict[str, Any] = {}
        self.over: dict[str, Any] = {}
        self.attempts: deque[tuple[int, Any]] = deque(maxlen=KEPT)
        self.remember = True
        self._revision = 1
        self._sealed = False
        self._feeds: list[queue.SimpleQueue[Any]] = []
        self._lock = threading.RLock()

    # ------------------------------------------------------------------------- calls

    def call(self, method: str, request: Any) -> Any:
        with self._lock:
            if self.refuse.get(method):
                raise self.refuse[method].pop(0)
            self.calls.append(method)
            if self.remember:
                self.requests.setdefault(method, []).append(request)
            return getattr(self, f"_{method}")(request)

    def _session(self) -> Any:
        return types.Session(session_id=SESSION_ID, status=self.status, open=not self._sealed)

    def _CreateSession(self, _request: Any) -> Any:
        return sessions.CreateSessionResponse(session=self._session())

    def _GetSession(self, _request: Any) -> Any:
        return sessions.GetSessionResponse(session=self._session())

    def _StartSession(self, _request: Any) -> Any:
        self.status = types.SESSION_STATUS_RUNNING
        return sessions.StartSessionResponse(session=self._session())

    def _SetPool(self, request: Any) -> Any:
        return workers.SetPoolResponse(pool=request.pool)

    def _CloseSession(self, _request: Any) -> Any:
        self._sealed = True
        self._settle()
        return sessions.CloseSessionResponse(session=self._session())

    def _CancelSession(self, request: Any) -> Any:
        for task_id in list(self.live):
            self.finish(task_id, CANCELLED, error=request.reason)
        self.status = types.SESSION_STATUS_CANCELLED
        self.tell(events.Change(session=self._session()))
        return sessions.CancelSessionResponse(session=self._session())

    def _SubmitTasks(self, request: Any) -> Any:
        self.submitted += len(request.tasks)
        changes = []
        for spec in request.tasks:
            self.live[spec.task_id] = spec
            end = self.end(spec)
            if end is not None:
                changes.append(self._end(spec.task_id, *end))
        self.tell(*changes)
        return tasks.SubmitTasksResponse()

    def _CancelTask(self, request: Any) -> Any:
        if request.task_id in self.live:
            self.finish(request.task_id, CANCELLED, error=request.reason)
        return tasks.CancelTaskResponse()

    def _GetTask(self, request: Any) -> Any:
        summary = self.over.get(request.task_id) or self._summary(request.task_id, types.TASK_STATUS_RUNNING)
        ended = [one.attempt for _, one in self.attempts if one.task_id == request.task_id]
        return tasks.GetTaskResponse(task=types.Task(summary=summary, attempts=ended))

    def _ListTasks(self, _request: Any) -> Any:
        return tasks.ListTasksResponse(tasks=self.over.values())

    def _ListAttempts(self, request: Any) -> Any:
        found = []
        for revision, attempt in reversed(self.attempts):
            if revision <= request.since_revision:
                break
            found.append(attempt)
        return tasks.ListAttemptsResponse(attempts=reversed(found))

    # ------------------------------------------------------------------------- ends

    def finish(self, task_id: str, status: Any = SUCCEEDED, result: bytes = b"", error: str = "") -> None:
        """A task ends; whoever watches is told."""
        with self._lock:
            self.tell(self._end(task_id, status, result, error))
            self._settle()

    def _end(self, task_id: str, status: Any, result: bytes, error: str = "") -> Any:
        del self.live[task_id]
        self._revision += 1
        summary = self._summary(task_id, status, error)
        attempt = types.Attempt(
            attempt_id=f"run of {task_id}", number=1, ended_revision=self._revision, error=error
        )
        if result:
            attempt.result.data = result
            attempt.result.content_type = "application/json"
        self.attempts.append((self._revision, tasks.EndedAttempt(task_id=task_id, attempt=attempt)))
        if self.remember:
            self.over[task_id] = summary
        return events.Change(task=summary)

    def _settle(self) -> None:
        if self._sealed and not self.live and self.status == types.SESSION_STATUS_RUNNING:
            self.status = types.SESSION_STATUS_COMPLETED
            self.tell(events.Change(session=self._session()))

    def _summary(self, task_id: str, status: Any, error: str = "") -> Any:
        number = 1 if status in (SUCCEEDED, FAILED, CANCELLED) else 0
        return types.TaskSummary(
            session_id=SESSION_ID, task_id=task_id, status=status, attempt=number, error=error
        )

    # ------------------------------------------------------------------------ the feed

    def watch(self, _request: Any) -> queue.SimpleQueue[Any]:
        feed: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._lock:
            feed.put(
                events.WatchResponse(revision=self._revision, snapshot=True, reset=True, store_id="store")
            )
            self._feeds.append(feed)
        return feed

    def tell(self, *changes: Any) -> None:
        message = events.WatchResponse(revision=self._revision, changes=changes, store_id="store")
        for feed in self._feeds:
            feed.put(message)

    def break_feeds(self) -> None:
        """Every stream ends as if the coordinator had died; those who come back get a snapshot."""
        with self._lock:
            feeds, self._feeds = self._feeds, []
        for feed in feeds:
            feed.put(BREAK)

    # -------------------------------------------------------------------------- clients

    def client(self) -> Client:
        return Client(_Connection(self))

    def aio_client(self) -> AsyncClient:
        return AsyncClient(_AsyncConnection(self))


class _Feed:
    """The call of a Watch, for threads and for asyncio."""

    def __init__(self, messages: queue.SimpleQueue[Any]) -> None:
        self._messages = messages

    def __iter__(self) -> Iterator[Any]:
        while (message := self._messages.get()) is not None:
            if message is BREAK:
                raise Gone
            yield message

    async def read(self) -> Any:
        while self._messages.empty():  # noqa: ASYNC110 (threads put messages in)
            await asyncio.sleep(0.001)
        message = self._messages.get()
        if message is BREAK:
            raise Gone
        return grpc.aio.EOF if message is None else message

    def cancel(self) -> None:
        self._messages.put(None)


class _Service:
    """Every method of every service."""

    def __init__(self, instant: Instant, awaited: bool) -> None:
        self._instant = instant
        self._awaited = awaited

    def __getattr__(self, method: str) -> Any:
        if method == "Watch":
            return lambda request: _Feed(self._instant.watch(request))
        return self._later(method) if self._awaited else self._now(method)

    def _now(self, method: str) -> Any:
        return lambda request, timeout: self._instant.call(method, request)

    def _later(self, method: str) -> Any:
        async def call(request: Any, timeout: float) -> Any:
            await asyncio.sleep(0)
            return self._instant.call(method, request)

        return call


class _Channel:
    def close(self) -> Any:
        return asyncio.sleep(0)


class _Stubs(Stubs):
    def __init__(self, instant: Instant) -> None:
        super().__init__(None)
        self._service = _Service(instant, awaited=False)

    def _stub(self, service: str) -> Any:
        return self._service

    def close(self) -> None:
        self._closed = True


class _AsyncStubs(AsyncStubs):
    def __init__(self, instant: Instant) -> None:
        super().__init__(_Channel())
        self._service = _Service(instant, awaited=True)

    def _stub(self, service: str) -> Any:
        return self._service


class _Connection(Connection):
    def __init__(self, instant: Instant) -> None:
        self._instant = instant
        super().__init__(Target("instant"), patience_s=5.0)

    def _open(self, target: Target) -> None:
        self._target = target
        self._stubs = _Stubs(self._instant)


class _AsyncConnection(AsyncConnection):
    def __init__(self, instant: Instant) -> None:
        self._instant = instant
        super().__init__(Target("instant"), patience_s=5.0)

    def _open(self, target: Target) -> None:
        self._target = target
        self._stubs = _AsyncStubs(self._instant)
