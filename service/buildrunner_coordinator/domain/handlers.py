"""Which function answers which command: one line a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from buildrunner_coordinator.domain import cleaning, previews, reading, reports, sessions, tasks, workers
from buildrunner_coordinator.domain import commands as c

HANDLERS: Final[dict[type, Callable[..., Any]]] = {
    c.CreateSession: sessions.create_session,
    c.ReadSession: sessions.read_session,
    c.ListSessions: sessions.list_sessions,
    c.StartSession: sessions.start_session,
    c.PauseSession: sessions.pause_session,
    c.ResumeSession: sessions.resume_session,
    c.CancelSession: sessions.cancel_session,
    c.CloseSession: sessions.close_session,
    c.CompleteSession: sessions.complete_session,
    c.FailSession: sessions.fail_session,
    c.UpdateSession: sessions.update_session,
    c.UpdateProgress: sessions.update_progress,
    c.MarkFilesModified: sessions.mark_files_modified,
    c.DeleteSessions: cleaning.delete_sessions,
    c.SubmitTasks: tasks.submit_tasks,
    c.SubmitPlan: tasks.submit_plan,
    c.PreviewPlan: previews.preview_plan,
    c.CancelTask: tasks.cancel_task,
    c.RetryTasks: tasks.retry_tasks,
    c.FindTask: tasks.find_task,
    c.ExplainTasks: reading.explain_tasks,
    c.Register: workers.register,
    c.Heartbeat: workers.heartbeat,
    c.SetCredit: workers.set_credit,
    c.Disconnected: workers.disconnected,
    c.Unregister: workers.unregister,
    c.WorkerDied: workers.worker_died,
    c.DrainWorker: workers.drain_worker,
    c.DrainAll: workers.drain_all,
    c.UpdateWorker: workers.update_worker,
    c.ReadWorker: workers.read_worker,
    c.ListWorkers: workers.list_workers,
    c.SetPool: workers.set_pool,
    c.ListPools: workers.list_pools,
    c.Started: reports.started,
    c.Progress: reports.progress,
    c.Finished: reports.finished,
    c.Revoked: reports.revoked,
    c.AppendOutput: reports.append_output,
    c.ListLocks: reading.list_locks,
    c.ReadSummary: reading.read_summary,
    c.ReadAll: reading.read_all,
}
