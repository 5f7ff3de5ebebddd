"""What a plan expects of this machine: programs that exist, working directories that are there.

Reads the file system and nothing else. Shell lines are not looked into; a path that a task's needs may
still make (one with a directory in it) is left for the worker to find.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from buildrunner_parallel.text import sanitize

from .errors import Problem, describe
from .model import Plan, PlanTask


class Machine:
    """Answers, remembering what it has already looked up, for plans submitted from `directory`."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._environ = environ
        self._programs: dict[tuple[str, Path | None, str], str] = {}
        self._directories: dict[Path, str] = {}

    def problems(self, plan: Plan) -> list[Problem]:
        """What is missing: at most one problem a task of the file."""
        found: dict[int, Problem] = {}
        for task in plan.tasks:
            if task.index not in found:
                problem = self._problem(task)
                if problem:
                    found[task.index] = problem
        return list(found.values())

    def _problem(self, task: PlanTask) -> Problem | None:
        cwd = self._directory / task.cwd if task.cwd else self._directory
        fault = self._directory_fault(cwd)
        if fault:
            if task.needs and not _is_something(cwd):
                return None
            return Problem(
                ("tasks", task.index, "cwd"), f"expected a directory, found {describe(task.cwd)}, {fault}"
            )
        if not task.argv or (task.needs and os.sep in task.argv[0]):
            return None
        path = task.env.get("PATH", self._environ.get("PATH", os.defpath))
        fault = self._program_fault(task.argv[0], cwd, path)
        if not fault:
            return None
        message = f"expected a program, found {describe(task.argv[0])}, {fault}"
        return Problem(("tasks", task.index, "argv", 0), message)

    def _directory_fault(self, cwd: Path) -> str:
        if cwd not in self._directories:
            absent = "which is not a directory" if _is_something(cwd) else "which is not there"
            self._directories[cwd] = "" if cwd.is_dir() else absent
        return self._directories[cwd]

    def _program_fault(self, program: str, cwd: Path, path: str) -> str:
        key = (program, cwd if os.sep in program else None, path)
        if key not in self._programs:
            self._programs[key] = _look_for(program, cwd, path)
        return self._programs[key]


def _look_for(program: str, cwd: Path, path: str) -> str:
    if os.sep not in program:
        return "" if shutil.which(program, path=path) else "which is not on PATH"
    whole = cwd / program
    if not whole.exists():
        return f"which is not there (looked in {sanitize(str(cwd))})"
    if whole.is_dir():
        return "which is a directory"
    return "" if os.access(whole, os.X_OK) else "which is not executable (chmod +x)"


def _is_something(path: Path) -> bool:
    return path.exists() or path.is_symlink()
