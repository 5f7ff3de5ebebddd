"""What can be asked of the core. One dataclass a question; its handler says what it does.

`Core.apply(command, now)` returns the reply named in each docstring, or raises nothing: a refusal
is returned. A reply that must show the outcome of placement is given as a function without
arguments, to be called once the batch is placed (`Reply.settle`).
"""

from __future__ import annotations

from buildrunner_coordinator.domain.commands.locks import (
    AcquireLocks,
    FoldCase,
    ForceRelease,
    LeaveQueue,
    PreviewLocks,
    ReleaseLocks,
    RenewLease,
)
from buildrunner_coordinator.domain.commands.reading import (
    DrainAll,
    FindTask,
    ListLocks,
    ReadAll,
    ReadSummary,
)
from buildrunner_coordinator.domain.commands.sessions import (
    CancelSession,
    CloseSession,
    CompleteSession,
    CreateSession,
    DeleteSessions,
    FailSession,
    ListSessions,
    MarkFilesModified,
    PauseSession,
    ReadSession,
    ResumeSession,
    StartSession,
    UpdateProgress,
    UpdateSession,
)
from buildrunner_coordinator.domain.commands.tasks import (
    CancelTask,
    ExplainTasks,
    NewTask,
    PreviewPlan,
    RetryTasks,
    SubmitPlan,
    SubmitTasks,
)
from buildrunner_coordinator.domain.commands.workers import (
    AppendOutput,
    Audit,
    Chunk,
    Disconnected,
    DrainWorker,
    Finished,
    Heartbeat,
    Held,
    ListPools,
    ListWorkers,
    Progress,
    ReadWorker,
    Register,
    Revoked,
    SetCredit,
    SetPool,
    Started,
    Unregister,
    UpdateWorker,
    WorkerDied,
)
from buildrunner_coordinator.domain.model import TaskStatus

TASK_WAITING = (TaskStatus.BLOCKED, TaskStatus.QUEUED)
"""States in which no worker has the task."""

__all__ = [
    "TASK_WAITING",
    "Audit",
    "CreateSession",
    "ReadSession",
    "ListSessions",
    "StartSession",
    "PauseSession",
    "ResumeSession",
    "CancelSession",
    "CloseSession",
    "CompleteSession",
    "FailSession",
    "UpdateSession",
    "UpdateProgress",
    "MarkFilesModified",
    "DeleteSessions",
    "NewTask",
    "SubmitTasks",
    "SubmitPlan",
    "PreviewPlan",
    "CancelTask",
    "RetryTasks",
    "ExplainTasks",
    "Held",
    "Register",
    "Heartbeat",
    "SetCredit",
    "Started",
    "Progress",
    "Chunk",
    "Finished",
    "Revoked",
    "AppendOutput",
    "Disconnected",
    "Unregister",
    "WorkerDied",
    "DrainWorker",
    "UpdateWorker",
    "ReadWorker",
    "ListWorkers",
    "SetPool",
    "ListPools",
    "ListLocks",
    "AcquireLocks",
    "LeaveQueue",
    "ReleaseLocks",
    "RenewLease",
    "ForceRelease",
    "PreviewLocks",
    "FoldCase",
    "ReadSummary",
    "ReadAll",
    "DrainAll",
    "FindTask",
]
