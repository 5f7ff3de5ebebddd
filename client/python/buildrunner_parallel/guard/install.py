"""Putting the hooks in and taking them out again, so that nothing tells that they were there."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from buildrunner_parallel.errors import NotFoundError, RefusedError

from . import script
from .check import TOLD
from .git import answers, path_of

ABSENT, INSTALLED, CHANGED, FOREIGN = "absent", "installed", "changed", "foreign"
_MADE = "made-by-br-guard"
"""A file in a folder of hooks that there was not before: how many folders were made for it."""
_DISPLACED = (".legacy", ".old")
"""Where other tools put a hook that was there before theirs."""
_OWN_NAME = re.compile(rb"""basename[ ("']*\$\{?0\b|\$\{0##|basename\(sys\.argv\[0\]""")


@dataclass(frozen=True)
class HookState:
    """One hook: `changed` is one of ours that somebody has edited, or put another in front of; `foreign` one
    that husky manages, which is never touched."""

    name: str
    path: Path
    state: str
    strict: bool = False
    chained: bool = False
    """A hook that was there before is run first."""


def hooks_folder(cwd: Path | None = None) -> Path:
    """Where git looks for hooks.

    Raises NotFoundError outside of a repository, RefusedError when other repositories share the folder, or
    when there can be none.
    """
    if answers("rev-parse", "--git-dir", cwd=cwd) is None:
        raise NotFoundError("this is no git repository: guards are git hooks")
    scope = answers("config", "--show-scope", "--get", "core.hooksPath", cwd=cwd)
    if scope is not None and scope.split(b"\t")[0] in (b"global", b"system"):
        own = path_of("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=cwd) / "hooks"
        raise RefusedError(
            "core.hooksPath is set for all of your repositories; give this one hooks of its own first, which "
            f"then are the only ones here: git config core.hooksPath {own}"
        )
    folder = path_of("rev-parse", "--path-format=absolute", "--git-path", "hooks", cwd=cwd)
    if os.path.lexists(folder) and not folder.is_dir():
        raise RefusedError(f"git looks for hooks in {folder}, no directory: hooks are turned off here")
    return folder


def others_without(cwd: Path | None = None) -> list[Path]:
    """Other worktrees of the repository that do not look into this folder of hooks: a core.hooksPath that is
    relative leads somewhere else from each."""
    configured = answers("config", "--type=path", "--get", "core.hooksPath", cwd=cwd)
    if configured is None or configured.startswith(b"/"):
        return []
    here = hooks_folder(cwd).resolve()
    listed = answers("worktree", "list", "--porcelain", "-z", cwd=cwd) or b""
    found = (line.removeprefix(b"worktree ") for line in listed.split(b"\0") if line.startswith(b"worktree "))
    tail = os.fsdecode(configured.removesuffix(b"\n"))
    places = [Path(os.fsdecode(one)) for one in found]
    return [one for one in places if one.is_dir() and (one / tail).resolve() != here]


def look(cwd: Path | None = None) -> list[HookState]:
    folder = hooks_folder(cwd)
    return [_look_at(folder / name) for name in script.HOOKS]


def install(cwd: Path | None = None, *, strict: bool = False) -> list[HookState]:
    """Both hooks, around those that are there; again it brings ours up to date. All or none.

    Raises RefusedError for a hook that is part of the repository, or of ours that somebody has changed.
    """
    folder = hooks_folder(cwd)
    with _alone(cwd):
        states = [_look_at(folder / name) for name in script.HOOKS]
        for one in states:
            _refuse_foreign(one, cwd)
        if not folder.is_dir():
            _make(folder)
        for one in states:
            if one.state != FOREIGN:
                _put(one, script.text(one.name, sys.executable, strict=strict))
        return [_look_at(one.path) for one in states]


def remove(cwd: Path | None = None) -> list[str]:
    """Takes ours out and puts back what was there before; the names of those that were.

    Raises RefusedError, having changed nothing, for one of ours that somebody has changed.
    """
    folder = hooks_folder(cwd)
    with _alone(cwd):
        taken = _take_out([_look_at(folder / name) for name in script.HOOKS])
        _unmake(folder)
        _forget_warnings(cwd)
    return [one.name for one in taken]


def _take_out(states: Sequence[HookState]) -> list[HookState]:
    for one in states:
        if one.state == CHANGED:
            raise RefusedError(
                f"{one.path} was changed since the guard was installed: take the guard out by hand, and "
                f"rename {kept_path(one.path).name} back if it is there"
            )
        if one.state == ABSENT:
            kept_path(one.path).unlink(missing_ok=True)  # a second name of the hook itself, see _look_at
    taken = [one for one in states if one.state == INSTALLED]
    for one in taken:
        if one.chained:
            kept_path(one.path).replace(one.path)
        else:
            one.path.unlink()
    return taken


def kept_path(path: Path) -> Path:
    return path.with_name(path.name + script.KEPT_SUFFIX)


def _look_at(path: Path) -> HookState:
    kept = kept_path(path)
    content = _content(path)
    if script.is_ours(content):
        state = INSTALLED if script.is_whole(content) else CHANGED
        return HookState(path.name, path, state, script.is_strict(content), os.path.lexists(kept))
    if _is_same(path, kept):  # an installation that did not come to its end: nothing is lost
        return HookState(path.name, path, ABSENT)
    if os.path.lexists(kept) or any(script.is_ours(_content(one)) for one in _displaced(path)):
        return HookState(path.name, path, CHANGED, chained=os.path.lexists(kept))
    is_managed = path.parent.parts[-2:] == (".husky", "_") and os.path.lexists(path)
    return HookState(path.name, path, FOREIGN if is_managed else ABSENT)


def _displaced(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in _DISPLACED]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samestat(one.lstat(), other.lstat())
    except OSError:
        return False


def _refuse_foreign(one: HookState, cwd: Path | None) -> None:
    if one.state == CHANGED:
        raise RefusedError(
            f"{one.path} was changed since the guard was installed, or another hook was put in front of it; "
            f"put it in order by hand, or delete it and {kept_path(one.path).name}, then install again"
        )
    if one.state != ABSENT or not os.path.lexists(one.path):
        return
    real = one.path.parent.resolve() / one.name
    if answers("ls-files", "--error-unmatch", "--", str(real), cwd=cwd) is not None:
        raise RefusedError(
            f"{one.path} is part of the repository: add a call of {call_of(one)} to it yourself"
        )
    if _OWN_NAME.search(_content(one.path)):
        raise RefusedError(
            f"{one.path} goes by its own name, and would do something else under another: add a call of "
            f"{call_of(one)} to it yourself"
        )


def call_of(one: HookState) -> str:
    """What to write into a hook that is not ours, so that it guards too."""
    return f"`{sys.executable} -P -m buildrunner_parallel.guard {one.name} 0`"


def _make(folder: Path) -> None:
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True)
    (folder / _MADE).write_text(f"{len(missing)}\n")


def _unmake(folder: Path) -> None:
    """Takes away the folders that were made, unless somebody else uses them by now."""
    made = folder / _MADE
    if not made.exists():
        return
    count = int(made.read_text())
    made.unlink()
    with contextlib.suppress(OSError):
        for one in (folder, *folder.parents)[:count]:
            one.rmdir()


def _forget_warnings(cwd: Path | None) -> None:
    """What the hooks of commits left behind that were not finished, in any worktree."""
    common = path_of("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=cwd)
    for one in (common, *common.glob("worktrees/*")):
        (one / TOLD).unlink(missing_ok=True)


def _put(one: HookState, content: str) -> None:
    """Complete from the first moment on, and never without the hook from before: a commit may come at any
    time. Where a file cannot have two names it is renamed."""
    kept = kept_path(one.path)
    if one.state == ABSENT and os.path.lexists(one.path) and not os.path.lexists(kept):
        try:
            os.link(one.path, kept, follow_symlinks=False)
        except OSError:
            one.path.rename(kept)
    fresh = one.path.with_name(f"{one.path.name}.{os.getpid()}.new")
    fresh.write_text(content)
    fresh.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    fresh.replace(one.path)


@contextlib.contextmanager
def _alone(cwd: Path | None) -> Iterator[None]:
    """Two that install at once would each take the other's hook for one from before."""
    import fcntl

    common = path_of("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=cwd)
    descriptor = os.open(common, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
