"""Tasks and attempts as they are shown: views and rows to messages."""

from __future__ import annotations

import json
from collections.abc import Sequence

from buildrunner_coordinator.domain.changes import AttemptRow, SpecRow, TaskRow
from buildrunner_coordinator.domain.codec import files_of, traits_of
from buildrunner_coordinator.domain.model import TASK_OVER
from buildrunner_coordinator.domain.replies import Holder, TaskView, Wait
from buildrunner_coordinator.rpc.convert.basics import timestamp
from buildrunner_coordinator.rpc.convert.enums import OUTCOME, TASK_STATUS, WAIT_KIND
from buildrunner_parallel.v1 import types_pb2 as types

OVER_STATUSES = tuple(sorted(status.value for status in TASK_OVER))


def view_of_rows(spec: SpecRow, row: TaskRow) -> TaskView:
    """A task of the store, without what only lives in memory."""
    return TaskView(
        row=row,
        title=spec.title,
        priority=traits_of(spec.traits_json).priority,
        files=files_of(spec.files_json),
        submitted_at_us=spec.submitted_at_us,
    )


def summary_message(view: TaskView) -> types.TaskSummary:
    row = view.row
    message = types.TaskSummary(
        session_id=row.session_id,
        task_id=row.task_id,
        status=TASK_STATUS.wire(row.status),
        title=view.title,
        attempt=row.attempts,
        worker_id=row.worker_id,
        submitted_at=timestamp(view.submitted_at_us),
        started_at=timestamp(row.started_at_us),
        ended_at=timestamp(row.ended_at_us),
        error=row.error,
        exit_code=row.exit_code,
        revision=row.revision,
        priority=view.priority,
        reason=row.reason,
        outcome=OUTCOME.wire(row.outcome),
        pid=row.pid,
        fence=row.fence,
        attempt_id=row.attempt_id,
    )
    _add_rare(message, view)
    return message


def _add_rare(message: types.TaskSummary, view: TaskView) -> None:
    if view.files:
        message.files.extend(request.path for request in view.files)
    if view.wait is not None:
        message.wait.CopyFrom(wait_message(view.wait))
    if view.progress_percent or view.progress_message:
        message.progress_percent = view.progress_percent
        message.progress_message = view.progress_message


def wait_message(wait: Wait) -> types.Wait:
    return types.Wait(
        kind=WAIT_KIND.wire(wait.kind),
        message=wait.message,
        names=wait.names,
        holders=[holder_message(holder) for holder in wait.holders],
        until=timestamp(wait.until_us),
    )


def holder_message(holder: Holder) -> types.LockHolder:
    return types.LockHolder(**holder._asdict())


def task_message(view: TaskView, spec: SpecRow, row: TaskRow, attempts: Sequence[AttemptRow]) -> types.Task:
    """A task in full; `row` is the store's, `view` may know more while it is not over."""
    messages = [attempt_message(attempt) for attempt in attempts]
    if row.attempt_id:
        messages.append(_live_attempt(row))
    return types.Task(
        summary=summary_message(view),
        spec=types.TaskSpec.FromString(spec.spec),
        attempts=messages,
        failures=row.failures,
        crashes=row.crashes,
        run=row.run,
    )


def _live_attempt(row: TaskRow) -> types.Attempt:
    return types.Attempt(
        attempt_id=row.attempt_id,
        number=row.attempts,
        fence=row.fence,
        worker_id=row.worker_id,
        host=row.host,
        pid=row.pid,
        assigned_at=timestamp(row.assigned_at_us),
        started_at=timestamp(row.started_at_us),
        slot=row.slot,
        assigned_revision=row.assigned_revision,
        started_revision=row.started_revision,
    )


def attempt_message(row: AttemptRow) -> types.Attempt:
    result = None
    if row.result is not None:
        result = types.Payload(data=row.result, content_type=row.result_type)
    return types.Attempt(
        attempt_id=row.attempt_id,
        number=row.number,
        fence=row.fence,
        worker_id=row.worker_id,
        host=row.host,
        pid=row.pid,
        outcome=OUTCOME.wire(row.outcome),
        exit_code=row.exit_code,
        signal=row.signal,
        error=row.error,
        result=result,
        usage=types.ResourceUsage(
            user_cpu_us=row.user_cpu_us, system_cpu_us=row.system_cpu_us, max_rss_bytes=row.max_rss_bytes
        ),
        assigned_at=timestamp(row.assigned_at_us),
        started_at=timestamp(row.started_at_us),
        ended_at=timestamp(row.ended_at_us),
        output_bytes=row.output_bytes,
        output_dropped_bytes=row.output_dropped_bytes,
        slot=row.slot,
        modified_files=json.loads(row.modified_files_json),
        warnings=json.loads(row.warnings_json),
        assigned_revision=row.assigned_revision,
        started_revision=row.started_revision,
        ended_revision=row.ended_revision,
        branch=row.branch,
        commit=row.commit_id,
        merged=bool(row.merged),
        patch_bytes=row.patch_bytes,
        patch_dropped_bytes=row.patch_dropped_bytes,
    )
