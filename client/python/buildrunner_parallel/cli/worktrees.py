"""Worktrees and branches of isolated tasks, as far as this machine has them: where they are, what goes with a
deleted session."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Session, Task


def place_of(client: Client) -> Path | None:
    """Where worktrees of this workspace are made; None for a coordinator of elsewhere."""
    from buildrunner_parallel.worker.worktrees import FOLDER

    return client.workspace.state_dir / FOLDER if client.workspace is not None else None


def kept_trees(client: Client, task: Task) -> dict[int, str]:
    """By number of the attempt: the directories of its attempts that are still here."""
    from buildrunner_parallel.worker.worktrees import escaped

    place = place_of(client)
    if place is None or task.spec.isolation != "worktree":
        return {}
    folder = place / escaped(task.summary.session_id)
    found = {one.number: folder / one.branch.rpartition("/")[2] for one in task.attempts if one.branch}
    return {number: str(path) for number, path in found.items() if path.is_dir()}


def session_branch(session_id: str) -> str:
    """The branch that tasks of a session are merged into."""
    from buildrunner_parallel.worker import worktrees

    return worktrees.session_branch(session_id)


def has_branch(client: Client, session: Session) -> bool:
    """Whether work of the session's tasks was merged, in the repository that one stands in."""
    from buildrunner_parallel.worker.git_calls import GitFailed, git

    if client.workspace is None:
        return False
    name = f"refs/heads/{session_branch(session.session_id)}"
    try:
        return not git(
            str(client.workspace.worktree), "show-ref", "--verify", "--quiet", name, accept=(0, 1)
        ).code
    except GitFailed:
        return False


def clear_deleted(client: Client, sessions: Iterable[Session]) -> list[str]:
    """Removes the worktrees of sessions that were deleted, and their branches that were merged; the paths."""
    from buildrunner_parallel.worker import leftovers

    place = place_of(client)
    if place is None or not place.is_dir():
        return []
    return leftovers.clear(place, lambda _: True, {one.session_id for one in sessions})
