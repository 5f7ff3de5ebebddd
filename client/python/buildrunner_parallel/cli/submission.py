"""A plan's tasks as the SDK's task records: directories, environment and lock paths of this machine put in.

Looks at the file system to tell files from directories; sends nothing.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from buildrunner_parallel.errors import InvalidRequestError
from buildrunner_parallel.text import sanitize

if TYPE_CHECKING:
    from buildrunner_parallel.plan import PlanFile, PlanTask
    from buildrunner_parallel.specs import PathRequest, TaskSpec

RESOURCE_PREFIX = "res:"
_WILD = re.compile(r"[*?\[{]")
_NEVER_PASSED = frozenset(("BR_TOKEN",))


class Submitter:
    """Where a submission comes from: the directory, its worktree, the environment."""

    def __init__(self, directory: Path, worktree: Path | None, environ: Mapping[str, str]) -> None:
        self._directory = os.path.realpath(directory)
        self._worktree = os.path.realpath(worktree) if worktree else self._directory
        self._environ = environ
        # Plans have thousands of paths in a few directories.
        self._real_directory = functools.cache(os.path.realpath)
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
        )

    def _find_working_directory(self, cwd: str | None) -> str:
        whole = os.path.realpath(self._whole(cwd or "."))
        relative = self._relative(whole)
        return whole if relative is None else "" if relative == "." else relative

    def _whole(self, path: str) -> str:
        return path if path.startswith("/") else f"{self._directory}/{path}"

    def _relative(self, whole: str) -> str | None:
        """The path from the repository's root, None for one outside."""
        root = self._worktree.rstrip("/") + "/"
        if whole == self._worktree:
            return "."
        return whole.removeprefix(root) if whole.startswith(root) else None

    def _passed(self, patterns: Iterable[str]) -> dict[str, str]:
        return {
            name: value
            for pattern in patterns
            for name, value in self._environ.items()
            if fnmatch.fnmatchcase(name, pattern) and name not in _NEVER_PASSED
        }

    def _request(self, task_id: str, file: PlanFile) -> PathRequest:
        from buildrunner_parallel.specs import PathRequest

        if file.path.startswith(RESOURCE_PREFIX) and file.form == "auto":
            return PathRequest(file.path, file.mode, "resource")
        whole = self._whole(file.path)
        wild = file.form == "glob" or (file.form == "auto" and _WILD.search(file.path) is not None)
        if wild and (file.form == "glob" or not os.path.lexists(whole)):
            return PathRequest(self._inside(task_id, file.path, os.path.normpath(whole)), file.mode, "glob")
        is_tree = file.path.endswith("/") or Path(whole).is_dir()
        path = self._inside(task_id, file.path, self._real(whole))
        return PathRequest(path, file.mode, "tree" if is_tree else "file")

    def _real(self, whole: str) -> str:
        """`whole` with all links on the way resolved, as realpath does, its directory looked up once."""
        parent, _, name = whole.rstrip("/").rpartition("/")
        if not name or name in (".", "..") or Path(whole.rstrip("/")).is_symlink():
            return os.path.realpath(whole)
        return f"{self._real_directory(parent or '/').rstrip('/')}/{name}"

    def _inside(self, task_id: str, written: str, whole: str) -> str:
        relative = self._relative(whole)
        if relative is not None:
            return relative
        raise InvalidRequestError(
            f'The task {sanitize(task_id, 80)} wants to lock "{sanitize(written, 200)}", which is outside '
            f"the repository {self._worktree}; locks are for paths inside it, or names such as res:database."
        )
