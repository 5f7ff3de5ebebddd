"""What a task finds in its environment, and where it runs. Pure functions.

Only what is allowed of the worker's own environment, then what the submitter passed and set, then our own
`BR_*`; tokens never.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2

from .task_identity import Identity, task_identity

_ALLOWED = frozenset(["PATH", "HOME", "USER", "SHELL", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "CI"])
_ALLOWED_PATTERNS = ("LC_*", "XDG_*", "*_PROXY", "*_proxy")
_SECRET = ("BR_TOKEN", "BR_TOKEN_FILE")


def base_environment(
    worker_env: Mapping[str, str], worker_id: str, coordinator: str, passed: Sequence[str] = ()
) -> dict[str, str]:
    """The part that all tasks of a worker share; `passed` has patterns of further names that they may see."""
    patterns = (*_ALLOWED_PATTERNS, *passed)
    env = {name: value for name, value in worker_env.items() if _is_allowed(name, patterns)}
    return env | {"BR_WORKER_ID": worker_id, "BR_COORDINATOR": coordinator}


def _is_allowed(name: str, patterns: Sequence[str]) -> bool:
    if name in _SECRET:
        return False
    return name in _ALLOWED or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def own_environment(assignment: worker_service_pb2.Assignment) -> dict[str, str]:
    """What this attempt adds to the shared part."""
    spec = assignment.spec
    env: dict[str, str] = {}
    if spec.passed_environment:
        env.update(spec.passed_environment)
    if spec.environment:
        env.update(spec.environment)
    for name in _SECRET:
        env.pop(name, None)
    return env | task_identity(identity_of(assignment))


def identity_of(assignment: worker_service_pb2.Assignment) -> Identity:
    """What the task is told of itself."""
    whose = (assignment.session_id, assignment.session_name, assignment.spec.task_id)
    return (*whose, assignment.number, assignment.fence, assignment.attempt_id)


def working_directory(directory: types_pb2.WorkingDirectory, default: str) -> str:
    """Where the task runs; `default` when it does not say."""
    if directory.path.startswith("/"):
        return directory.path
    root = directory.worktree or default
    return f"{root.rstrip('/')}/{directory.path}" if directory.path else root
