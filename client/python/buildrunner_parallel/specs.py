"""What callers hand in: a task to run, a path to lock, a failure policy. Plain data, no checks.

The coordinator validates; these say only what can be said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes of the user's own; an empty `content_type` means application/octet-stream."""

    data: bytes = b""
    content_type: str = ""


class ExternalWork(NamedTuple):
    """Data for programs that registered as external workers of `pool` (empty is a pool too)."""

    pool: str = ""
    payload: Payload | None = None


@dataclass(frozen=True, slots=True)
class PathRequest:
    """A path relative to the repository's root; `mode` exclusive or shared, `kind` auto, file, tree,
    glob or resource."""

    path: str
    mode: str = "exclusive"
    kind: str = "auto"


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """`action` is continue, finish-running or stop-now, taken after `limit` failed tasks (0 means 1)."""

    action: str = "continue"
    limit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """One task: exactly one of `argv`, `shell_line`, `handler` and `external` says what runs.

    `worktree` is the absolute path of a checkout and `cwd` a directory below it; without both it runs where
    it is submitted from. Times are in seconds,
    None for the coordinator's default (no timeout; 10 s grace; backoff from 1 s to at most 60 s).
    `priority` is -1000 to 1000, higher first. `slots` is how many of a worker's slots it takes.
    """

    task_id: str = ""
    argv: Sequence[str] = ()
    shell_line: str = ""
    handler: str = ""
    payload: Payload | None = None
    external: ExternalWork | None = None
    worktree: str = ""
    cwd: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    passed_env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    grace_s: float | None = None
    needs: Sequence[str] = ()
    files: Sequence[PathRequest] = ()
    priority: int = 0
    retries: int = 0
    backoff_s: float | None = None
    backoff_max_s: float | None = None
    labels: Sequence[str] = ()
    worker_id: str = ""
    slots: int = 1
    metadata: Mapping[str, Any] = field(default_factory=dict)
    audit: str = "auto"
    isolation: str = "shared"
    merge: bool = False
