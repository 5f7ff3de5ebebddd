"""What a submitter says of a task, checked and taken apart; the message itself is kept as bytes."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterable, Mapping
from functools import lru_cache

from buildrunner_coordinator.domain.commands import NewTask
from buildrunner_coordinator.domain.model import ISOLATED, LockMode, PathRequest, TaskKind, Traits
from buildrunner_coordinator.domain.paths import RESOURCE_PREFIX, parse_request
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.rpc.convert.basics import (
    check_name,
    check_object,
    check_range,
    invalid,
    one_line,
    size_bytes,
)
from buildrunner_coordinator.rpc.convert.enums import LOCK_KIND, LOCK_MODE
from buildrunner_parallel.v1 import types_pb2 as types

MAX_TASKS = 1000
MAX_ARGUMENT_BYTES = 128 << 10
MAX_SPEC_BYTES = 3 << 20
MAX_TITLE_BYTES = 200
MAX_LIST = 10_000
MAX_MS = 366 * 86_400_000
MAX_PRIORITY = 1000
MAX_SLOTS = 1024
MAX_RETRIES = 10_000


def new_tasks(specs: Iterable[types.TaskSpec]) -> tuple[NewTask, ...]:
    """Raises Refusal (INVALID, UNSUPPORTED), naming the task, for the first that is not fit."""
    return tuple(new_task(spec) for spec in specs)


def check_count(count: int) -> None:
    if count > MAX_TASKS:
        raise Refusal(
            Reason.LIMIT,
            f"{count:,} tasks in one request; at most {MAX_TASKS:,} are taken. Send several, or a plan.",
        )


def new_task(spec: types.TaskSpec) -> NewTask:
    """One task. Makes an id where there is none."""
    check_name(spec.task_id, "task's id")
    try:
        return _taken_apart(spec)
    except Refusal as refusal:
        name = spec.task_id or "without an id"
        raise Refusal(
            refusal.reason, f"Task {name}: {refusal.message}", task_id=spec.task_id, **refusal.details
        ) from None


def _taken_apart(spec: types.TaskSpec) -> NewTask:
    kind, target, title = _work(spec)
    _check_environment(spec)
    _check_rest(spec)
    if not spec.task_id:
        spec.task_id = f"task-{secrets.token_hex(4)}"
    encoded = spec.SerializeToString()
    if len(encoded) > MAX_ARGUMENT_BYTES:
        _check_size(spec, len(encoded))
    traits = _traits_of(spec, kind, target)
    # This is done for every task: an empty list costs no call.
    needs = _needs_of(spec) if spec.needs else ()
    files = path_requests(spec.files) if spec.files else ()
    return NewTask(spec.task_id, title, encoded, traits, needs, files)


def _needs_of(spec: types.TaskSpec) -> tuple[str, ...]:
    return tuple(check_name(need, "id of a needed task", required=True) for need in spec.needs)


def _work(spec: types.TaskSpec) -> tuple[TaskKind, str, str]:
    """Kind, target and title."""
    work = spec.WhichOneof("work")
    if work == "command":
        return TaskKind.COMMAND, "", _command_title(spec.command)
    if work == "handler":
        name = check_name(spec.handler.name, "handler's name", required=True)
        return TaskKind.HANDLER, name, one_line(name, MAX_TITLE_BYTES)
    if work == "external":
        pool = check_name(spec.external.pool, "pool's name")
        return TaskKind.EXTERNAL, pool, one_line(pool, MAX_TITLE_BYTES)
    raise invalid("it says nothing to run. Give a command, a handler or external data.")


def _command_title(command: types.CommandWork) -> str:
    if bool(command.argv) == bool(command.shell_line):
        raise invalid("it must have either argv or a shell line.")
    if command.shell_line:
        _check_no_nul((command.shell_line,), "shell line")
        return one_line(command.shell_line, MAX_TITLE_BYTES)
    if not command.argv[0]:
        raise invalid("the program, argv's first, is empty.")
    _check_no_nul(command.argv, "argv")
    return one_line(shlex.join(command.argv[:50]), MAX_TITLE_BYTES)


def _check_no_nul(texts: Iterable[str], what: str) -> None:
    for text in texts:
        if "\0" in text:
            raise invalid(f"the {what} has a NUL character: {text[:80]!r}.")


def _check_environment(spec: types.TaskSpec) -> None:
    for environment in (spec.environment, spec.passed_environment):
        if environment:
            _environment_bytes(environment)


def _check_size(spec: types.TaskSpec, encoded_bytes: int) -> None:
    """Only a message that is longer than what argv and environment may have can have too much of them."""
    if encoded_bytes > MAX_SPEC_BYTES:
        raise invalid(f"it has {encoded_bytes:,} bytes; at most {MAX_SPEC_BYTES:,} are taken.")
    size = sum(size_bytes(argument) + 1 for argument in spec.command.argv) + len(spec.command.shell_line)
    size += _environment_bytes(spec.environment) + _environment_bytes(spec.passed_environment)
    if size > MAX_ARGUMENT_BYTES:
        raise invalid(
            f"argv and environment have {size:,} bytes; at most {MAX_ARGUMENT_BYTES:,} are taken. "
            f"Put large data into a file or a payload."
        )


def _environment_bytes(environment: Mapping[str, str]) -> int:
    size = 0
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise invalid(f"{name[:80]!r} cannot be set in an environment.")
        size += size_bytes(name) + size_bytes(value) + 2
    return size


def _check_rest(spec: types.TaskSpec) -> None:
    if spec.HasField("directory"):
        _check_directory(spec.directory)
    if spec.timeout_ms or spec.grace_ms:
        check_range(spec.timeout_ms, 0, MAX_MS, "timeout in milliseconds")
        check_range(spec.grace_ms, 0, MAX_MS, "grace in milliseconds")
    if spec.metadata_json:
        check_object(spec.metadata_json, "task's metadata")
    if max(len(spec.needs), len(spec.files), len(spec.labels)) > MAX_LIST:
        raise _too_long(spec)
    if spec.isolation or spec.merge:
        _check_isolation(spec)


def _check_isolation(spec: types.TaskSpec) -> None:
    is_isolated = spec.isolation == types.ISOLATION_MODE_WORKTREE
    if spec.merge and not is_isolated:
        raise invalid("merge is for tasks with a worktree of their own. Isolate it, or leave merge out.")
    if is_isolated and spec.WhichOneof("work") == "external":
        raise invalid(
            "a program of yours runs it: a worktree of its own is only made for commands and handlers."
        )


def _check_directory(directory: types.WorkingDirectory) -> None:
    worktree = directory.worktree
    if worktree and not worktree.startswith("/"):
        raise invalid(f"the worktree {worktree[:80]!r} is not an absolute path.")
    _check_no_nul((worktree, directory.path), "working directory")


def _too_long(spec: types.TaskSpec) -> Refusal:
    lists = {"needs": len(spec.needs), "files": len(spec.files), "labels": len(spec.labels)}
    what = max(lists, key=lists.__getitem__)
    return invalid(f"it has {lists[what]:,} {what}; at most {MAX_LIST:,} are taken.")


def _traits_of(spec: types.TaskSpec, kind: TaskKind, target: str) -> Traits:
    retry = spec.retry
    return _checked_traits(
        kind,
        target,
        tuple(spec.labels) if spec.labels else (),
        spec.wanted_worker_id,
        spec.slots,
        spec.priority,
        retry.max_retries,
        retry.backoff_ms,
        retry.backoff_max_ms,
        _place_of(spec),
        _is_audited(spec),
    )


def _place_of(spec: types.TaskSpec) -> str:
    if spec.isolation == types.ISOLATION_MODE_WORKTREE:
        return ISOLATED
    return spec.directory.worktree if spec.HasField("directory") else ""


def _is_audited(spec: types.TaskSpec) -> bool:
    if spec.audit in (types.AUDIT_MODE_ON, types.AUDIT_MODE_OFF):
        return spec.audit == types.AUDIT_MODE_ON
    return any(not one.path.startswith(RESOURCE_PREFIX) for one in spec.files) if spec.files else False


@lru_cache(maxsize=4096)
def _checked_traits(
    kind: TaskKind,
    target: str,
    labels: tuple[str, ...],
    wanted_worker_id: str,
    slots: int,
    priority: int,
    max_retries: int,
    backoff_ms: int,
    backoff_max_ms: int,
    place: str,
    is_audited: bool,
) -> Traits:
    """Shared by all tasks alike, and checked once for them."""
    return Traits(
        kind,
        target,
        tuple(sorted({check_name(label, "label", required=True) for label in labels})),
        check_name(wanted_worker_id, "wanted worker's id"),
        check_range(slots, 0, MAX_SLOTS, "number of slots") or 1,
        check_range(priority, -MAX_PRIORITY, MAX_PRIORITY, "priority"),
        check_range(max_retries, 0, MAX_RETRIES, "number of retries"),
        check_range(backoff_ms, 0, MAX_MS, "backoff in milliseconds") or 1000,
        check_range(backoff_max_ms, 0, MAX_MS, "longest backoff in milliseconds") or 60_000,
        place,
        is_audited,
    )


def path_requests(requests: Iterable[types.PathRequest]) -> tuple[PathRequest, ...]:
    """Normalised, in order, without repeats. Raises Refusal (INVALID)."""
    found: dict[PathRequest, None] = {}
    for request in requests:
        mode = LOCK_MODE.domain(request.mode) or (None if request.mode else LockMode.EXCLUSIVE)
        if mode is None:
            raise invalid(
                f"The lock mode {request.mode} of {request.path!r} is not known: shared or exclusive."
            )
        kind = LOCK_KIND.domain(request.kind)
        if kind is None and request.kind not in (0, types.LOCK_KIND_AUTO):
            raise invalid(
                f"The lock kind {request.kind} of {request.path!r} is not known to this coordinator."
            )
        found[parse_request(request.path, mode, kind.value if kind else "auto")] = None
    return tuple(found)
