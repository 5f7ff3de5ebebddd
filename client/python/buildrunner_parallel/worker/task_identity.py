"""What a task is told of itself, commands and handlers alike. Imports little: handler hosts start with it."""

from __future__ import annotations

from typing import TypeAlias

Identity: TypeAlias = tuple[str, str, str, int, int, str]
"""Session id and name, task id, number of the attempt, its fence, its id."""


def task_identity(identity: Identity) -> dict[str, str]:
    """The variables by which a task, what it starts, and the SDK in it, know whose they are."""
    session_id, session_name, task_id, attempt, fence, attempt_id = identity
    return {
        "BR_SESSION_ID": session_id,
        "BR_SESSION_NAME": session_name,
        "BR_TASK_ID": task_id,
        "BR_ATTEMPT": str(attempt),
        "BR_ATTEMPT_ID": attempt_id,
        "BR_FENCE": str(fence),
    }
