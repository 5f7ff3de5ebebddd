"""One coordinator connection that survives the coordinator's restarts: calls, repeats, finding it again.

Knows nothing of sessions or tasks; the client's parts say what to call. Safe to use from several threads.
"""

from __future__ import annotations

import importlib
import math
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc

from .calls import Call, Work
from .channel import open_channel
from .discovery import Target
from .error_mapping import from_rpc_error, reason_of
from .errors import BuildRunnerError, CoordinatorStartError, UnreachableError

if TYPE_CHECKING:
    from .v1.coordinator_service_pb2_grpc import CoordinatorServiceStub
    from .v1.event_service_pb2_grpc import EventServiceStub
    from .v1.lock_service_pb2_grpc import LockServiceStub
    from .v1.log_service_pb2_grpc import LogServiceStub
    from .v1.session_service_pb2_grpc import SessionServiceStub
    from .v1.task_service_pb2_grpc import TaskServiceStub
    from .v1.worker_service_pb2_grpc import WorkerServiceStub

AnswerT = TypeVar("AnswerT")

CALL_TIMEOUT_S = 30.0
PATIENCE_S = 30.0

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
# Connecting is given up sooner than this.
_SURELY_CONNECTED_S = 25.0


class Stubs:
    """The services' stubs on one channel, each imported when it is first used.

    Making a stub on a closed channel crashes the process (grpcio 1.85), so closing and making exclude
    each other, and afterwards a ValueError is raised as by a call on a closed channel.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {}
        self._closed = False

    def close(self) -> None:
        """Ends the channel and every call on it."""
        with self._lock:
            self._closed = True
        self._channel.close()

    def _stub(self, service: str) -> Any:
        with self._lock:
            if self._closed:
                raise ValueError("the channel is closed")
            if service not in self._made:
                name = f"{service.capitalize()}ServiceStub"
                package = __name__.rpartition(".")[0]
                module = importlib.import_module(f"{package}.v1.{service}_service_pb2_grpc")
                self._made[service] = getattr(module, name)(self._channel)
            return self._made[service]

    @property
    def coordinator(self) -> CoordinatorServiceStub:
        return cast("CoordinatorServiceStub", self._stub("coordinator"))

    @property
    def events(self) -> EventServiceStub:
        return cast("EventServiceStub", self._stub("event"))

    @property
    def locks(self) -> LockServiceStub:
        return cast("LockServiceStub", self._stub("lock"))

    @property
    def logs(self) -> LogServiceStub:
        return cast("LogServiceStub", self._stub("log"))

    @property
    def sessions(self) -> SessionServiceStub:
        return cast("SessionServiceStub", self._stub("session"))

    @property
    def tasks(self) -> TaskServiceStub:
        return cast("TaskServiceStub", self._stub("task"))

    @property
    def workers(self) -> WorkerServiceStub:
        return cast("WorkerServiceStub", self._stub("worker"))


Relocate = Callable[[float, bool], Target]


class Connection:
    """Calls to the coordinator at `target`.

    `relocate(timeout_s, start)` says where it is after a loss, and starts it where `start` allows that and
    it is ours to start; without it the address stays.
    A repeatable call goes on trying for `patience_s` seconds after the coordinator went away.
    """

    def __init__(
        self,
        target: Target,
        *,
        relocate: Relocate | None = None,
        client_id: str | None = None,
        patience_s: float = PATIENCE_S,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self.client_id = client_id or uuid.uuid4().hex
        self.patience_s = patience_s
        self.call_timeout_s = call_timeout_s
        self._relocate = relocate
        self._lock = threading.Lock()
        self._closed = False
        self._open(target)

    @property
    def address(self) -> str:
        return self._target.address

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def stubs(self) -> Stubs:
        return self._stubs

    def close(self) -> None:
        """Ends the channel and every call on it."""
        self._closed = True
        self._stubs.close()

    def do(self, work: Work[AnswerT]) -> AnswerT:
        """Makes the calls of `work` one after the other. Raises the errors of errors.py, and what `work`
        does."""
        steps = iter(work)
        try:
            call = next(steps)
            while True:
                try:
                    answer = self.make(call)
                except BuildRunnerError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(answer)
        except StopIteration as end:
            result: AnswerT = end.value
            return result
        finally:
            steps.close()

    def make(self, call: Call[AnswerT]) -> AnswerT:
        """One call; a repeatable one outlives a restart."""
        patience = Patience(self.patience_s if call.patience_s is None else call.patience_s, waits=call.waits)
        answer = self.run(
            lambda stubs: call.begin(stubs, self.call_timeout_s),
            repeatable=call.repeatable,
            patience=patience,
        )
        return call.read(answer)

    def run(
        self,
        attempt: Callable[[Stubs], AnswerT],
        *,
        repeatable: bool = True,
        patience: Patience | None = None,
    ) -> AnswerT:
        """Runs `attempt` on the present stubs, and again after the coordinator came back."""
        patience = patience or Patience(self.patience_s)
        for pause_s in pauses():
            stubs = self._stubs
            patience.begin()
            try:
                return attempt(stubs)
            except grpc.RpcError as error:
                lost = patience.is_loss(error) or self._token_changed(error)
                if self._closed and lost:
                    raise UnreachableError("the client is closed", address=self.address) from error
                if not (repeatable and lost) or patience.is_over:
                    raise from_rpc_error(error, self.address) from error
                self.recover(stubs, patience.deadline_s, pause_s, start=patience.starts)
            except ValueError as error:
                # What grpc says about a channel that another thread has replaced or closed.
                if self._closed or stubs is self._stubs:
                    raise UnreachableError("the client is closed", address=self.address) from error
        raise AssertionError("pauses never end")

    def recover(self, broken: Stubs, deadline_s: float, pause_s: float = 0.0, *, start: bool = True) -> bool:
        """Looks for the coordinator again and opens a new channel; whether it could be found.

        `broken` are the stubs that failed: when another thread has replaced them there is nothing to do.
        With `start` False it is not started when it is not there.
        """
        time.sleep(max(0.0, min(pause_s, deadline_s - time.monotonic())))
        with self._lock:
            if self._stubs is not broken or self._closed:
                return not self._closed
            target = self._target
            if self._relocate is not None:
                try:
                    target = self._relocate(max(0.1, deadline_s - time.monotonic()), start)
                except CoordinatorStartError:
                    # It was tried for long enough, and there is a reason to tell.
                    raise
                except UnreachableError:
                    if time.monotonic() >= deadline_s:
                        raise
                    return False
            self._open(target)
            broken.close()
            return True

    def _open(self, target: Target) -> None:
        self._target = target
        self._stubs = Stubs(open_channel(target.address, target.token, client_id=self.client_id))

    def _token_changed(self, error: Any) -> bool:
        """Whether a refused token has been replaced since, as when the state was made anew."""
        if error.code() != grpc.StatusCode.UNAUTHENTICATED or self._relocate is None:
            return False
        try:
            return self._relocate(1.0, False).token != self._target.token
        except BuildRunnerError:
            return False


class Patience:
    """How long one call goes on trying: `patience_s` seconds from when the coordinator was lost, which for a
    call that `waits` may be long after it began."""

    def __init__(self, patience_s: float, *, waits: bool = False) -> None:
        self._patience_s = patience_s
        self._waits = waits
        self._began_s = time.monotonic()
        self.deadline_s = math.inf
        self.starts = True
        """Whether the coordinator may be started: not when it was ended in order meanwhile."""

    def begin(self) -> None:
        """A try begins."""
        self._began_s = time.monotonic()

    def is_loss(self, error: Any) -> bool:
        """Whether that try ended because the coordinator went away, and not because it said something."""
        now_s = time.monotonic()
        if self.deadline_s == math.inf or now_s - self._began_s > _SURELY_CONNECTED_S:
            self.deadline_s = now_s + self._patience_s
        if self._waits and reason_of(error) == "STOPPING":
            self.starts = False
            return True
        return is_loss(error)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.deadline_s


def is_loss(error: Any) -> bool:
    """Whether a call ended because the coordinator went away, and not because it said something."""
    gone = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    return error.code() in gone and not reason_of(error)


def pauses() -> Iterator[float]:
    """Seconds to wait before each further try: doubling, with full jitter after the first."""
    pause_s = _FIRST_PAUSE_S
    yield pause_s
    while True:
        pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)
        yield random.uniform(_FIRST_PAUSE_S, pause_s)
