"""A scripted coordinator inside the test process: real gRPC on a unix socket, answers made by the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from buildrunner_parallel.client import Client
from buildrunner_parallel.connection import Connection
from buildrunner_parallel.discovery import Target
from buildrunner_parallel.v1 import (
    coordinator_service_pb2_grpc,
    event_service_pb2_grpc,
    lock_service_pb2_grpc,
    log_service_pb2_grpc,
    session_service_pb2_grpc,
    task_service_pb2_grpc,
    worker_service_pb2_grpc,
)

STREAMING_REQUESTS = {"SubmitPlan", "PreviewPlan"}


class ScriptedCoordinator:
    """Answers `METHOD` with what `on(METHOD)` was given: messages, a function, or a status to abort with.

    `seen[METHOD]` has the requests, `metadata[METHOD]` what came with them.
    """

    def __init__(self, socket: Path) -> None:
        self.address = f"unix:{socket}"
        self.seen: dict[str, list[Any]] = {}
        self.metadata: dict[str, list[dict[str, str]]] = {}
        self._answers: dict[str, list[Any]] = {}
        self._lock = threading.Lock()
        self._server: grpc.Server | None = None
        self.start()

    def on(self, method: str, *answers: Any) -> None:
        """Each call takes the next answer; the last one stays."""
        self._answers[method] = list(answers)

    def start(self) -> None:
        server = grpc.server(ThreadPoolExecutor(8))
        for module, name in (
            (coordinator_service_pb2_grpc, "CoordinatorService"),
            (event_service_pb2_grpc, "EventService"),
            (lock_service_pb2_grpc, "LockService"),
            (log_service_pb2_grpc, "LogService"),
            (session_service_pb2_grpc, "SessionService"),
            (task_service_pb2_grpc, "TaskService"),
            (worker_service_pb2_grpc, "WorkerService"),
        ):
            servicer = self._servicer(getattr(module, f"{name}Servicer"))
            getattr(module, f"add_{name}Servicer_to_server")(servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer(health_pb2_grpc.HealthServicer), server)
        self.on("Check", health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING))
        server.add_insecure_port(self.address)
        server.start()
        self._server = server

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None

    def _servicer(self, base: type) -> Any:
        script = self

        class Scripted(base):  # type: ignore[misc]
            def __getattribute__(self, name: str) -> Any:
                if name[0].isupper():
                    return lambda request, context: script._answer(name, request, context)
                return super().__getattribute__(name)

        return Scripted()

    def _answer(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        if method in STREAMING_REQUESTS:
            request = list(request)
        with self._lock:
            self.seen.setdefault(method, []).append(request)
            metadata = {str(key): str(value) for key, value in context.invocation_metadata()}
            self.metadata.setdefault(method, []).append(metadata)
            answers = self._answers[method]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer = answer(request, context)
        if isinstance(answer, grpc.StatusCode):
            context.abort(answer, f"scripted {answer.name}")
        if isinstance(answer, status_pb2.Status):
            context.abort_with_status(rpc_status.to_status(answer))
        return answer


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[ScriptedCoordinator]:
    script = ScriptedCoordinator(tmp_path / "s")
    yield script
    script.stop()


@pytest.fixture
def client(coordinator: ScriptedCoordinator) -> Iterator[Client]:
    """A client of the scripted coordinator that waits at most ten seconds for it to come back."""
    connection = Connection(Target(coordinator.address, "secret"), patience_s=10.0, call_timeout_s=10.0)
    with Client(connection) as made:
        yield made


@pytest.fixture
def refusal() -> Callable[..., status_pb2.Status]:
    """Makes the status of a refusal as the coordinator sends it."""

    def make(
        code: grpc.StatusCode, reason: str, message: str = "no", *details: Any, **metadata: str
    ) -> status_pb2.Status:
        info = error_details_pb2.ErrorInfo(
            reason=reason, domain="parallel.buildrunner.dev", metadata=metadata
        )
        status = status_pb2.Status(code=code.value[0], message=message)
        for detail in (info, *details):
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        return status

    return make
