"""Worktrees that nobody uses any more: those of workers that died, and those of sessions that are gone.

What was not committed in them goes to their branches first. Nothing of a worker that lives is touched: it
holds its owner's file. Blocks: to be called on threads.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from . import reaper
from .git_calls import GitFailed, git
from .worktrees import (
    REPOSITORY_FILE,
    Owner,
    OwnTree,
    host_lock,
    read_record,
    remove,
    seal,
    session_branch,
)

_log = logging.getLogger(__name__)


def clear(place: Path, is_gone: Callable[[str], bool], session_ids: set[str] | None = None) -> list[str]:
    """Clears up below `place`, of all sessions or of those named; the paths of the worktrees that went.

    `is_gone` tells of a session id whether its session was deleted.
    """
    removed: list[str] = []
    for folder in sorted(one for one in place.glob("*/") if one.is_dir()):
        session_id = _session_of(folder)
        if session_ids is not None and session_id not in session_ids:
            continue
        gone = is_gone(session_id)
        for path in sorted(folder.glob("*.json")):
            tree = read_record(path)
            if tree is not None and (gone or not tree.is_kept) and _clear(tree):
                removed.append(tree.path)
        if gone:
            _forget(place, folder, session_id)
    return removed


def _session_of(folder: Path) -> str:
    """Its id; the folder's name is that, escaped."""
    for path in folder.glob("*.json"):
        tree = read_record(path)
        if tree is not None:
            return tree.session_id
    return folder.name


def _clear(tree: OwnTree) -> bool:
    """Whether it went. Not while its worker, or a process of its attempt, is there."""
    owner = Owner(tree)
    if not owner.take():
        return False
    try:
        if reaper.find_marked(f"BR_FENCE={tree.fence}"):
            return False
        commit = seal(tree) if os.path.isdir(tree.path) and os.path.isdir(tree.common_dir) else ""
        remove(tree, owner, keep_branch=commit != tree.base)
    except (GitFailed, OSError) as error:
        _log.warning("the worktree %s stays for now: %s", tree.path, error)
        return False
    finally:
        owner.release()
    _log.info("removed the worktree %s; what it had is on %s", tree.path, tree.branch)
    return True


def _forget(place: Path, folder: Path, session_id: str) -> None:
    """The rest of a session that is gone: branches whose work is on the session's, and its folder."""
    if any(folder.glob("*.json")):
        return
    try:
        common_dir = (folder / REPOSITORY_FILE).read_text(errors="surrogateescape")
        with host_lock(place):
            if os.path.isdir(common_dir):
                _delete_merged(common_dir, session_branch(session_id))
            shutil.rmtree(folder, ignore_errors=True)
    except FileNotFoundError:
        return
    except (GitFailed, OSError) as error:
        _log.warning("the branches of session %s stay for now: %s", session_id, error)


def _delete_merged(common_dir: str, branch: str) -> None:
    place = f"--git-dir={common_dir}"
    mine = f"refs/heads/{branch}"
    if git(common_dir, place, "rev-parse", "--verify", "--quiet", mine, accept=(0, 1)).code:
        return
    listing = ("for-each-ref", "--format=%(refname)", "--merged", mine, f"{mine.rpartition('/')[0]}/")
    for reference in git(common_dir, place, *listing).text.splitlines():
        if reference != mine:
            git(common_dir, place, "update-ref", "-d", reference)
