"""A plan's tasks as the SDK's task records: directories, environment and lock paths of this machine put in.

Looks at the file system to tell files from directories; sends nothing.
"""

from __future__ import annotations

import fnmatch
import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from buildrunner_parallel.lock_paths import LockPaths
from buildrunner_parallel.text import sanitize

if TYPE_CHECKING:
    from buildrunner_parallel.plan import PlanFile, PlanTask
    from buildrunner_parallel.specs import PathRequest, TaskSpec

_NEVER_PASSED = frozenset(("BR_TOKEN",))


class Submitter:
    """Where a submission comes from: the directory, its worktree, the environment."""

    def __init__(self, directory: Path, worktree: Path | None, environ: Mapping[str, str]) -> None:
        self._paths = LockPaths(directory, worktree)
        self._worktree = self._paths.worktree
        self._environ = environ
        self._working_directory = functools.cache(self._find_working_directory)

    def specs(self, tasks: Iterable[PlanTask]) -> Iterator[TaskSpec]:
        """Each task as a record to submit. Raises InvalidRequestError for a path outside the repository."""
        for task in tasks:
            yield self.spec(task)

    def spec(self, task: PlanTask) -> TaskSpec:
        """One task as a record to submit."""
        from buildrunner_parallel.specs import Payload, TaskSpec

        return TaskSpec(
            task_id=task.task_id,
            argv=task.argv,
            shell_line=task.run or "",
            handler=task.handler or "",
            payload=Payload(task.payload, task.content_type) if task.handler else None,
            worktree=self._worktree,
            cwd=self._working_directory(task.cwd),
            env=task.env,
            passed_env=self._passed(task.pass_env),
            timeout_s=task.timeout_s,
            grace_s=task.grace_s,
            needs=task.needs,
            files=tuple(self._request(task.task_id, file) for file in task.files),
            priority=task.priority,
            retries=task.retries,
            labels=task.labels,
            worker_id=task.worker or "",
            slots=task.slots,
            metadata=task.metadata,
            audit="auto" if task.audit is None else "on" if task.audit else "off",
            isolation="worktree" if task.isolate == "worktree" else "shared",
            merge=task.merge,
        )

    def _find_working_directory(self, cwd: str | None) -> str:
        whole = os.path.realpath(self._paths.whole(cwd or "."))
        relative = self._paths.relative(whole)
        return whole if relative is None else "" if relative == "." else relative

    def _passed(self, patterns: Iterable[str]) -> dict[str, str]:
        return {
            name: value
            for pattern in patterns
            for name, value in self._environ.items()
            if fnmatch.fnmatchcase(name, pattern) and name not in _NEVER_PASSED
        }

    def _request(self, task_id: str, file: PlanFile) -> PathRequest:
        refusal = f"The task {sanitize(task_id, 80)} wants to lock"
        return self._paths.request(file.path, file.mode, file.form, refusal)
