"""What workers say of attempts: started, progress, output, finished, given back.

Every report names its attempt and fence. One whose attempt is not live, or not the sender's, changes
nothing and is answered as stale (or duplicate): Faktory, which acknowledges by job id alone, lets a
zombie's late word clear another worker's reservation.
"""

from __future__ import annotations

from functools import partial

from buildrunner_coordinator.domain import attempts, audits, endings, external, history, outputs
from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.ids import mix
from buildrunner_coordinator.domain.model import Attempt, Merge, Outcome, Task, Time, Worker
from buildrunner_coordinator.domain.moves import move_worker
from buildrunner_coordinator.domain.replies import Acknowledge, Disposition, OutputAck
from buildrunner_coordinator.domain.state import State

_JITTER_PERCENT = 20
_UNMERGED = {Merge.CONFLICT: "MERGE_CONFLICT", Merge.FAILED: "MERGE_FAILED"}
_JUDGED = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT)
"""Ends of its own: only these can be charged with what it changed."""
_STALE, _ACCEPTED = Disposition.STALE, Disposition.ACCEPTED


def started(core: State, command: c.Started, now: Time) -> None:
    task = _live(core, command.attempt_id, command.fence, command.worker_id)
    if task is None:
        core.send(command.worker_id, Acknowledge(command.attempt_id, command.fence, _STALE))
    else:
        attempts.start(core, task, command.pid, command.started_at_us, command.slot)


def progress(core: State, command: c.Progress, now: Time) -> None:
    task = _live(core, command.attempt_id, command.fence, command.worker_id)
    if task is not None:
        task.progress_percent = min(max(command.percent, 0.0), 100.0)
        task.progress_message = command.message
        core.journal.watched_tasks[task.index] = task


def revoked(core: State, command: c.Revoked, now: Time) -> None:
    """The answer to a revocation. One that had started goes on as if it had not been asked."""
    task = _live(core, command.attempt_id, command.fence, command.worker_id)
    if task is None or task.attempt is None:
        return
    if command.started or task.attempt.started:
        task.attempt.revoking = False
        return
    order, reason = task.attempt.stop_as or Outcome.REVOKED, task.attempt.stop_reason
    attempts.end(core, task, now, order)
    attempts.after_ordered_stop(core, task, order, reason, now)


def append_output(core: State, command: c.AppendOutput, now: Time) -> OutputAck:
    task = _live(core, command.attempt_id, command.fence, command.worker_id)
    if task is None or task.attempt is None:
        return OutputAck(command.attempt_id, command.fence, 0, True)
    outputs.append(core, task.attempt, command.chunks)
    return OutputAck(command.attempt_id, command.fence, task.attempt.output_bytes, False)


def finished(core: State, command: c.Finished, now: Time) -> Acknowledge:
    """The end of an attempt. Acknowledged with the commit that has outcome and output."""
    attempt_id, fence = command.attempt_id, command.fence
    task = _live(core, attempt_id, fence, command.worker_id)
    if task is None or task.attempt is None:
        known = attempt_id in core.recent
        return Acknowledge(attempt_id, fence, Disposition.DUPLICATE if known else _STALE)
    attempt = task.attempt
    if command.output:
        outputs.append(core, attempt, command.output)
    if attempt.output_bytes < command.output_bytes:
        return Acknowledge(attempt_id, fence, Disposition.OUTPUT_MISSING, attempt.output_bytes)
    _conclude(core, task, attempt, command, now)
    core.recent.add(attempt_id)
    external.heard(core, command.worker_id, now)
    return Acknowledge(attempt_id, fence, _ACCEPTED, attempt.output_bytes)


def _live(core: State, attempt_id: str, fence: int, worker_id: str) -> Task | None:
    task = core.attempts.get(attempt_id)
    if task is None or task.fence != fence or task.worker_id != worker_id:
        return None
    return task


def _conclude(core: State, task: Task, attempt: Attempt, report: c.Finished, now: Time) -> None:
    """What the outcome means for the task, the worker and the session."""
    ordered = attempt.stop_as
    worker = core.workers.get(attempt.worker_id)
    verdict = audits.judge(core, task, attempt, report)
    if report.modified_files:
        audits.note_files(core, core.sessions[task.session_id], report)
    end = partial(attempts.end, core, task, now, report=report, verdict=verdict)
    if verdict.trespass and ordered is None and report.outcome in _JUDGED:
        end(Outcome.FAILED, error=verdict.trespass)
        _count(core, worker, succeeded=False)
        task.failures += 1
        endings.fail(core, task, audits.UNDECLARED_WRITE, now)
    elif report.outcome is Outcome.SUCCEEDED:
        end(Outcome.SUCCEEDED)
        _count(core, worker, succeeded=True)
        endings.succeed(core, task, now)
    elif ordered is not None:
        end(ordered, error=attempt.stop_reason)
        attempts.after_ordered_stop(core, task, ordered, attempt.stop_reason, now)
    elif report.outcome in (Outcome.CANCELLED, Outcome.REVOKED):
        end(Outcome.REVOKED)
        attempts.requeue(core, task, now, attempts.stopped_at_no_cost(task))
    elif report.outcome is Outcome.LOST:
        attempts.lose(core, task, now, gone=True, reason=report.error or "its worker lost its lease")
    elif report.outcome is Outcome.NOT_STARTED and report.worker_fault:
        end(Outcome.NOT_STARTED)
        _blame(core, task, worker)
        attempts.requeue(core, task, now, f"worker {attempt.worker_id} could not start it")
    else:
        end(report.outcome, error=report.error or _describe(report))
        _count(core, worker, succeeded=False)
        _fail_or_retry(core, task, report, now)


def _fail_or_retry(core: State, task: Task, report: c.Finished, now: Time) -> None:
    task.failures += 1
    if task.failures > task.traits.max_retries:
        endings.fail(core, task, _reason(report), now)
        return
    task.avoid = tuple(dict.fromkeys((*task.avoid, task.worker_id)))
    task.not_before_us = now.us + backoff_us(task)
    attempts.requeue(core, task, now, f"retry {task.failures} of {task.traits.max_retries}")


def backoff_us(task: Task) -> int:
    """Pause before the next attempt: doubles with each failure, with 20 % jitter either way.

    The jitter is drawn from the fence, so that the core stays deterministic.
    """
    traits = task.traits
    doubled_ms = min(traits.backoff_ms << min(task.failures - 1, 40), traits.backoff_max_ms)
    spread = mix(task.fence) % (2 * _JITTER_PERCENT + 1) - _JITTER_PERCENT
    return doubled_ms * 1000 * (100 + spread) // 100


def _count(core: State, worker: Worker | None, *, succeeded: bool) -> None:
    if worker is None:
        return
    worker.faults = 0
    if succeeded:
        worker.succeeded += 1
    else:
        worker.failed += 1
    core.journal.workers[worker.worker_id] = worker


def _blame(core: State, task: Task, worker: Worker | None) -> None:
    """The worker could not start it. After three in a row it gets nothing until it registers anew."""
    task.avoid = tuple(dict.fromkeys((*task.avoid, task.worker_id)))
    if worker is None:
        return
    worker.faults += 1
    core.journal.workers[worker.worker_id] = worker
    if worker.faults >= core.settings.worker_fault_limit:
        if move_worker(core, worker, "fault"):
            failed = f"{worker.faults} starts in a row failed"
            history.note_worker(core, worker, "error", f"{failed}: no more tasks until it registers anew")
        for attempt in worker.attempts.values():
            attempts.revoke(core, attempt, "its worker fails to start tasks")


def _describe(report: c.Finished) -> str:
    if report.outcome is Outcome.TIMED_OUT:
        return "its timeout ran out"
    if report.signal:
        return f"killed by signal {report.signal}"
    if report.exit_code is not None:
        return f"exit code {report.exit_code}"
    return "failed"


def _reason(report: c.Finished) -> str:
    if report.outcome is Outcome.TIMED_OUT:
        return "TIMEOUT"
    if report.outcome is Outcome.NOT_STARTED:
        return "NOT_STARTED"
    if report.audit is not None and report.audit.merge in _UNMERGED:
        return _UNMERGED[report.audit.merge]
    return "SIGNAL" if report.signal else "EXIT"
