"""The calls of SessionService, as methods of both clients: arguments to a request, the answer to a record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from .calls import Call, Page, Pages, Scope, new_request_id, read_list, read_page, read_record
from .connection import Stubs
from .convert_specs import failure_policy_to_wire, json_text, milliseconds, number_of, time_to_wire
from .errors import InvalidRequestError
from .records import Session
from .specs import FailurePolicy
from .v1 import session_service_pb2 as wire
from .v1 import types_pb2


def create_request(
    name: str,
    *,
    declared_tasks: int = 0,
    driver: str = "tasks",
    on_failure: FailurePolicy | None = None,
    max_parallel: int = 0,
    wanted_workers: int = 0,
    metadata: Mapping[str, Any] | None = None,
) -> wire.CreateSessionRequest:
    """The message of `create_session` and of a plan that creates its session."""
    return wire.CreateSessionRequest(
        request_id=new_request_id(),
        name=name,
        declared_tasks=declared_tasks,
        driver=number_of(types_pb2.SessionDriver, driver),
        on_failure=failure_policy_to_wire(on_failure),
        max_parallel=max_parallel,
        wanted_workers=wanted_workers,
        metadata_json=json_text(metadata),
    )


def create_session(
    self: Scope,
    name: str,
    *,
    declared_tasks: int = 0,
    driver: str = "tasks",
    on_failure: FailurePolicy | None = None,
    max_parallel: int = 0,
    wanted_workers: int = 0,
    metadata: Mapping[str, Any] | None = None,
) -> Call[Session]:
    """Registers a session, CREATED and open for tasks; `driver` is tasks or owner, 0 means no cap."""
    request = create_request(
        name,
        declared_tasks=declared_tasks,
        driver=driver,
        on_failure=on_failure,
        max_parallel=max_parallel,
        wanted_workers=wanted_workers,
        metadata=metadata,
    )
    return _session(lambda stubs: stubs.sessions.CreateSession, request)


def get_session(self: Scope, session_id: str) -> Call[Session]:
    """One session by id, unique prefix, or `last`. Raises NotFoundError, AmbiguousIdError."""
    return _session(lambda stubs: stubs.sessions.GetSession, wire.GetSessionRequest(session_id=session_id))


def list_sessions(self: Scope, *, statuses: Sequence[str] = (), limit: int | None = None) -> Pages[Session]:
    """Newest first; all of them, or at most `limit`."""
    numbers = [number_of(types_pb2.SessionStatus, status) for status in statuses]

    def fetch(page_size: int, page_token: str) -> Call[Page[Session]]:
        request = wire.ListSessionsRequest(statuses=numbers, page_size=page_size, page_token=page_token)
        return Call(lambda stubs: stubs.sessions.ListSessions, request, read_page(Session, "sessions"))

    return Pages(fetch, limit)


def count_sessions(self: Scope) -> Call[int]:
    """How many sessions are kept in all."""
    request = wire.ListSessionsRequest(page_size=1)
    return Call(lambda stubs: stubs.sessions.ListSessions, request, lambda answer: int(answer.total_count))


def start_session(
    self: Scope, session_id: str, *, worker_id: str = "", wanted_workers: int | None = None
) -> Call[Session]:
    """CREATED to RUNNING; `wanted_workers` None leaves what was asked for at creation."""
    request = wire.StartSessionRequest(
        request_id=new_request_id(),
        session_id=session_id,
        worker_id=worker_id,
        wanted_workers=wanted_workers,
    )
    return _session(lambda stubs: stubs.sessions.StartSession, request)


def pause_session(
    self: Scope, session_id: str, *, now: bool = False, release_locks: bool = False
) -> Call[Session]:
    """RUNNING to PAUSED; `now` stops running tasks and queues them again at no cost."""
    request = wire.PauseSessionRequest(
        request_id=new_request_id(), session_id=session_id, now=now, release_locks=release_locks
    )
    return _session(lambda stubs: stubs.sessions.PauseSession, request)


def resume_session(self: Scope, session_id: str, *, worker_id: str = "") -> Call[Session]:
    """PAUSED or CREATED to RUNNING. Raises LockConflictError when given-up locks are taken."""
    request = wire.ResumeSessionRequest(
        request_id=new_request_id(), session_id=session_id, worker_id=worker_id
    )
    return _session(lambda stubs: stubs.sessions.ResumeSession, request)


def cancel_session(self: Scope, session_id: str, *, reason: str = "") -> Call[Session]:
    """Stops everything; CANCELLED once its last attempt is over."""
    request = wire.CancelSessionRequest(request_id=new_request_id(), session_id=session_id, reason=reason)
    return _session(lambda stubs: stubs.sessions.CancelSession, request)


def close_session(self: Scope, session_id: str) -> Call[Session]:
    """Seals it: no task will be added, so it ends when its tasks have."""
    request = wire.CloseSessionRequest(request_id=new_request_id(), session_id=session_id)
    return _session(lambda stubs: stubs.sessions.CloseSession, request)


def complete_session(self: Scope, session_id: str) -> Call[Session]:
    """Ends a session of driver owner as COMPLETED; no effect on an ended one."""
    request = wire.CompleteSessionRequest(request_id=new_request_id(), session_id=session_id)
    return _session(lambda stubs: stubs.sessions.CompleteSession, request)


def fail_session(self: Scope, session_id: str, *, reason: str = "") -> Call[Session]:
    """Ends a session of driver owner as FAILED; no effect on an ended one."""
    request = wire.FailSessionRequest(request_id=new_request_id(), session_id=session_id, reason=reason)
    return _session(lambda stubs: stubs.sessions.FailSession, request)


def update_session(
    self: Scope,
    session_id: str,
    *,
    max_parallel: int | None = None,
    wanted_workers: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    on_failure: FailurePolicy | None = None,
    declared_tasks: int | None = None,
    ended_at: datetime | None = None,
) -> Call[Session]:
    """Changes settings of a session that is not over; None leaves one as it is.

    `declared_tasks`, `ended_at` (once it is over) and then `metadata` too: for sessions of driver owner.
    """
    request = wire.UpdateSessionRequest(
        request_id=new_request_id(),
        session_id=session_id,
        max_parallel=max_parallel,
        wanted_workers=wanted_workers,
        metadata_json=None if metadata is None else json_text(metadata) or "{}",
        on_failure=failure_policy_to_wire(on_failure),
        declared_tasks=declared_tasks,
        ended_at=None if ended_at is None else time_to_wire(ended_at),
    )
    return _session(lambda stubs: stubs.sessions.UpdateSession, request)


def update_progress(
    self: Scope, session_id: str, completed: int, failed: int = 0, in_progress: int = 0
) -> Call[Session]:
    """Sets the counts that the owner reports, absolute values; no effect on an ended session."""
    request = wire.UpdateProgressRequest(
        request_id=new_request_id(),
        session_id=session_id,
        progress=types_pb2.ReportedProgress(completed=completed, failed=failed, in_progress=in_progress),
    )
    return _session(lambda stubs: stubs.sessions.UpdateProgress, request)


def mark_files_modified(self: Scope, session_id: str, paths: Iterable[str]) -> Call[Session]:
    """Adds paths to the record of modified files."""
    if isinstance(paths, str):
        raise InvalidRequestError(f"paths must be a list, not the string {paths!r}", reason="INVALID")
    request = wire.MarkFilesModifiedRequest(
        request_id=new_request_id(), session_id=session_id, paths=list(paths)
    )
    return _session(lambda stubs: stubs.sessions.MarkFilesModified, request)


def delete_sessions(
    self: Scope, *, older_than_s: float = 0, session_ids: Sequence[str] = (), dry_run: bool = False
) -> Call[list[Session]]:
    """Removes ended sessions, those that ended longer ago than `older_than_s`; returns them."""
    request = wire.DeleteSessionsRequest(
        request_id=new_request_id(),
        older_than_ms=milliseconds(older_than_s),
        session_ids=session_ids,
        dry_run=dry_run,
    )
    return Call(lambda stubs: stubs.sessions.DeleteSessions, request, read_list(Session, "sessions"))


def import_sessions(
    self: Scope, sessions: Sequence[Session], *, dry_run: bool = False
) -> Call[list[Session]]:
    """Takes sessions of another program over, at most 1,000, all or none, with their ids, states and times;
    they have driver owner. Returns those whose id was not here before; the others stay as they are. With
    `dry_run` nothing is taken. Raises InvalidRequestError when one of them is not fit."""
    request = wire.ImportSessionsRequest(sessions=[_to_wire(one) for one in sessions], dry_run=dry_run)
    return Call(lambda stubs: stubs.sessions.ImportSessions, request, read_list(Session, "sessions"))


def _to_wire(one: Session) -> types_pb2.Session:
    reported = one.reported
    return types_pb2.Session(
        session_id=one.session_id,
        name=one.name,
        status=number_of(types_pb2.SessionStatus, one.status),
        declared_tasks=one.declared_tasks,
        reported=types_pb2.ReportedProgress(
            completed=reported.completed, failed=reported.failed, in_progress=reported.in_progress
        ),
        worker_id=one.worker_id,
        metadata_json=json_text(one.metadata),
        created_at=None if one.created_at is None else time_to_wire(one.created_at),
        started_at=None if one.started_at is None else time_to_wire(one.started_at),
        ended_at=None if one.ended_at is None else time_to_wire(one.ended_at),
        modified_files=one.modified_files,
        reason=one.reason,
    )


def _session(method: Callable[[Stubs], Callable[..., Any]], request: Any) -> Call[Session]:
    return Call(method, request, read_record(Session, "session"))
