"""gRPC statuses to the errors of this SDK: by reason where the coordinator gave one, else by code."""

from __future__ import annotations

from typing import Any

import grpc

from . import errors, records
from .convert import from_wire
from .v1 import types_pb2

DOMAIN = "parallel.buildrunner.dev"

BY_REASON: dict[str, type[errors.BuildRunnerError]] = {
    "SESSION_NOT_FOUND": errors.NotFoundError,
    "TASK_NOT_FOUND": errors.NotFoundError,
    "WORKER_NOT_FOUND": errors.NotFoundError,
    "LOCK_NOT_FOUND": errors.NotFoundError,
    "LOCK_NOT_HELD": errors.NotFoundError,
    "AMBIGUOUS_ID": errors.AmbiguousIdError,
    "WRONG_STATE": errors.WrongStateError,
    "SESSION_CLOSED": errors.WrongStateError,
    "INVALID": errors.InvalidRequestError,
    "UNKNOWN_NEED": errors.InvalidRequestError,
    "CYCLE": errors.InvalidRequestError,
    "TASK_EXISTS": errors.RefusedError,
    "REQUEST_ID_REUSED": errors.RefusedError,
    "DRAINING": errors.RefusedError,
    "LIMIT": errors.LimitError,
    "WATCHER_TOO_SLOW": errors.LimitError,
    "LOCK_CONFLICT": errors.LockConflictError,
    "DEADLOCK": errors.DeadlockError,
    "STALE": errors.StaleError,
}
BY_CODE: dict[grpc.StatusCode, type[errors.BuildRunnerError]] = {
    grpc.StatusCode.UNAUTHENTICATED: errors.AuthenticationError,
    grpc.StatusCode.PERMISSION_DENIED: errors.AuthenticationError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.RefusedError,
    grpc.StatusCode.ALREADY_EXISTS: errors.RefusedError,
    grpc.StatusCode.ABORTED: errors.RefusedError,
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequestError,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidRequestError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.LimitError,
    grpc.StatusCode.UNIMPLEMENTED: errors.UnsupportedError,
    grpc.StatusCode.UNAVAILABLE: errors.UnreachableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.UnreachableError,
}


def from_rpc_error(error: Any, address: str = "") -> errors.BuildRunnerError:
    """The SDK's error for a grpc.RpcError; raise it `from` the original."""
    code = error.code() if hasattr(error, "code") else grpc.StatusCode.UNKNOWN
    text = (error.details() if hasattr(error, "details") else "") or ""
    info, conflicts = read_details(error)
    reason = info.reason if info is not None else ""
    kind = BY_REASON.get(reason) or BY_CODE.get(code, errors.BuildRunnerError)
    if issubclass(kind, errors.LockConflictError):
        return kind(text, reason=reason, conflicts=conflicts)
    if issubclass(kind, errors.AmbiguousIdError):
        candidates = info.metadata.get("candidates", "") if info is not None else ""
        return kind(text, reason=reason, candidates=[item for item in candidates.split(",") if item])
    if issubclass(kind, errors.UnreachableError):
        return kind(_unreachable_message(code, text, address), reason=reason, address=address)
    return kind(text or f"the coordinator answered {code.name}", reason=reason)


def _unreachable_message(code: grpc.StatusCode, text: str, address: str) -> str:
    where = f"the coordinator at {address}" if address else "the coordinator"
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{where} did not answer in time; see whether its machine is overloaded, then try again"
    return f"{where} cannot be reached ({text or 'no connection'}); see whether it runs, then try again"


def read_details(error: Any) -> tuple[Any, list[records.LockConflict]]:
    """The ErrorInfo of our domain, if any, and the lock conflicts in an error's status details."""
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    try:
        status = rpc_status.from_call(error)
    except (AttributeError, ValueError):
        # No call behind it, or details that contradict the code: the code and text are all there is.
        return None, []
    info = None
    conflicts = []
    for detail in status.details if status is not None else ():
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            found = error_details_pb2.ErrorInfo()
            detail.Unpack(found)
            info = found if found.domain in ("", DOMAIN) else info
        elif detail.Is(types_pb2.LockConflict.DESCRIPTOR):
            conflict = types_pb2.LockConflict()
            detail.Unpack(conflict)
            conflicts.append(from_wire(records.LockConflict, conflict))
    return info, conflicts


def reason_of(error: Any) -> str:
    """The UPPER_SNAKE reason in an error's details; empty when there is none."""
    info, _ = read_details(error)
    return info.reason if info is not None else ""
