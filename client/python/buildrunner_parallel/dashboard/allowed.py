"""What a key cannot do to a session or task in its present state, and why: told instead of asked. Pure.

The coordinator has the last word: of what is not known here nothing is refused.
"""

from __future__ import annotations

from typing import Literal

from buildrunner_parallel.records import Session, TaskSummary

from .cells import clean

Verb = Literal["pause", "resume", "cancel", "retry"]

_OVER_TASK = {
    "succeeded": "has already succeeded", "failed": "has already failed",
    "cancelled": "was already cancelled", "skipped": "was already skipped",
}  # fmt: skip
_OVER_SESSION = {
    "completed": "has already completed", "failed": "has already failed",
    "cancelled": "was already cancelled",
}  # fmt: skip
_AGAIN = "only what failed, was cancelled or was skipped can run again"


def refusal(verb: Verb, session: Session | None, task: TaskSummary | None) -> str:
    """The sentence; empty where nothing speaks against it. With `task` the verb is for that task alone."""
    if task is not None:
        return _of_task(verb, session, task)
    return _of_session(verb, session) if session is not None else ""


def _of_task(verb: Verb, session: Session | None, task: TaskSummary) -> str:
    word = task.status.value
    name = f"Task {clean(task.task_id)}"
    if verb == "cancel":
        if task.is_over:
            return f"{name} {_OVER_TASK[word]}" + ("; t tries it again" if word == "failed" else "")
        return f"{name} is being stopped already" if word == "cancelling" else ""
    if verb != "retry":
        return ""
    if word == "succeeded":
        return f"{name} has already succeeded: {_AGAIN}"
    if not task.is_over:
        return f"{name} is {'being stopped' if word == 'cancelling' else word}: {_AGAIN}"
    return _of_session(verb, session) if session is not None else ""


def _of_session(verb: Verb, session: Session) -> str:
    word = session.status.value
    name = f"Session {session.session_id} ({clean(session.name)})"
    if session.cancelling and not session.is_over:
        return f"{name} is being cancelled already" if verb == "cancel" else f"{name} is being cancelled"
    if verb == "retry":
        return _retry(session, name)
    if session.is_over:
        again = "; t runs again what did not succeed" if word == "failed" else ""
        return f"{name} {_OVER_SESSION[word]}{again}"
    if verb == "pause" and word != "running":
        return f"{name} is paused already; r resumes it" if word == "paused" else f"{name} is not started yet"
    return f"{name} is running already" if verb == "resume" and word == "running" else ""


def _retry(session: Session, name: str) -> str:
    counts = session.counts
    if session.status.value == "cancelled":
        return f"{name} was cancelled: nothing of it can run again"
    if not counts.failed + counts.cancelled + counts.skipped:
        return f"{name} has nothing to run again: {_AGAIN}"
    return ""
