"""The asyncio client: the names, parameters, records and errors of `Client`, awaited.

    async with AsyncClient.connect() as client:
        session, count = await client.submit_plan([TaskSpec(argv=["make"])], create={"name": "build"})
        print((await client.wait_session(session.session_id)).status)

`list_*` and single calls are awaited; `iter_*`, `watch` and `read_output` are for `async for`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

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
from .aio_base import async_paging, awaiting
from .aio_connection import AsyncConnection
from .aio_output import AsyncOutputCalls
from .aio_running import AsyncRunningCalls
from .aio_waits import AsyncWaitCalls
from .locating import CONNECT_TIMEOUT_S, find_coordinator
from .workspace import Workspace


class AsyncClient(AsyncRunningCalls, AsyncWaitCalls, AsyncOutputCalls):
    """Every call raises the errors of errors.py. Belongs to the event loop in which it was opened.

    Cancelling a task that awaits a call cancels the call; whether the coordinator has carried it out by then
    is not known.
    """

    # the coordinator itself
    info = awaiting(calls_coordinator.info)
    summary = awaiting(calls_coordinator.summary)
    shutdown = awaiting(calls_coordinator.shutdown)

    # sessions
    create_session = awaiting(calls_sessions.create_session)
    get_session = awaiting(calls_sessions.get_session)
    list_sessions = awaiting(calls_sessions.list_sessions)
    count_sessions = awaiting(calls_sessions.count_sessions)
    start_session = awaiting(calls_sessions.start_session)
    pause_session = awaiting(calls_sessions.pause_session)
    resume_session = awaiting(calls_sessions.resume_session)
    cancel_session = awaiting(calls_sessions.cancel_session)
    close_session = awaiting(calls_sessions.close_session)
    complete_session = awaiting(calls_sessions.complete_session)
    fail_session = awaiting(calls_sessions.fail_session)
    update_session = awaiting(calls_sessions.update_session)
    update_progress = awaiting(calls_sessions.update_progress)
    mark_files_modified = awaiting(calls_sessions.mark_files_modified)
    delete_sessions = awaiting(calls_sessions.delete_sessions)
    import_sessions = awaiting(calls_sessions.import_sessions)

    # tasks
    submit_tasks = awaiting(calls_submission.submit_tasks)
    submit_plan = awaiting(calls_submission.submit_plan)
    preview_plan = awaiting(calls_submission.preview_plan)
    get_task = awaiting(calls_tasks.get_task)
    get_patch = awaiting(calls_tasks.get_patch)
    list_tasks = awaiting(calls_tasks.list_tasks)
    iter_tasks = async_paging(calls_tasks.iter_tasks)
    iter_attempts = async_paging(calls_tasks.iter_attempts)
    cancel_task = awaiting(calls_tasks.cancel_task)
    retry_tasks = awaiting(calls_tasks.retry_tasks)
    explain_tasks = awaiting(calls_tasks.explain_tasks)

    # path locks
    acquire_locks = awaiting(calls_locks.acquire_locks)
    release_locks = awaiting(calls_locks.release_locks)
    renew_lease = awaiting(calls_locks.renew_lease)
    list_locks = awaiting(calls_locks.list_locks)
    force_release = awaiting(calls_locks.force_release)
    preview_locks = awaiting(calls_locks.preview_locks)
    lock_statistics = awaiting(calls_locks.lock_statistics)

    # workers
    list_workers = awaiting(calls_workers.list_workers)
    get_worker = awaiting(calls_workers.get_worker)
    drain_worker = awaiting(calls_workers.drain_worker)
    set_pool = awaiting(calls_workers.set_pool)
    list_pools = awaiting(calls_workers.list_pools)
    report_worker_death = awaiting(calls_workers.report_worker_death)

    # what external workers say
    register_external_worker = awaiting(calls_external.register_external_worker)
    heartbeat_worker = awaiting(calls_external.heartbeat_worker)
    report_attempt = awaiting(calls_external.report_attempt)
    unregister_worker = awaiting(calls_external.unregister_worker)
    update_worker = awaiting(calls_external.update_worker)
    submit_task = awaiting(calls_external.submit_task)
    list_pool_tasks = awaiting(calls_external.list_pool_tasks)
    count_pool_tasks = awaiting(calls_external.count_pool_tasks)

    # the past
    iter_history = async_paging(calls_events.iter_history)

    def __init__(self, connection: AsyncConnection, workspace: Workspace | None = None) -> None:
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
    ) -> Connecting:
        """A client of `coordinator` (or BR_COORDINATOR), else of the workspace's own coordinator.

        To be used as `async with AsyncClient.connect() as client`, or `client = await AsyncClient.connect()`
        and `await client.close()` later. Only then the coordinator is looked for, in a thread. Started when
        it does not run; where nothing was ever started, only with `start`, else NoStateError. Raises
        UnreachableError after `timeout_s` seconds, CoordinatorStartError, AuthenticationError.
        """
        return Connecting(cls, (coordinator, token, token_file, cwd, start, timeout_s))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

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

    async def close(self) -> None:
        """Ends every call of this client."""
        await self._connection.close()

    async def backup(self, path: Path | str) -> int:
        """Writes a consistent copy of the database to `path`; its size in bytes.

        The file appears whole or not at all. Raises OSError when it cannot be written.
        """
        from .backup import write_backup_async

        return await write_backup_async(self._connection, Path(path))


class Connecting:
    """A client on its way: await it for the client, or enter it."""

    def __init__(
        self,
        client_class: type[AsyncClient],
        arguments: tuple[str | None, str | None, Path | None, Path | None, bool, float],
    ) -> None:
        self._class = client_class
        self._arguments = arguments
        self._client: AsyncClient | None = None

    async def _open(self) -> AsyncClient:
        found = await asyncio.to_thread(find_coordinator, *self._arguments)
        timeout_s = self._arguments[-1]
        connection = AsyncConnection(found.target, relocate=found.relocate, patience_s=timeout_s)
        client = self._class(connection, found.workspace)
        client._cwd = self._arguments[3]
        return client

    def __await__(self) -> Generator[Any, Any, AsyncClient]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncClient:
        self._client = await self._open()
        return self._client

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()
