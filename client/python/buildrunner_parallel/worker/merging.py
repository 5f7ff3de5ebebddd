"""An attempt's branch is merged into its session's branch without any checkout: tree, commit, reference.

Under the host's flock, and with the old value of the reference, so that no other merge is lost. Blocks: to be
called on threads.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from buildrunner_parallel.v1 import worker_service_pb2 as pb

from .git_calls import Answer, GitFailed, git
from .worktrees import OwnTree, host_lock

_TRIES = 5
_SHOWN_FILES = 10


class Merge(NamedTuple):
    """`error` is one line, empty when it is merged or there was nothing to merge."""

    outcome: pb.MergeOutcome.ValueType
    error: str = ""


def merge(tree: OwnTree, commit: str) -> Merge:
    """Merges `commit`, the end of the attempt's branch. Never raises; on a conflict nothing is changed."""
    if commit == tree.base:
        return Merge(pb.MERGE_OUTCOME_NOTHING)
    try:
        with host_lock(Path(tree.path).parent.parent):
            return _merge(tree, commit)
    except (GitFailed, OSError) as error:
        return Merge(pb.MERGE_OUTCOME_FAILED, f"cannot merge {tree.branch}: {error}")


def _merge(tree: OwnTree, commit: str) -> Merge:
    reference = f"refs/heads/{tree.session_branch}"
    if where := _checked_out_at(tree, reference):
        told = f"cannot merge {tree.branch}: {tree.session_branch} is checked out in {where}"
        return Merge(pb.MERGE_OUTCOME_FAILED, told)
    for left in reversed(range(_TRIES)):
        tip = _ask(tree, "rev-parse", "--verify", "--quiet", reference).text
        if tip and _is_ancestor(tree, commit, tip):
            return Merge(pb.MERGE_OUTCOME_NOTHING)
        merged = commit
        if tip and not _is_ancestor(tree, tip, commit):
            answer = _ask(
                tree, "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", tip, commit
            )
            files, *conflicts = answer.output.decode("utf-8", "backslashreplace").rstrip("\0").split("\0")
            if answer.code:
                return Merge(pb.MERGE_OUTCOME_CONFLICT, _conflict(tree, conflicts))
            words = ("-m", f"Merge {tree.task_id}, attempt {tree.number}")
            merged = _ask(tree, "commit-tree", "-p", tip, "-p", commit, *words, files).text
        try:
            git(tree.common_dir, "update-ref", reference, merged, tip or "0" * len(commit))
            return Merge(pb.MERGE_OUTCOME_MERGED)
        except GitFailed:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def _ask(tree: OwnTree, *arguments: str) -> Answer:
    return git(tree.common_dir, f"--git-dir={tree.common_dir}", *arguments, accept=(0, 1))


def _is_ancestor(tree: OwnTree, older: str, newer: str) -> bool:
    return _ask(tree, "merge-base", "--is-ancestor", older, newer).code == 0


def _checked_out_at(tree: OwnTree, reference: str) -> str:
    """Where somebody has the session's branch checked out: if it moved, their checkout would look changed."""
    where = ""
    for line in _ask(tree, "worktree", "list", "--porcelain", "-z").output.split(b"\0"):
        if line.startswith(b"worktree "):
            where = line[9:].decode("utf-8", "backslashreplace")
        elif line == f"branch {reference}".encode():
            return where
    return ""


def _conflict(tree: OwnTree, conflicts: list[str]) -> str:
    names = list(dict.fromkeys(filter(None, conflicts)))
    more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    shown = ", ".join(names[:_SHOWN_FILES]) + more
    return f"cannot merge {tree.branch} into {tree.session_branch}: both changed {shown}"
