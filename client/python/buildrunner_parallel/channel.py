"""gRPC channels to a coordinator: their options, and the token and client id that go with every call.

No RPC is made here, and nothing is known of workspaces or of starting a coordinator.
"""

from __future__ import annotations

import collections
import json
from collections.abc import Callable, Sequence
from typing import Any

import grpc

MAX_MESSAGE_BYTES = 4 * 1024 * 1024

# Calls whose repeated delivery is harmless: reads, those that carry a request id, and one that names a pid.
_REPEATABLE: dict[str, tuple[str, ...]] = {
    "SessionService": (),
    "TaskService": (),
    "LockService": (),
    "CoordinatorService": ("GetInfo", "GetSummary", "ResolveWorkspace"),
    "WorkerService": (
        "GetWorker", "ListWorkers", "DrainWorker", "UpdateWorker", "ReportWorkerDeath",
        "SetPool", "ListPools",
    ),
}  # fmt: skip
_RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def is_on_this_machine(address: str) -> bool:
    """Whether `address` is a unix socket or loopback, where a proxy can only be in the way."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.removeprefix("dns:///").removeprefix("ipv4:").removeprefix("ipv6:")
    return host.startswith(("127.", "localhost", "[::1]", "::1"))


def _service_config() -> str:
    names = []
    for service, methods in _REPEATABLE.items():
        full = f"buildrunner_parallel.v1.{service}"
        names += [{"service": full, "method": method} for method in methods] or [{"service": full}]
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": _RETRY_POLICY}]})


def channel_options(address: str) -> list[tuple[str, Any]]:
    """Keepalive every 20 s, quick reconnects, 4 MiB messages, retries of repeatable calls."""
    options: list[tuple[str, Any]] = [
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # A page of a thousand tasks with long errors is more than we would ever send.
        ("grpc.max_receive_message_length", 16 * MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.enable_retries", 1),
        ("grpc.service_config", _service_config()),
        # Two channels of one process to one address must not share a broken connection.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if is_on_this_machine(address):
        options.append(("grpc.enable_http_proxy", 0))
    return options


def call_metadata(token: str, client_id: str | None) -> tuple[tuple[str, str], ...]:
    """What every call carries; `client_id` names the space of the caller's request ids."""
    entries = []
    if token:
        entries.append(("authorization", f"Bearer {token}"))
    if client_id:
        entries.append(("br-client-id", client_id))
    return tuple(entries)


class _CallDetails(
    collections.namedtuple(
        "_CallDetails", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")
    ),
    grpc.ClientCallDetails,
):
    """A call's details with other metadata."""


class _MetadataInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    def __init__(self, metadata: Sequence[tuple[str, str]]) -> None:
        self._metadata = tuple(metadata)

    def _add(self, continuation: Any, details: Any, request: Any) -> Any:
        with_ours = _CallDetails(
            details.method,
            details.timeout,
            tuple(details.metadata or ()) + self._metadata,
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )
        return continuation(with_ours, request)

    intercept_unary_unary: Any = _add
    intercept_unary_stream: Any = _add
    intercept_stream_unary: Any = _add
    intercept_stream_stream: Any = _add


def open_channel(address: str, token: str, *, client_id: str | None = None) -> grpc.Channel:
    """A channel for threads; connecting happens with the first call. Close it when done."""
    channel = grpc.insecure_channel(address, options=channel_options(address))
    return grpc.intercept_channel(channel, _MetadataInterceptor(call_metadata(token, client_id)))


def open_aio_channel(address: str, token: str, *, client_id: str | None = None) -> grpc.aio.Channel:
    """The same for asyncio; made and used within one event loop."""
    metadata = call_metadata(token, client_id)
    channel = grpc.aio.insecure_channel(address, options=channel_options(address))
    for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
        setattr(channel, kind, _with_metadata(getattr(channel, kind), metadata))
    return channel


def _with_metadata(make: Callable[..., Any], metadata: tuple[tuple[str, str], ...]) -> Callable[..., Any]:
    """`make`, with its callables sending `metadata`; cheaper on streams than an aio interceptor, which
    pumps every message through a queue and a task of its own."""

    def make_callable(*args: Any, **kwargs: Any) -> Callable[..., Any]:
        call = make(*args, **kwargs)

        def with_ours(*args: Any, **kwargs: Any) -> Any:
            kwargs["metadata"] = tuple(kwargs.get("metadata") or ()) + metadata
            return call(*args, **kwargs)

        return with_ours

    return make_callable
