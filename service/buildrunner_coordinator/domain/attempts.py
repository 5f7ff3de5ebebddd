"""The life of an attempt: assigned, started, told to stop, ended, lost.

Whatever ends an attempt passes through `end`: it writes the attempt's row, frees the worker's slots
and the locks. What becomes of the task is decided by the caller, through the state table.
"""

from __future__ import annotations

from buildrunner_coordinator.domain import audits, grants, history, ids, outputs, requesting, waiting
from buildrunner_coordinator.domain.audits import UNSEEN, Verdict
from buildrunner_coordinator.domain.changes import AttemptRow, PatchRow
from buildrunner_coordinator.domain.codec import texts_json
from buildrunner_coordinator.domain.commands import Audit, Finished
from buildrunner_coordinator.domain.endings import cancel_now, fail
from buildrunner_coordinator.domain.model import Attempt, Lapse, Merge, Outcome, Task, TaskKind, Time, Worker
from buildrunner_coordinator.domain.moves import move_task, move_worker
from buildrunner_coordinator.domain.replies import Assign, Revoke, Stop
from buildrunner_coordinator.domain.state import State
from buildrunner_coordinator.domain.timers import Timer


def assign(core: State, task: Task, worker: Worker, now: Time) -> None:
    """Gives the task to the worker, under a new number and fence, with all its locks."""
    fence = core.next_fence
    core.next_fence += 1
    task.attempts += 1
    attempt = Attempt(
        ids.attempt_id(fence), task.session_id, task.task_id, task.attempts, fence, worker.worker_id,
        worker.host, worker.generation, now.wall_us, now.us, task.number, core.revision + 1,
    )  # fmt: skip
    task.attempt = attempt
    task.worker_id, task.fence = worker.worker_id, fence
    task.started_at_us = task.ended_at_us = task.pid = 0
    task.outcome, task.exit_code, task.error, task.reason = None, None, "", ""
    task.progress_percent, task.progress_message = 0.0, ""
    move_task(core, task, "assign")
    core.attempts[attempt.attempt_id] = task
    worker.attempts[attempt.attempt_id] = attempt
    worker.slots_taken += task.traits.slots
    core.sessions[task.session_id].slots_taken += task.traits.slots
    if len(worker.attempts) == 1:
        move_worker(core, worker, "take")
    if task.files:
        waiting.hold(core, task, attempt)
    core.queue.unstarted += 1
    if worker.is_passive:
        start(core, task, 0, now.wall_us, 0)
    else:
        send_assignment(core, task)


def send_assignment(core: State, task: Task) -> None:
    attempt = task.attempt
    assert attempt is not None
    session = core.sessions[task.session_id]
    core.send(attempt.worker_id, Assign(attempt.attempt_id, attempt.fence, task.session_id, session.name,
                                        attempt.number, task.spec, attempt.generation))  # fmt: skip


def start(core: State, task: Task, pid: int, started_at_us: int, slot: int) -> None:
    """The worker says that it runs. A repetition changes nothing."""
    attempt = task.attempt
    assert attempt is not None
    if attempt.started:
        return
    attempt.started_at_us = task.started_at_us = max(started_at_us, 1)
    attempt.started_revision = core.revision + 1
    attempt.pid = task.pid = pid
    attempt.slot = slot
    attempt.revoking = False
    core.queue.unstarted -= 1
    core.journal.tasks[task.index] = task
    move_task(core, task, "start")


def revoke(core: State, attempt: Attempt, why: str = "") -> None:
    """Asks for an assignment back. It costs nothing, and comes too late if it has started."""
    if not attempt.started and not attempt.revoking and attempt.stop_as is None:
        attempt.revoking = True
        attempt.asked_why = why
        core.send(attempt.worker_id, Revoke(attempt.attempt_id, attempt.fence))


def stop(core: State, task: Task, outcome: Outcome, reason: str, now: Time) -> None:
    """Tells a live attempt to end. An order to cancel outweighs an earlier one to give back."""
    attempt = task.attempt
    if attempt is None or attempt.stop_as in (outcome, Outcome.CANCELLED, Outcome.LOCK_LOST):
        return
    attempt.stop_as, attempt.stop_reason = outcome, reason
    core.journal.tasks[task.index] = task
    move_task(core, task, "stop")
    _note_stop(core, task, outcome, reason)
    core.send(attempt.worker_id, Stop(attempt.attempt_id, attempt.fence, outcome, reason))
    if task.traits.kind is TaskKind.EXTERNAL:
        end(core, task, now, outcome, error=reason)
        after_ordered_stop(core, task, outcome, reason, now)


def end(
    core: State, task: Task, now: Time, outcome: Outcome, *, report: Finished | None = None, error: str = "",
    keep_locks_us: int = 0, verdict: Verdict = UNSEEN,
) -> Attempt:  # fmt: skip
    """Closes the live attempt, with the `verdict` of its audit. With `keep_locks_us` its locks stay held.

    One that was given back before it started leaves no trace but a fence that is not used again.
    """
    attempt = task.attempt
    assert attempt is not None
    if report is not None and report.started_at_us and not attempt.started:
        start(core, task, report.pid, report.started_at_us, report.slot)
    if not attempt.started:
        core.queue.unstarted -= 1
    outputs.close(core, attempt)
    if outcome is Outcome.REVOKED and not attempt.started:
        task.attempts -= 1
        history.note_given_back(core, task, attempt.number, attempt.asked_why)
    else:
        _write_down(core, task, _row(core, task, attempt, now, outcome, report, error, verdict))
    task.attempt = None
    core.journal.tasks[task.index] = task
    core.attempts.pop(attempt.attempt_id)
    core.sessions[task.session_id].slots_taken -= task.traits.slots
    _leave_worker(core, attempt, task.traits.slots)
    requesting.end_attempt(core, attempt.attempt_id)
    grants.end_attempt(core, attempt.attempt_id, keep=bool(keep_locks_us))
    if task.files:
        if keep_locks_us:
            _lapse(core, task, attempt, now.us + keep_locks_us)
        else:
            waiting.release(core, attempt.attempt_id, task, attempt.assigned_us)
    audits.note_departure(core, task, attempt, now)
    return attempt


def lose(core: State, task: Task, now: Time, *, gone: bool, reason: str) -> None:
    """Its worker is lost. Unless its processes are known to be `gone`, nothing may run in its place,
    nor take its locks, for the lock delay."""
    attempt = task.attempt
    assert attempt is not None
    delay_us = 0 if gone else core.settings.lock_delay_ms * 1000
    end(core, task, now, Outcome.LOST, error=reason, keep_locks_us=delay_us)
    task.not_before_us = now.us + delay_us
    message = f"Attempt {attempt.number} on worker {attempt.worker_id} was lost: {reason}"
    history.note_task(core, task, "lost", message)
    if attempt.started:
        task.crashes += 1
        task.avoid = (*task.avoid, attempt.worker_id)
    ending = core.sessions[task.session_id].ending_as is not None
    if delay_us and (attempt.stop_as is Outcome.CANCELLED or ending):
        move_task(core, task, "stop")
        core.timers.add(task.not_before_us, Timer.TASK, *task.key)
    elif attempt.stop_as is not None:
        after_ordered_stop(core, task, attempt.stop_as, attempt.stop_reason, now)
    elif task.crashes >= core.settings.crash_limit:
        fail(core, task, "CRASH_LIMIT", now)
    else:
        requeue(core, task, now, "its worker was lost")


def requeue(core: State, task: Task, now: Time, why: str = "") -> None:
    """Back to the queue, to be placed from `not_before_us` on; cancelled when its session is ending.

    Without `why` it goes untold: what sent it back has been.
    """
    if core.sessions[task.session_id].ending_as is not None:
        cancel_now(core, task, "SESSION_ENDED", now)
        return
    move_task(core, task, "requeue")
    waiting.enqueue(core, task)
    if why:
        pause_us = task.not_before_us - now.us
        pause = f", after a pause of {history.duration(pause_us)}" if pause_us > 0 else ""
        history.note_task(core, task, "requeued", f"Queued again{pause}: {why}")


def after_ordered_stop(core: State, task: Task, outcome: Outcome, reason: str, now: Time) -> None:
    """What becomes of a task whose attempt was stopped on order."""
    if outcome is Outcome.REVOKED:
        requeue(core, task, now, stopped_at_no_cost(task))
    elif outcome is Outcome.LOCK_LOST:
        fail(core, task, "LOCK_LOST", now)
    else:
        cancel_now(core, task, reason or "CANCELLED", now)


def stopped_at_no_cost(task: Task) -> str:
    """Why it is queued again; nothing for an assignment that was given back, which has been told."""
    if task.outcome is None:
        return ""
    return "its worker was lost" if task.outcome is Outcome.LOST else "it was stopped at no cost"


_REASONS = {
    "CANCELLED": "", "PAUSED": ": its session is paused", "SESSION_CANCELLED": ": its session ends",
    "SESSION_FAILED": ": its session has failed",
}  # fmt: skip


def _note_stop(core: State, task: Task, outcome: Outcome, reason: str) -> None:
    because = _REASONS.get(reason, f": {reason}" if reason else "")
    if outcome is Outcome.CANCELLED:
        history.note_task(core, task, "cancel_requested", f"Told to end as cancelled{because}")
    else:
        what = "at no cost" if outcome is Outcome.REVOKED else f"as {outcome}"
        history.note_task(core, task, "stop_requested", f"Told to end {what}{because}")


def _write_down(core: State, task: Task, row: AttemptRow) -> None:
    core.journal.attempts.append(row)
    task.ended_at_us = row.ended_at_us
    task.outcome, task.exit_code, task.error = Outcome(row.outcome), row.exit_code, row.error


def _leave_worker(core: State, attempt: Attempt, slots: int) -> None:
    worker = core.workers.get(attempt.worker_id)
    if worker is not None and worker.attempts.pop(attempt.attempt_id, None) is not None:
        worker.slots_taken -= slots
        if not worker.attempts:
            move_worker(core, worker, "free")
        core.journal.workers[worker.worker_id] = worker


def _lapse(core: State, task: Task, attempt: Attempt, until_us: int) -> None:
    lapse = Lapse(
        attempt.attempt_id, task.session_id, task.task_id, attempt.worker_id, attempt.host, attempt.fence,
        attempt.assigned_at_us, until_us, task.files, attempt.assigned_us,
    )  # fmt: skip
    core.lapses[lapse.attempt_id] = lapse
    core.journal.lapses[lapse.attempt_id] = lapse
    core.timers.add(until_us, Timer.LAPSE, lapse.attempt_id)


def _row(
    core: State, task: Task, a: Attempt, now: Time, outcome: Outcome, report: Finished | None, error: str,
    verdict: Verdict,
) -> AttemptRow:  # fmt: skip
    head = (a.session_id, a.task_id, a.number, a.attempt_id, a.fence, a.task_number, a.assigned_revision,
            a.started_revision, core.revision + 1, a.worker_id, a.host, a.pid, a.slot)  # fmt: skip
    if report is None:
        return AttemptRow(
            *head, outcome.value, None, 0, error, "", None, 0, 0, 0, a.assigned_at_us, a.started_at_us,
            now.wall_us, a.output_bytes, a.output_dropped_bytes, "[]", "[]", 0, 0,
            "", "", 0,
        )  # fmt: skip
    r, audit, kept = report, report.audit or Audit(), audits.keeps_patch(report, verdict)
    if kept:
        core.journal.patches.append(PatchRow(a.session_id, a.task_id, a.number, audit.patch))
    return AttemptRow(
        *head, outcome.value, r.exit_code, r.signal, error or r.error, r.result_type, r.result, r.user_cpu_us,
        r.system_cpu_us, r.max_rss_bytes, a.assigned_at_us, a.started_at_us, r.ended_at_us or now.wall_us,
        r.output_bytes, max(a.output_dropped_bytes, r.output_dropped_bytes),
        texts_json(r.modified_files), texts_json(verdict.warnings), len(audit.patch) if kept else 0,
        audit.patch_dropped_bytes if kept else 0, audit.branch, audit.commit,
        int(audit.merge is Merge.MERGED),
    )  # fmt: skip
