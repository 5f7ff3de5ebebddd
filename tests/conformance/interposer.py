"""Stands between a program under test and the coordinator, as gRPC: forwards, and changes what it is told to.

Every method is forwarded as a stream of messages each way, which on the wire is what a unary call is too.
Only the messages of methods that somebody looks at or changes are decoded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf import message_factory
from google.protobuf.message import Message

from buildrunner_parallel.v1 import (
    coordinator_service_pb2,
    event_service_pb2,
    lock_service_pb2,
    log_service_pb2,
    session_service_pb2,
    task_service_pb2,
    worker_service_pb2,
)

PACKAGE = "buildrunner_parallel.v1"
_FILES = (
    coordinator_service_pb2, event_service_pb2, lock_service_pb2, log_service_pb2, session_service_pb2,
    task_service_pb2, worker_service_pb2,
)  # fmt: skip
_FORWARDED = ("authorization", "br-client-id")
_THREADS = 64
_CENTURIES_S = 1e9
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.initial_reconnect_backoff_ms", 50),
)
_SERVER_OPTIONS = (
    ("grpc.so_reuseport", 0),
    # As the coordinator's: oversize messages are refused, frequent pings are not.
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)

Change: TypeAlias = Callable[[Any], "Message | Iterable[Message] | None"]
"""From a message to what is passed on: itself or another, several, or None: nothing."""


class AnswerLost(Exception):
    """Raised by a change of an answer: the call has taken effect, and the caller never hears of it."""


def _methods() -> dict[str, tuple[type[Message], type[Message]]]:
    """Request and answer of every method, by its path."""
    found = {}
    for file in _FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                found[f"/{service.full_name}/{method.name}"] = (
                    message_factory.GetMessageClass(method.input_type),
                    message_factory.GetMessageClass(method.output_type),
                )
    return found


METHODS = _methods()


def path_of(name: str) -> str:
    """The path of `Service.Method`, such as `WorkerService.Connect`."""
    service, method = name.split(".")
    path = f"/{PACKAGE}.{service}/{method}"
    assert path in METHODS, f"there is no {name}"
    return path


class Interposer(grpc.GenericRpcHandler):
    """Listens on `address`; everything goes to the coordinator at `target` until told otherwise."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        self._request_changes: dict[str, list[Change]] = {}
        self._answer_changes: dict[str, list[Change]] = {}
        self._refused: dict[str, tuple[grpc.StatusCode, str]] = {}
        self._lock = threading.Lock()
        self.calls: list[str] = []
        """Paths of the calls begun so far."""
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="interposer"), options=_SERVER_OPTIONS
        )
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(0).wait(10)
        self._channel.close()

    # ------------------------------------------------------------ what is changed

    def on_request(self, name: str, change: Change) -> None:
        """Each request message of `Service.Method` goes through `change` from now on."""
        self._request_changes.setdefault(path_of(name), []).append(change)

    def on_answer(self, name: str, change: Change) -> None:
        self._answer_changes.setdefault(path_of(name), []).append(change)

    def on_every_answer(self, change: Change) -> None:
        for path in METHODS:
            self._answer_changes.setdefault(path, []).append(change)

    def refuse(self, name: str, code: grpc.StatusCode, text: str) -> None:
        """Calls of `Service.Method`, or with `Service.*` of all its methods, end with this status."""
        service, method = name.split(".")
        paths = (
            [path_of(name)]
            if method != "*"
            else [p for p in METHODS if p.startswith(f"/{PACKAGE}.{service}/")]
        )
        self._refused.update(dict.fromkeys(paths, (code, text)))

    def heard(self, name: str) -> list[Any]:
        """Every request message of `Service.Method` from now on, as a list that grows."""
        messages: list[Any] = []

        def keep(message: Message) -> Message:
            messages.append(message)
            return message

        self.on_request(name, keep)
        return messages

    def count(self, name: str) -> int:
        """How often `Service.Method` was called."""
        with self._lock:
            return self.calls.count(path_of(name))

    # -------------------------------------------------------------- forwarding

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler:
        path = handler_call_details.method
        return grpc.stream_stream_rpc_method_handler(
            lambda requests, context: self._forward(path, requests, context)
        )

    def _forward(
        self, path: str, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        with self._lock:
            self.calls.append(path)
        if path in self._refused:
            context.abort(*self._refused[path])
        metadata = tuple(pair for pair in context.invocation_metadata() if pair[0] in _FORWARDED)
        answers: Any = self._channel.stream_stream(path)(
            cast("Any", self._requests(path, requests)), metadata=metadata, timeout=_timeout_s(context)
        )
        context.add_callback(answers.cancel)
        try:
            for raw in answers:
                yield from self._changed(self._answer_changes, path, 1, raw)
        except AnswerLost:
            answers.cancel()
            context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost on its way")
        except grpc.RpcError as error:
            # The same object is call and error.
            self._pass_on(error, context)

    def _requests(self, path: str, requests: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for raw in requests:
                yield from self._changed(self._request_changes, path, 0, raw)
        except grpc.RpcError:
            return  # the caller has gone; the callback of its context ends the call
        except Exception as error:
            # grpcio raises a bare one when the caller hangs up in the middle of its messages.
            if type(error) is not Exception:
                raise

    def _pass_on(self, error: Any, context: grpc.ServicerContext) -> None:
        trailing = [(key, value) for key, value in error.trailing_metadata() or () if not key.startswith(":")]
        context.set_trailing_metadata(tuple(trailing))
        context.abort(error.code(), error.details() or "")

    @staticmethod
    def _changed(changes: dict[str, list[Change]], path: str, side: int, raw: bytes) -> list[bytes]:
        if path not in changes:
            return [raw]
        messages: list[Message] = [METHODS[path][side].FromString(raw)]
        for change in changes[path]:
            messages = [after for before in messages for after in _as_list(change(before))]
        return [message.SerializeToString() for message in messages]


def _timeout_s(context: grpc.ServicerContext) -> float | None:
    """What is left of the caller's deadline. One without a deadline has one of some centuries here."""
    left_s = context.time_remaining()
    return left_s if left_s < _CENTURIES_S else None


def _as_list(made: Message | Iterable[Message] | None) -> list[Message]:
    if made is None:
        return []
    return [made] if isinstance(made, Message) else list(made)
