"""Putting the hooks in and taking them out again, so that nothing tells that they were there."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from buildrunner_parallel.errors import NotFoundError, RefusedError

from . import script
from .git import answers, git

ABSENT, INSTALLED, CHANGED = "absent", "installed", "changed"
_MADE = "made-by-br-guard"
"""A file in a folder of hooks that there was not before."""


@dataclass(frozen=True)
class HookState:
    """One hook: `changed` is one of ours that somebody has edited, or replaced while ours is put by."""

    name: str
    path: Path
    state: str
    strict: bool = False
    chained: bool = False
    """A hook that was there before is run first."""


def hooks_folder(cwd: Path | None = None) -> Path:
    """Where git looks for hooks, for all worktrees of the repository.

    Raises NotFoundError outside of a repository, RefusedError when other repositories share the folder.
    """
    if answers("rev-parse", "--git-dir", cwd=cwd) is None:
        raise NotFoundError("this is no git repository: guards are git hooks")
    scope = answers("config", "--show-scope", "--get", "core.hooksPath", cwd=cwd)
    if scope is not None and scope.split(b"\t")[0] in (b"global", b"system"):
        raise RefusedError(
            "core.hooksPath is set for all of your repositories; set it for this one first: "
            "git config core.hooksPath .git/hooks"
        )
    found = git("rev-parse", "--path-format=absolute", "--git-path", "hooks", cwd=cwd)
    return Path(os.fsdecode(found.rstrip(b"\n")))


def look(cwd: Path | None = None) -> list[HookState]:
    folder = hooks_folder(cwd)
    return [_look_at(folder / name) for name in script.HOOKS]


def install(cwd: Path | None = None, *, strict: bool = False) -> list[HookState]:
    """Both hooks, around those that are there; again it brings ours up to date. All or none.

    Raises RefusedError for a hook that is part of the repository, or of ours that somebody has changed.
    """
    folder = hooks_folder(cwd)
    states = [_look_at(folder / name) for name in script.HOOKS]
    for one in states:
        _refuse_foreign(one, cwd)
    if not folder.is_dir():
        folder.mkdir(parents=True)
        (folder / _MADE).touch()
    for one in states:
        if one.state == ABSENT and os.path.lexists(one.path):
            one.path.rename(kept_path(one.path))
        _write(one.path, script.text(one.name, sys.executable, strict=strict))
    return [_look_at(one.path) for one in states]


def remove(cwd: Path | None = None) -> list[HookState]:
    """Takes ours out and puts back what was there before; those that were, as they were.

    Raises RefusedError, having changed nothing, for one of ours that somebody has changed.
    """
    folder = hooks_folder(cwd)
    states = [_look_at(folder / name) for name in script.HOOKS]
    for one in states:
        if one.state == CHANGED:
            raise RefusedError(
                f"{one.path} was changed since the guard was installed: take the guard out by hand, and "
                f"rename {kept_path(one.path).name} back if it is there"
            )
    taken = [one for one in states if one.state == INSTALLED]
    for one in taken:
        one.path.unlink()
        if one.chained:
            kept_path(one.path).rename(one.path)
    if (folder / _MADE).exists():
        (folder / _MADE).unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()
    return taken


def kept_path(path: Path) -> Path:
    return path.with_name(path.name + script.KEPT_SUFFIX)


def _look_at(path: Path) -> HookState:
    chained = os.path.lexists(kept_path(path))
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    if not script.is_ours(content):
        return HookState(path.name, path, CHANGED if chained else ABSENT, chained=chained)
    strict = script.is_strict(content)
    python = _python_of(content)
    is_whole = content == script.text(path.name, python, strict=strict).encode()
    return HookState(path.name, path, INSTALLED if is_whole else CHANGED, strict, chained)


def _python_of(content: bytes) -> str:
    import shlex

    for line in content.decode(errors="replace").splitlines():
        if line.startswith("python="):
            with contextlib.suppress(ValueError):
                return "".join(shlex.split(line.removeprefix("python=")))
    return ""


def _refuse_foreign(one: HookState, cwd: Path | None) -> None:
    if one.state == CHANGED:
        raise RefusedError(
            f"{one.path} was changed since the guard was installed; put it in order by hand, or delete it "
            f"and {kept_path(one.path).name}, then install again"
        )
    if answers("ls-files", "--error-unmatch", "--", str(one.path), cwd=cwd) is not None:
        raise RefusedError(
            f"{one.path} is part of the repository: add a call of "
            f"`{sys.executable} -P -m buildrunner_parallel.guard {one.name} 0` to it yourself"
        )


def _write(path: Path, content: str) -> None:
    """Complete from the first moment on: a commit may come at any time."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.write_text(content)
    fresh.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    fresh.replace(path)
