"""The task of a line: a shell line of its own, or an argument put into a command template.

Pure: what a template means, and the records it makes. Nothing is read or sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from buildrunner_parallel.errors import InvalidRequestError

if TYPE_CHECKING:
    from buildrunner_parallel.plan import PlanTask
    from buildrunner_parallel.specs import TaskSpec

    from .submission import Submitter

_PLACEHOLDER = re.compile(r"\{(?:#|\.|//|/\.|/|)\}")


def fill(text: str, argument: str, number: int) -> str:
    """`text` with the placeholders of GNU parallel filled in.

    `{}` is the argument, `{.}` without its ending, `{/}` its last part, `{//}` its directory, `{/.}` its
    last part without ending, `{#}` the task's number.
    """

    def value(match: re.Match[str]) -> str:
        kind = match.group()[1:-1]
        if kind == "#":
            return str(number)
        if kind == "//":
            return _directory(argument)
        name = argument.rstrip("/").rpartition("/")[2] if kind.startswith("/") else argument
        return _without_ending(name) if kind.endswith(".") else name

    return _PLACEHOLDER.sub(value, text)


def _directory(path: str) -> str:
    head, slash, _ = path.rstrip("/").rpartition("/")
    return head or ("/" if slash else ".")


def _without_ending(path: str) -> str:
    """`a/b.tar` of `a/b.tar.gz`; a name that only begins with a point has no ending."""
    directory, slash, name = path.rpartition("/")
    stem, point, _ = name.rpartition(".")
    return f"{directory}{slash}{stem}" if point and stem else path


def has_placeholder(text: str) -> bool:
    """Whether something of each line is to be put into `text`."""
    return _PLACEHOLDER.search(text) is not None


class LineTasks:
    """Makes the task of each line from what all have in common.

    Without `words` the line is a command for the shell. With them it is an argument, filled into the
    words, and into the paths, variables and directory of the tasks; where no word has a place for it, it
    becomes the last one.
    """

    def __init__(self, submitter: Submitter, words: tuple[str, ...], common: PlanTask, prefix: str) -> None:
        self._submitter = submitter
        self._words = words if any(map(has_placeholder, words)) or not words else (*words, "{}")
        self._common = common
        self._prefix = prefix
        told = (*(file.path for file in common.files), *common.env.values(), common.cwd or "")
        self._varies = bool(words) and any(map(has_placeholder, told))
        # What lines do not change is looked up once: directories, passed variables, paths.
        self._fixed = None if self._varies else submitter.spec(replace(common, run="x"))

    def spec(self, line: str, number: int) -> TaskSpec:
        """The task of the `number`th line. Raises InvalidRequestError for one that cannot run."""
        task_id = f"{self._prefix}{number}"
        argv = tuple(fill(word, line, number) for word in self._words)
        if self._words and not argv[0].strip():
            raise InvalidRequestError(f"task {task_id}: its program is empty; the argument is {line!r}")
        shell_line = "" if self._words else line
        if self._fixed is not None:
            return replace(self._fixed, task_id=task_id, argv=argv, shell_line=shell_line)
        return replace(self._submitter.spec(self._filled(task_id, line, number)), argv=argv, shell_line="")

    def probe(self) -> PlanTask:
        """A task with what is the same for all, to see whether it can run on this machine."""
        program = self._words[:1] if not any(map(has_placeholder, self._words[:1])) else ()
        common = self._common
        cwd = None if has_placeholder(common.cwd or "") and self._words else common.cwd
        return replace(common, cwd=cwd, argv=program, run=None if program else "x")

    def _filled(self, task_id: str, line: str, number: int) -> PlanTask:
        common = self._common
        env: Mapping[str, str] = {name: fill(value, line, number) for name, value in common.env.items()}
        files = tuple(replace(file, path=fill(file.path, line, number)) for file in common.files)
        if not all(file.path for file in files):
            raise InvalidRequestError(f"task {task_id}: a path to lock is empty; the argument is {line!r}")
        cwd = fill(common.cwd, line, number) if common.cwd else None
        return replace(common, task_id=task_id, run="x", env=env, files=files, cwd=cwd)
