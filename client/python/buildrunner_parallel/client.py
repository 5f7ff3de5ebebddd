"""The client of a coordinator: what programs, the command line and the dashboard use.

    with Client.connect() as client:
        session, count = client.submit_plan([TaskSpec(argv=["make"])], create={"name": "build"})
        print(client.wait_session(session.session_id).status)

Each call is defined once, in calls_*.py, for this client and for AsyncClient in aio.py. What streams or waits
is in client_*.py.
"""

from __future__ import annotations

from pathlib import Path

from . import (
    calls_coordinator,
    calls_events,
    calls_external,
    calls_locks,
    calls_sessions,
    calls_submission,
    calls_tasks,
    calls_workers,
)
from .client_base import blocking, paging
from .client_output import OutputCalls
from .client_running import RunningCalls
from .client_waits import WaitCalls
from .connection import Connection
from .locating import CONNECT_TIMEOUT_S, find_coordinator
from .workspace import Workspace

__all__ = ["CONNECT_TIMEOUT_S", "Client"]


class Client(RunningCalls, WaitCalls, OutputCalls):
    """Every call raises the errors of errors.py. Safe to use from several threads; not across a fork."""

    # the coordinator itself
    info = blocking(calls_coordinator.info)
    summary = blocking(calls_coordinator.summary)
    shutdown = blocking(calls_coordinator.shutdown)

    # sessions
    create_session = blocking(calls_sessions.create_session)
    get_session = blocking(calls_sessions.get_session)
    list_sessions = blocking(calls_sessions.list_sessions)
    count_sessions = blocking(calls_sessions.count_sessions)
    start_session = blocking(calls_sessions.start_session)
    pause_session = blocking(calls_sessions.pause_session)
    resume_session = blocking(calls_sessions.resume_session)
    cancel_session = blocking(calls_sessions.cancel_session)
    close_session = blocking(calls_sessions.close_session)
    complete_session = blocking(calls_sessions.complete_session)
    fail_session = blocking(calls_sessions.fail_session)
    update_session = blocking(calls_sessions.update_session)
    update_progress = blocking(calls_sessions.update_progress)
    mark_files_modified = blocking(calls_sessions.mark_files_modified)
    delete_sessions = blocking(calls_sessions.delete_sessions)
    import_sessions = blocking(calls_sessions.import_sessions)

    # tasks
    submit_tasks = blocking(calls_submission.submit_tasks)
    submit_plan = blocking(calls_submission.submit_plan)
    preview_plan = blocking(calls_submission.preview_plan)
    get_task = blocking(calls_tasks.get_task)
    get_patch = blocking(calls_tasks.get_patch)
    list_tasks = blocking(calls_tasks.list_tasks)
    iter_tasks = paging(calls_tasks.iter_tasks)
    iter_attempts = paging(calls_tasks.iter_attempts)
    cancel_task = blocking(calls_tasks.cancel_task)
    retry_tasks = blocking(calls_tasks.retry_tasks)
    explain_tasks = blocking(calls_tasks.explain_tasks)

    # path locks
    acquire_locks = blocking(calls_locks.acquire_locks)
    release_locks = blocking(calls_locks.release_locks)
    renew_lease = blocking(calls_locks.renew_lease)
    list_locks = blocking(calls_locks.list_locks)
    force_release = blocking(calls_locks.force_release)
    preview_locks = blocking(calls_locks.preview_locks)
    lock_statistics = blocking(calls_locks.lock_statistics)

    # workers
    list_workers = blocking(calls_workers.list_workers)
    get_worker = blocking(calls_workers.get_worker)
    drain_worker = blocking(calls_workers.drain_worker)
    set_pool = blocking(calls_workers.set_pool)
    list_pools = blocking(calls_workers.list_pools)
    report_worker_death = blocking(calls_workers.report_worker_death)

    # what external workers say
    register_external_worker = blocking(calls_external.register_external_worker)
    heartbeat_worker = blocking(calls_external.heartbeat_worker)
    report_attempt = blocking(calls_external.report_attempt)
    unregister_worker = blocking(calls_external.unregister_worker)
    update_worker = blocking(calls_external.update_worker)
    submit_task = blocking(calls_external.submit_task)
    list_pool_tasks = blocking(calls_external.list_pool_tasks)
    count_pool_tasks = blocking(calls_external.count_pool_tasks)

    # the past
    iter_history = paging(calls_events.iter_history)

    def __init__(self, connection: Connection, workspace: Workspace | None = None) -> None:
        self._connection = connection
        self._workspace = workspace
        self._leases = {}
        if workspace is not None:
            self._directory = (str(workspace.worktree), workspace.directory)

    @classmethod
    def connect(
        cls,
        coordinator: str | None = None,
        *,
        token: str | None = None,
        token_file: Path | None = None,
        cwd: Path | None = None,
        start: bool = True,
        timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> Client:
        """A client of `coordinator` (or BR_COORDINATOR), else of the workspace's own coordinator.

        The latter is started when it does not run; where nothing was ever started, only with `start`, else
        NoStateError. Raises UnreachableError after `timeout_s` seconds, CoordinatorStartError,
        AuthenticationError.
        """
        found = find_coordinator(coordinator, token, token_file, cwd, start, timeout_s)
        connection = Connection(found.target, relocate=found.relocate, patience_s=timeout_s)
        client = cls(connection, found.workspace)
        client._cwd = cwd
        return client

    @property
    def address(self) -> str:
        """Where the coordinator is, such as `unix:/path` or `host:port`."""
        return self._connection.address

    @property
    def workspace(self) -> Workspace | None:
        """The workspace of the directory that the client was made in."""
        return self._workspace

    @property
    def client_id(self) -> str:
        """Names this client's request ids."""
        return self._connection.client_id

    def close(self) -> None:
        """Ends every call of this client."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def backup(self, path: Path | str) -> int:
        """Writes a consistent copy of the database to `path`; its size in bytes.

        The file appears whole or not at all. Raises OSError when it cannot be written.
        """
        from .backup import write_backup

        return write_backup(self._connection, Path(path))
