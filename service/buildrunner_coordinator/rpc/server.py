"""The grpc.aio server: its options, its services, and how it comes to an end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from buildrunner_coordinator.rpc.coordinator import CoordinatorService
from buildrunner_coordinator.rpc.house import House
from buildrunner_coordinator.rpc.interceptors import AuthInterceptor, ErrorInterceptor
from buildrunner_coordinator.rpc.locks import LockService
from buildrunner_coordinator.rpc.logs import LogService
from buildrunner_coordinator.rpc.sessions import SessionService
from buildrunner_coordinator.rpc.tasks import TaskService
from buildrunner_coordinator.rpc.watch import EventService
from buildrunner_coordinator.rpc.workers import WorkerService
from buildrunner_parallel.v1 import (
    coordinator_service_pb2_grpc,
    event_service_pb2_grpc,
    lock_service_pb2_grpc,
    log_service_pb2_grpc,
    session_service_pb2_grpc,
    task_service_pb2_grpc,
    worker_service_pb2_grpc,
)

MAX_MESSAGE_BYTES = 4 << 20
STOP_GRACE_S = 1.0

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", 2 * MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.absolute_max_metadata_size", 16 << 10),
    ("grpc.max_concurrent_streams", 10_000),
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
)

RAW_METHODS = frozenset(
    {
        ("buildrunner_parallel.v1.WorkerService", "Connect"),
        ("buildrunner_parallel.v1.EventService", "Watch"),
    }
)
"""Methods that write encoded messages: their parts are joined, not built."""

_SERVICES: tuple[tuple[Callable[[Any, Any], None], Callable[[House], Any]], ...] = (
    (session_service_pb2_grpc.add_SessionServiceServicer_to_server, SessionService),
    (task_service_pb2_grpc.add_TaskServiceServicer_to_server, TaskService),
    (worker_service_pb2_grpc.add_WorkerServiceServicer_to_server, WorkerService),
    (lock_service_pb2_grpc.add_LockServiceServicer_to_server, LockService),
    (log_service_pb2_grpc.add_LogServiceServicer_to_server, LogService),
    (event_service_pb2_grpc.add_EventServiceServicer_to_server, EventService),
    (coordinator_service_pb2_grpc.add_CoordinatorServiceServicer_to_server, CoordinatorService),
)


class CoordinatorServer:
    """All services on any number of addresses."""

    def __init__(self, house: House, token: str) -> None:
        self._house = house
        self.calls: Counter[str] = Counter()
        """Calls begun so far, by method."""
        self._server = grpc.aio.server(
            interceptors=(AuthInterceptor(token), ErrorInterceptor(self.calls)), options=OPTIONS
        )
        self._health = health.aio.HealthServicer()
        registrar = _Registrar(self._server)
        for add, service in _SERVICES:
            add(service(house), registrar)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._names = (*registrar.names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(self._names, self._server)

    def listen(self, address: str) -> int:
        """Binds `unix:PATH` or `HOST:PORT`; returns the port. Raises OSError when it cannot."""
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            # gRPC's own text only tells how to make it say more.
            raise OSError(f"cannot listen on {address}: it is in use or not allowed") from error
        if not port:
            raise OSError(f"cannot listen on {address}: it is in use or not allowed")
        return port

    async def start(self) -> None:
        """Serves, and says so to health checks."""
        await self._server.start()
        for name in ("", *self._names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Ends watches and worker streams with a word, everything else after `grace_s`."""
        await self._health.enter_graceful_shutdown()
        engine = self._house.engine
        engine.feed.close()
        engine.news.close()
        engine.outboxes.close_all()
        await self._server.stop(grace_s)


class _Registrar:
    """Stands in for a server while a service is added, so that raw methods can be given as such."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Left out: made anew below, from the adjusted handlers."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        adjusted = {
            name: _without_serializer(handler) if (service, name) in RAW_METHODS else handler
            for name, handler in handlers.items()
        }
        self.names.append(service)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, adjusted),))
        self._server.add_registered_method_handlers(service, adjusted)


def _without_serializer(handler: Any) -> Any:
    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(
            handler.stream_stream, handler.request_deserializer, None
        )
    return grpc.unary_stream_rpc_method_handler(handler.unary_stream, handler.request_deserializer, None)
