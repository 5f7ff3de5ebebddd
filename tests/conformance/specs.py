"""Tasks, said shortly, for scenarios; and waiting, and comparing with a sentence."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from buildrunner_parallel.v1 import types_pb2 as types

AnswerT = TypeVar("AnswerT")
GIVE_UP_S = 60.0
READY_S = 90.0
"""For a program to start in; a virtual machine on a busy computer needs some."""
CUT_SHORT = threading.Event()
"""Set when the kit is to end: nobody waits for anything any more."""
_MS = 1000

OVER = frozenset(
    [
        types.TASK_STATUS_SUCCEEDED,
        types.TASK_STATUS_FAILED,
        types.TASK_STATUS_CANCELLED,
        types.TASK_STATUS_SKIPPED,
    ]
)


def until(question: Callable[[], AnswerT], what: str, within_s: float | None = None) -> AnswerT:
    """The first true answer. Raises AssertionError when there is none within `within_s` or GIVE_UP_S."""
    within_s = GIVE_UP_S if within_s is None else within_s
    deadline_s = time.monotonic() + within_s
    while True:
        if CUT_SHORT.is_set():
            raise AssertionError(f"cut short: {what}")
        answer = question()
        if answer:
            return answer
        if time.monotonic() >= deadline_s:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(0.05)


def expect(found: object, wanted: object, what: str) -> None:
    """Raises AssertionError, with both, unless they are equal."""
    if found != wanted:
        raise AssertionError(f"{what}: wanted {_short(wanted)}, found {_short(found)}")


def holds(fact: object, what: str) -> None:
    """Raises AssertionError with `what` unless `fact` is true."""
    if not fact:
        raise AssertionError(what)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 600 else f"{text[:300]} ... {text[-200:]}"


def shell(task_id: str, line: str, **more: Any) -> types.TaskSpec:
    """A line for the shell; `more` as of `conditions`."""
    return conditions(types.TaskSpec(task_id=task_id, command=types.CommandWork(shell_line=line)), **more)


def program(task_id: str, *argv: str, **more: Any) -> types.TaskSpec:
    return conditions(types.TaskSpec(task_id=task_id, command=types.CommandWork(argv=argv)), **more)


def call(task_id: str, handler: str, payload: object = None, **more: Any) -> types.TaskSpec:
    """`conformance.HANDLER` with a payload: bytes as they are, anything else as JSON."""
    data = payload if isinstance(payload, bytes) else json.dumps(payload or {}).encode()
    work = types.HandlerWork(
        name=f"conformance.{handler}", payload=types.Payload(data=data, content_type="application/json")
    )
    return conditions(types.TaskSpec(task_id=task_id, handler=work), **more)


def conditions(
    spec: types.TaskSpec,
    *,
    timeout_s: float = 0,
    grace_s: float | None = None,
    retries: int = 0,
    cwd: str = "",
    **fields: Any,
) -> types.TaskSpec:
    """`spec` with times in seconds, retries without a pause, a directory, and fields of its own names."""
    spec.MergeFrom(types.TaskSpec(**fields))
    spec.timeout_ms = round(timeout_s * _MS)
    if grace_s is not None:
        spec.grace_ms = round(grace_s * _MS)
    if retries:
        spec.retry.CopyFrom(types.RetryPolicy(max_retries=retries, backoff_ms=1, backoff_max_ms=1))
    if cwd:
        spec.directory.path = cwd
    return spec
