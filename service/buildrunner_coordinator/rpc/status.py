"""Refusal to gRPC status: one dict, complete by test, and the details that travel with an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import grpc
from google.protobuf.any_pb2 import Any as PackedMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from buildrunner_coordinator.domain.refusals import Reason

DOMAIN = "parallel.buildrunner.dev"
DETAILS_KEY = "grpc-status-details-bin"
MAX_MESSAGE_BYTES = 2048
"""Of an error's text: it travels in metadata, which is small."""
MAX_DETAIL_BYTES = 1024
MAX_STATUS_BYTES = 5500
"""Of all details: in base64, with the message beside it, they must fit the 8 KiB that clients take."""
_FRAME_BYTES = 4

CODES: dict[Reason, grpc.StatusCode] = {
    Reason.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.SESSION_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.TASK_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.WORKER_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.WORKSPACE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.AMBIGUOUS_ID: grpc.StatusCode.NOT_FOUND,
    Reason.WRONG_STATE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.SESSION_CLOSED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.TASK_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Reason.UNKNOWN_NEED: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.CYCLE: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.LIMIT: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.REQUEST_ID_REUSED: grpc.StatusCode.ALREADY_EXISTS,
    Reason.DRAINING: grpc.StatusCode.UNAVAILABLE,
    Reason.STALE: grpc.StatusCode.ABORTED,
    Reason.LOCK_CONFLICT: grpc.StatusCode.ABORTED,
    Reason.DEADLOCK: grpc.StatusCode.ABORTED,
    Reason.LOCK_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.LOCK_NOT_HELD: grpc.StatusCode.NOT_FOUND,
    Reason.NO_PATCH: grpc.StatusCode.NOT_FOUND,
    Reason.UNSUPPORTED: grpc.StatusCode.UNIMPLEMENTED,
}

RETRY_AFTER_S: dict[str, float] = {
    Reason.DRAINING.value: 5.0,
    "STOPPING": 1.0,
    "WATCHER_TOO_SLOW": 0.1,
}
"""Reasons for which trying again helps, and when."""


def encode_details(
    code: grpc.StatusCode,
    reason: str,
    message: str,
    details: Mapping[str, str],
    extra: Iterable[Message] = (),
) -> bytes:
    """A google.rpc.Status with ErrorInfo, RetryInfo where a retry helps, and as much of `extra` as fits."""
    short = {name: value[:MAX_DETAIL_BYTES] for name, value in details.items() if value}
    parts: list[Message] = [ErrorInfo(reason=reason, domain=DOMAIN, metadata=short)]
    if reason in RETRY_AFTER_S:
        delay = Duration()
        delay.FromMilliseconds(int(RETRY_AFTER_S[reason] * 1000))
        parts.append(RetryInfo(retry_delay=delay))
    status = Status(code=code.value[0], message=message, details=[_packed(part) for part in parts])
    room_bytes = MAX_STATUS_BYTES - status.ByteSize()
    for part in extra:
        packed = _packed(part)
        room_bytes -= packed.ByteSize() + _FRAME_BYTES
        if room_bytes < 0:
            break
        status.details.append(packed)
    return bytes(status.SerializeToString())


def _packed(message: Message) -> PackedMessage:
    packed = PackedMessage()
    packed.Pack(message)
    return packed
