"""Commands about tasks."""

from __future__ import annotations

from dataclasses import dataclass

from buildrunner_coordinator.domain.changes import SpecRow, TaskRow
from buildrunner_coordinator.domain.commands.sessions import CreateSession
from buildrunner_coordinator.domain.model import PathRequest, Traits


@dataclass(slots=True)
class NewTask:
    """A task as submitted. `spec` is kept and handed to the worker unchanged."""

    task_id: str
    title: str
    spec: bytes
    traits: Traits = Traits()
    needs: tuple[str, ...] = ()
    files: tuple[PathRequest, ...] = ()


@dataclass(slots=True)
class SubmitTasks:
    """Replies Submitted. All or none."""

    session_id: str
    tasks: tuple[NewTask, ...]
    seal: bool = False
    summaries: bool = True
    """False: the reply names no tasks (large plans)."""


@dataclass(slots=True)
class SubmitPlan:
    """Replies Submitted. Creates the session (unless `session_id` is given), fills, seals and starts it."""

    tasks: tuple[NewTask, ...]
    session_id: str = ""
    create: CreateSession | None = None
    seal: bool = True
    start: bool = True


@dataclass(slots=True)
class PreviewPlan:
    """Replies PlanLook, or the refusal that SubmitPlan would get. Keeps nothing."""

    tasks: tuple[NewTask, ...]
    session_id: str = ""
    """Empty: the plan would get a session of its own."""


@dataclass(slots=True)
class CancelTask:
    """Replies TaskView."""

    session_id: str
    task_id: str
    reason: str = ""


@dataclass(slots=True)
class RetryTasks:
    """Replies Retried.

    `stored` are the tasks of the session that are over, as the store has them; the core takes those
    that are asked for (`task_ids`; empty: all that failed, were skipped or cancelled).
    """

    session_id: str
    stored: tuple[tuple[SpecRow, TaskRow], ...]
    task_ids: tuple[str, ...] = ()
    run: int = 0
    """The session's run before `stored` was read; 0: whatever it is."""


@dataclass(slots=True)
class AwaitRetry:
    """Replies Retried, with what is still to do. `revived` is what RetryTasks said."""

    session_id: str
    revived: int


@dataclass(slots=True)
class ExplainTasks:
    """Replies list[tuple[TaskView, list[Wait]]] of tasks that are not over, in order of submission."""

    session_id: str
    task_id: str = ""
    after: int = 0
    limit: int = 1000
