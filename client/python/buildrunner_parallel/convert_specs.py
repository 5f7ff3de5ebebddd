"""Specs, policies and pools to wire messages, and back where the coordinator shows them again.

Written by hand because their shapes differ from the wire: seconds for milliseconds, words for numbers.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from .durations import MAX_DURATION_S
from .errors import InvalidRequestError
from .specs import ExternalWork, FailurePolicy, PathRequest, Payload, TaskSpec
from .v1 import types_pb2


def prefix_of(descriptor: EnumDescriptor) -> str:
    """`SESSION_STATUS_` for SessionStatus."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", descriptor.name).upper() + "_"


def word_of(descriptor: EnumDescriptor, number: int) -> str:
    """The lower-case word of an enum value; empty for UNSPECIFIED and for numbers not known here."""
    value = descriptor.values_by_number.get(number)
    if value is None or number == 0:
        return ""
    return value.name.removeprefix(prefix_of(descriptor)).lower()


def number_of(wrapper: Any, word: str) -> Any:
    """The enum value for a word such as `exclusive`; raises InvalidRequestError for one that is none."""
    return _number_of(wrapper.DESCRIPTOR, str(word))


@functools.lru_cache(maxsize=256)
def _number_of(descriptor: EnumDescriptor, word: str) -> Any:
    name = prefix_of(descriptor) + word.upper().replace("-", "_")
    value = descriptor.values_by_name.get(name)
    if value is None or value.number == 0:
        known = ", ".join(word_of(descriptor, item.number) for item in descriptor.values if item.number)
        raise InvalidRequestError(f"{word!r} is no {descriptor.name}; use one of {known}", reason="INVALID")
    return value.number


def milliseconds(seconds: float | None) -> int:
    """Whole milliseconds, 0 for None; at least 1 for anything above zero. Raises InvalidRequestError for
    what is no time: below zero, endless, or no number."""
    if not seconds:
        return 0
    if not 0 < seconds <= MAX_DURATION_S:
        most = int(MAX_DURATION_S)
        raise InvalidRequestError(f"expected seconds from 0 to {most}, found {seconds!r}", reason="INVALID")
    return max(1, round(seconds * 1000))


def seconds_or_none(value_ms: int) -> float | None:
    return value_ms / 1000 if value_ms else None


def json_text(value: Mapping[str, Any] | None) -> str:
    """The JSON text of an object of the user's own; empty for an empty one."""
    if not value:
        return ""
    try:
        return json.dumps(dict(value), ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"metadata is not JSON: {error}", reason="INVALID") from error


def time_to_wire(at: datetime) -> Timestamp:
    """A naive time is one of this machine's own clock."""
    microseconds = round(at.timestamp() * 1_000_000)
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def payload_to_wire(payload: Payload | None) -> types_pb2.Payload | None:
    if payload is None:
        return None
    return types_pb2.Payload(data=payload.data, content_type=payload.content_type)


def payload_from_wire(message: types_pb2.Payload) -> Payload:
    return Payload(message.data, message.content_type)


def failure_policy_to_wire(policy: FailurePolicy | None) -> types_pb2.FailurePolicy | None:
    if policy is None:
        return None
    return types_pb2.FailurePolicy(
        action=number_of(types_pb2.FailureAction, policy.action), limit=policy.limit
    )


def failure_policy_from_wire(message: types_pb2.FailurePolicy) -> FailurePolicy:
    word = word_of(types_pb2.FailureAction.DESCRIPTOR, message.action).replace("_", "-")
    return FailurePolicy(word or "continue", message.limit)


def path_request_to_wire(request: PathRequest | str) -> types_pb2.PathRequest:
    if isinstance(request, str):
        request = PathRequest(request)
    return types_pb2.PathRequest(
        path=request.path,
        mode=number_of(types_pb2.LockMode, request.mode),
        kind=number_of(types_pb2.LockKind, request.kind),
    )


def path_request_from_wire(message: types_pb2.PathRequest) -> PathRequest:
    return PathRequest(
        message.path,
        word_of(types_pb2.LockMode.DESCRIPTOR, message.mode) or "exclusive",
        word_of(types_pb2.LockKind.DESCRIPTOR, message.kind) or "auto",
    )


def _require_list(name: str, value: Any) -> Any:
    # A lone string would otherwise be taken apart into letters.
    if isinstance(value, (str, bytes)):
        raise InvalidRequestError(f"{name} must be a list, not the string {value!r}", reason="INVALID")
    return value


def task_spec_to_wire(spec: TaskSpec) -> types_pb2.TaskSpec:
    """Raises InvalidRequestError for words that are none, and for strings where lists belong."""
    message = types_pb2.TaskSpec(
        task_id=spec.task_id,
        environment=dict(spec.env) if spec.env else None,
        passed_environment=dict(spec.passed_env) if spec.passed_env else None,
        timeout_ms=milliseconds(spec.timeout_s),
        grace_ms=None if spec.grace_s is None else milliseconds(spec.grace_s),
        needs=_require_list("needs", spec.needs),
        files=[path_request_to_wire(item) for item in _require_list("files", spec.files)],
        priority=spec.priority,
        labels=_require_list("labels", spec.labels),
        wanted_worker_id=spec.worker_id,
        slots=spec.slots,
        metadata_json=json_text(spec.metadata),
        audit=number_of(types_pb2.AuditMode, spec.audit),
        isolation=number_of(types_pb2.IsolationMode, spec.isolation),
        merge=spec.merge,
    )
    _set_work(message, spec)
    _set_retry_and_directory(message, spec)
    return message


def _set_work(message: types_pb2.TaskSpec, spec: TaskSpec) -> None:
    argv = list(_require_list("argv", spec.argv))
    given = [bool(argv), bool(spec.shell_line), bool(spec.handler), spec.external is not None]
    if sum(given) > 1:
        raise InvalidRequestError(
            f"task {spec.task_id!r} has more than one of argv, shell_line, handler and external; give one",
            reason="INVALID",
        )
    if spec.payload is not None and not spec.handler:
        raise InvalidRequestError(f"task {spec.task_id!r} has a payload but no handler", reason="INVALID")
    if argv or spec.shell_line:
        message.command.argv.extend(argv)
        message.command.shell_line = spec.shell_line
    elif spec.handler:
        message.handler.name = spec.handler
        if spec.payload is not None:
            message.handler.payload.data = spec.payload.data
            message.handler.payload.content_type = spec.payload.content_type
    elif spec.external is not None:
        pool, payload = spec.external
        message.external.CopyFrom(types_pb2.ExternalWork(pool=pool, payload=payload_to_wire(payload)))


def _set_retry_and_directory(message: types_pb2.TaskSpec, spec: TaskSpec) -> None:
    if spec.worktree or spec.cwd:
        message.directory.worktree = spec.worktree
        message.directory.path = spec.cwd
    if spec.retries or spec.backoff_s or spec.backoff_max_s:
        message.retry.max_retries = spec.retries
        message.retry.backoff_ms = milliseconds(spec.backoff_s)
        message.retry.backoff_max_ms = milliseconds(spec.backoff_max_s)


def _payload_or_none(message: Any) -> Payload | None:
    return payload_from_wire(message.payload) if message.HasField("payload") else None


def task_spec_from_wire(message: types_pb2.TaskSpec) -> TaskSpec:
    handler = message.handler if message.HasField("handler") else None
    external = message.external if message.HasField("external") else None
    return TaskSpec(
        task_id=message.task_id,
        argv=tuple(message.command.argv),
        shell_line=message.command.shell_line,
        handler=handler.name if handler is not None else "",
        payload=_payload_or_none(handler) if handler is not None else None,
        external=ExternalWork(external.pool, _payload_or_none(external)) if external is not None else None,
        worktree=message.directory.worktree,
        cwd=message.directory.path,
        env=dict(message.environment),
        passed_env=dict(message.passed_environment),
        timeout_s=seconds_or_none(message.timeout_ms),
        grace_s=message.grace_ms / 1000 if message.HasField("grace_ms") else None,
        needs=tuple(message.needs),
        files=tuple(path_request_from_wire(item) for item in message.files),
        priority=message.priority,
        retries=message.retry.max_retries,
        backoff_s=seconds_or_none(message.retry.backoff_ms),
        backoff_max_s=seconds_or_none(message.retry.backoff_max_ms),
        labels=tuple(message.labels),
        worker_id=message.wanted_worker_id,
        slots=message.slots or 1,
        metadata=read_object(message.metadata_json),
        audit=word_of(types_pb2.AuditMode.DESCRIPTOR, message.audit) or "auto",
        isolation=word_of(types_pb2.IsolationMode.DESCRIPTOR, message.isolation) or "shared",
        merge=message.merge,
    )


def read_object(text: str) -> dict[str, Any]:
    """The JSON object in `text`; an empty one for anything else, since it is the user's own and unchecked."""
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
