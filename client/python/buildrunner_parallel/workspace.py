"""Which workspace a directory belongs to: one repository with all its git worktrees, or a directory.

Reads a few small files and never runs git. Nothing is created here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

STATE_DIRECTORY = ".buildrunner"


@dataclass(frozen=True, slots=True)
class Workspace:
    """`root` is the main worktree's root (or the directory itself without git), `worktree` the checkout
    that the caller is in, `state_dir` where the local coordinator keeps its state, `directory` where the
    caller is below the worktree ("/"-separated, empty at its root)."""

    root: Path
    worktree: Path
    state_dir: Path
    directory: str = ""

    @property
    def has_state(self) -> bool:
        """Whether a coordinator has ever run here."""
        return any((self.state_dir / name).exists() for name in ("state.db", "coordinator.json"))


def find_workspace(cwd: Path | None = None) -> Workspace:
    """The workspace of `cwd` (default: the current directory). BR_STATE_DIR overrides its state_dir."""
    start = Path(os.path.realpath(cwd if cwd is not None else Path.cwd()))
    worktree = _checkout_of(start) or _directory_with_state(start) or start
    root = _main_worktree(worktree)
    told = os.environ.get("BR_STATE_DIR")
    state_dir = Path(os.path.abspath(told)) if told else root / STATE_DIRECTORY
    below = start.relative_to(worktree).as_posix()
    return Workspace(root, worktree, state_dir, "" if below == "." else below)


def ignores_case(workspace: Workspace) -> bool:
    """The file system of the caller's checkout does not tell names apart by their case."""
    known, other = workspace.worktree / ".git", workspace.worktree / ".GIT"
    try:
        return other.exists() and other.samefile(known)
    except OSError:
        return False


def _checkout_of(start: Path) -> Path | None:
    for directory in (start, *start.parents):
        if (directory / ".git").exists():
            return directory
    return None


def _directory_with_state(start: Path) -> Path | None:
    for directory in (start, *start.parents):
        if (directory / STATE_DIRECTORY).is_dir():
            return directory
    return None


def _main_worktree(worktree: Path) -> Path:
    """The root shared by all worktrees of the repository that `worktree` is a checkout of."""
    git = worktree / ".git"
    if not git.is_file():
        return worktree
    git_directory = _linked(git, "gitdir:")
    common = _linked(git_directory / "commondir", "") if git_directory is not None else None
    if common is None or not common.is_dir():
        # A submodule or a separate git directory: its own main worktree.
        return worktree
    # The worktrees of a bare repository share that repository's own directory.
    return common.parent if common.name == ".git" else common


def _linked(file: Path, prefix: str) -> Path | None:
    """The path that `file` names, relative to where `file` is."""
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return None
    if not text.startswith(prefix):
        return None
    return Path(os.path.realpath(file.parent / text.removeprefix(prefix).strip()))
