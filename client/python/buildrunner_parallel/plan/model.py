"""A plan as the rest of the client sees it: frozen, resolved, validated, free of wire types.

No loading and no checking here; a `Plan` that exists is one whose needs are known and free of cycles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

OnFailure = Literal["continue", "finish-running", "stop-now"]
LockMode = Literal["exclusive", "shared"]
PathForm = Literal["auto", "literal", "glob"]


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """What the session does about failures, from the `limit`-th failed task on (1 or more)."""

    kind: OnFailure = "continue"
    limit: int = 1


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A path that a task works on. `form` says whether wildcard characters are meant as such."""

    path: str
    mode: LockMode = "exclusive"
    form: PathForm = "auto"


@dataclass(frozen=True, slots=True)
class PlanTask:
    """One task of a plan. Exactly one of `run`, `argv` and `handler` is set.

    `index` is the position of its entry in the file's `tasks`; the tasks of one matrix share it.
    `cwd` is as written; None means the directory the plan is submitted from. `audit` None means:
    audited when it declares files; `merge` only with `isolate` "worktree". Durations are in seconds, None
    means the coordinator's default.
    """

    task_id: str
    index: int
    run: str | None = None
    argv: tuple[str, ...] = ()
    handler: str | None = None
    payload: bytes = b""
    content_type: str = ""
    needs: tuple[str, ...] = ()
    files: tuple[PlanFile, ...] = ()
    timeout_s: float | None = None
    grace_s: float | None = None
    retries: int = 0
    labels: tuple[str, ...] = ()
    priority: int = 0
    slots: int = 1
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    pass_env: tuple[str, ...] = ()
    audit: bool | None = None
    isolate: str | None = None
    merge: bool = False
    worker: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole plan. `name` and `workers` are None when the file leaves them to the command line."""

    tasks: tuple[PlanTask, ...]
    name: str | None = None
    workers: int | None = None
    on_failure: FailurePolicy | None = None
    max_parallel: int | None = None
    source: str = ""
