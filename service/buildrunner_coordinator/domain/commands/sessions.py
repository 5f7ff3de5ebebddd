"""Commands about sessions."""

from __future__ import annotations

from dataclasses import dataclass

from buildrunner_coordinator.domain.model import Driver, FailureAction, SessionStatus


@dataclass(slots=True)
class CreateSession:
    """Replies SessionRow. `seed`: 64 random bits, the id is made of them."""

    seed: int
    name: str
    workspace_id: str = ""
    driver: Driver = Driver.TASKS
    declared_tasks: int = 0
    failure_action: FailureAction = FailureAction.CONTINUE
    failure_limit: int = 1
    max_parallel: int = 0
    wanted_workers: int = 0
    metadata_json: str = "{}"


@dataclass(slots=True)
class ReadSession:
    """Replies SessionRow. `session_id` may be a unique prefix, or "last"."""

    session_id: str


@dataclass(slots=True)
class ListSessions:
    """Replies SessionPage, newest first. `before` is the ordinal of the last one seen; 0: from the newest."""

    workspace_id: str = ""
    statuses: tuple[SessionStatus, ...] = ()
    before: int = 0
    limit: int = 100


@dataclass(slots=True)
class StartSession:
    """Replies SessionRow."""

    session_id: str
    worker_id: str = ""
    wanted_workers: int | None = None


@dataclass(slots=True)
class PauseSession:
    """Replies SessionRow."""

    session_id: str
    now: bool = False
    release_locks: bool = False


@dataclass(slots=True)
class ResumeSession:
    """Replies SessionRow."""

    session_id: str
    worker_id: str = ""


@dataclass(slots=True)
class CancelSession:
    """Replies SessionRow."""

    session_id: str
    reason: str = ""


@dataclass(slots=True)
class CloseSession:
    """Replies SessionRow."""

    session_id: str


@dataclass(slots=True)
class CompleteSession:
    """Replies SessionRow."""

    session_id: str


@dataclass(slots=True)
class FailSession:
    """Replies SessionRow."""

    session_id: str
    reason: str = ""


@dataclass(slots=True)
class UpdateSession:
    """Replies SessionRow. None leaves a setting as it is."""

    session_id: str
    max_parallel: int | None = None
    wanted_workers: int | None = None
    metadata_json: str | None = None
    failure_action: FailureAction | None = None
    failure_limit: int | None = None
    declared_tasks: int | None = None
    ended_at_us: int = 0
    """0: as it is."""


@dataclass(slots=True)
class ImportedSession:
    """A session of another program, as it was there. Times are of the wall clock; 0: not yet."""

    session_id: str
    name: str
    status: SessionStatus
    declared_tasks: int = 0
    reported: tuple[int, int, int] = (0, 0, 0)
    worker_id: str = ""
    metadata_json: str = "{}"
    created_at_us: int = 0
    started_at_us: int = 0
    ended_at_us: int = 0
    modified_files: tuple[str, ...] = ()
    reason: str = ""


@dataclass(slots=True)
class ImportSessions:
    """Replies list[SessionRow]: those that were not here before."""

    sessions: tuple[ImportedSession, ...]
    dry_run: bool = False


@dataclass(slots=True)
class UpdateProgress:
    """Replies SessionRow."""

    session_id: str
    completed: int
    failed: int = 0
    in_progress: int = 0


@dataclass(slots=True)
class MarkFilesModified:
    """Replies SessionRow."""

    session_id: str
    paths: tuple[str, ...]


@dataclass(slots=True)
class DeleteSessions:
    """Replies list[SessionRow]: what was removed, or would be."""

    older_than_us: int = 0
    session_ids: tuple[str, ...] = ()
    workspace_id: str = ""
    dry_run: bool = False
