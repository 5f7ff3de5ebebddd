"""Sessions: rows to messages, requests to commands."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from buildrunner_coordinator.domain.changes import SessionRow
from buildrunner_coordinator.domain.commands import (
    CreateSession,
    DeleteSessions,
    ImportedSession,
    ImportSessions,
    ListSessions,
    MarkFilesModified,
    UpdateProgress,
    UpdateSession,
)
from buildrunner_coordinator.domain.model import Driver, FailureAction
from buildrunner_coordinator.domain.paths import normalise
from buildrunner_coordinator.domain.replies import Summary
from buildrunner_coordinator.rpc.convert.basics import (
    MAX_TEXT_BYTES,
    check_name,
    check_object,
    check_range,
    invalid,
    microseconds,
    one_line,
    page_size,
    page_start,
    timestamp,
)
from buildrunner_coordinator.rpc.convert.enums import DRIVER, FAILURE_ACTION, SESSION_STATUS
from buildrunner_parallel.v1 import coordinator_service_pb2 as coordinator_pb
from buildrunner_parallel.v1 import session_service_pb2 as pb
from buildrunner_parallel.v1 import types_pb2 as types

MAX_COUNT = (1 << 31) - 1
MAX_WORKERS = 1000
MAX_PATHS = 10_000
MAX_IMPORTED = 1000
_ID = re.compile("[0-9a-f]{8,64}")


def session_message(row: SessionRow) -> types.Session:
    completed, failed, in_progress = json.loads(row.reported_json)
    reported = types.ReportedProgress(completed=completed, failed=failed, in_progress=in_progress)
    return types.Session(
        session_id=row.session_id,
        name=row.name,
        workspace_id=row.workspace_id,
        status=SESSION_STATUS.wire(row.status),
        cancelling=bool(row.ending_as),
        open=bool(row.open),
        driver=DRIVER.wire(row.driver),
        declared_tasks=row.declared_tasks,
        counts=_counts(row),
        reported=reported if completed or failed or in_progress else None,
        on_failure=types.FailurePolicy(
            action=FAILURE_ACTION.wire(row.failure_action), limit=row.failure_limit
        ),
        max_parallel=row.max_parallel,
        wanted_workers=row.wanted_workers,
        worker_id=row.worker_id,
        metadata_json=row.metadata_json,
        created_at=timestamp(row.created_at_us),
        started_at=timestamp(row.started_at_us),
        ended_at=timestamp(row.ended_at_us),
        modified_files=json.loads(row.modified_files_json),
        reason=row.reason,
        revision=row.revision,
        locks_released=bool(row.locks_released),
        run=row.run,
    )


def _counts(row: SessionRow) -> types.TaskCounts:
    return types.TaskCounts(
        blocked=row.blocked,
        queued=row.queued,
        assigned=row.assigned,
        running=row.running,
        cancelling=row.cancelling,
        succeeded=row.succeeded,
        failed=row.failed,
        cancelled=row.cancelled,
        skipped=row.skipped,
    )


def summary_message(summary: Summary) -> coordinator_pb.Summary:
    sessions, workers = summary.sessions, summary.workers
    return coordinator_pb.Summary(
        sessions_total=sum(sessions.values()),
        sessions_active=sessions.get("running", 0) + sessions.get("paused", 0),
        **{f"sessions_{status}": count for status, count in sessions.items()},
        workers_total=sum(workers.values()),
        **{f"workers_{status}": count for status, count in workers.items()},
        tasks=types.TaskCounts(**summary.tasks),
        locks_held=summary.locks_held,
        lock_waiters=summary.lock_waiters,
    )


def create_command(request: pb.CreateSessionRequest, seed: int) -> CreateSession:
    action, limit = _policy(request.on_failure)
    return CreateSession(
        seed=seed,
        name=check_name(request.name, "session's name", required=True),
        workspace_id=check_name(request.workspace_id, "workspace's id"),
        driver=DRIVER.domain(request.driver) or Driver.TASKS,
        declared_tasks=check_range(request.declared_tasks, 0, MAX_COUNT, "number of declared tasks"),
        failure_action=action,
        failure_limit=limit,
        max_parallel=check_range(request.max_parallel, 0, MAX_COUNT, "cap on parallel tasks"),
        wanted_workers=check_range(request.wanted_workers, 0, MAX_WORKERS, "number of workers"),
        metadata_json=check_object(request.metadata_json, "session's metadata"),
    )


def _policy(policy: types.FailurePolicy) -> tuple[FailureAction, int]:
    action = FAILURE_ACTION.domain(policy.action) or FailureAction.CONTINUE
    return action, check_range(policy.limit, 0, MAX_COUNT, "limit of failed tasks") or 1


def list_command(request: pb.ListSessionsRequest) -> ListSessions:
    return ListSessions(
        workspace_id=request.workspace_id,
        statuses=SESSION_STATUS.known(request.statuses),
        before=page_start(request.page_token),
        limit=page_size(request.page_size, 100),
    )


def update_command(request: pb.UpdateSessionRequest) -> UpdateSession:
    action, limit = _policy(request.on_failure) if request.HasField("on_failure") else (None, None)
    wanted = request.wanted_workers if request.HasField("wanted_workers") else None
    cap = request.max_parallel if request.HasField("max_parallel") else None
    metadata = request.metadata_json if request.HasField("metadata_json") else None
    return UpdateSession(
        session_id=request.session_id,
        max_parallel=None if cap is None else check_range(cap, 0, MAX_COUNT, "cap on parallel tasks"),
        wanted_workers=optional_workers(wanted),
        metadata_json=None if metadata is None else check_object(metadata, "session's metadata"),
        failure_action=action,
        failure_limit=limit,
        declared_tasks=_optional_count(request),
        ended_at_us=microseconds(request.ended_at) if request.HasField("ended_at") else 0,
    )


def _optional_count(request: pb.UpdateSessionRequest) -> int | None:
    if not request.HasField("declared_tasks"):
        return None
    return check_range(request.declared_tasks, 0, MAX_COUNT, "number of declared tasks")


def optional_workers(wanted: int | None) -> int | None:
    return None if wanted is None else check_range(wanted, 0, MAX_WORKERS, "number of workers")


def progress_command(request: pb.UpdateProgressRequest) -> UpdateProgress:
    completed, failed, in_progress = _reported(request.progress)
    return UpdateProgress(request.session_id, completed, failed, in_progress)


def _reported(progress: types.ReportedProgress) -> tuple[int, int, int]:
    return (
        check_range(progress.completed, 0, MAX_COUNT, "number of completed tasks"),
        check_range(progress.failed, 0, MAX_COUNT, "number of failed tasks"),
        check_range(progress.in_progress, 0, MAX_COUNT, "number of tasks in progress"),
    )


def modified_command(request: pb.MarkFilesModifiedRequest) -> MarkFilesModified:
    return MarkFilesModified(request.session_id, _paths(request.paths))


def _paths(paths: Sequence[str]) -> tuple[str, ...]:
    if len(paths) > MAX_PATHS:
        raise invalid(f"{len(paths)} paths in one request; at most {MAX_PATHS} are taken.")
    return tuple(normalise(path) for path in paths)


def import_command(request: pb.ImportSessionsRequest) -> ImportSessions:
    if len(request.sessions) > MAX_IMPORTED:
        raise invalid(f"{len(request.sessions)} sessions in one request; at most {MAX_IMPORTED} are taken.")
    found = tuple(_imported(one) for one in request.sessions)
    if len({one.session_id for one in found}) < len(found):
        raise invalid("Two of the sessions have the same id. Give each once.")
    return ImportSessions(found, request.dry_run)


def _imported(one: types.Session) -> ImportedSession:
    if not _ID.fullmatch(one.session_id):
        raise invalid(
            f"The session's id must be 8 to 64 lower-case hex digits, found {one.session_id[:80]!r}."
        )
    status = SESSION_STATUS.domain(one.status)
    if status is None:
        raise invalid(f"Session {one.session_id} has no status. Give one.")
    return ImportedSession(
        session_id=one.session_id,
        name=check_name(one.name, "session's name", required=True),
        status=status,
        declared_tasks=check_range(one.declared_tasks, 0, MAX_COUNT, "number of declared tasks"),
        reported=_reported(one.reported),
        worker_id=check_name(one.worker_id, "worker's id"),
        metadata_json=check_object(one.metadata_json, "session's metadata"),
        created_at_us=microseconds(one.created_at),
        started_at_us=microseconds(one.started_at),
        ended_at_us=microseconds(one.ended_at),
        modified_files=tuple(sorted(set(_paths(one.modified_files)))),
        reason=one_line(one.reason, MAX_TEXT_BYTES),
    )


def delete_command(request: pb.DeleteSessionsRequest) -> DeleteSessions:
    return DeleteSessions(
        older_than_us=check_range(request.older_than_ms, 0, 1 << 50, "age") * 1000,
        session_ids=tuple(request.session_ids),
        workspace_id=request.workspace_id,
        dry_run=request.dry_run,
    )
