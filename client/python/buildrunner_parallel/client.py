"""The client of a coordinator: what programs, the command line and the dashboard use.

    with Client.connect() as client:
        session, count = client.submit_plan([TaskSpec(argv=["make"])], create={"name": "build"})
        print(client.wait_session(session.session_id).status)

Its parts are in the client_* files; this one has connecting and the coordinator's own calls.
"""

from __future__ import annotations

import time
from pathlib import Path

from .client_events import EventCalls
from .client_output import OutputCalls
from .client_waits import WaitCalls
from .client_workers import WorkerCalls
from .connection import Connection, Relocate
from .convert import from_wire
from .convert_specs import milliseconds
from .discovery import Health, Target, explicit_address, local_target, locate, probe, start_local
from .errors import NoStateError, UnreachableError
from .records import CoordinatorInfo, Summary
from .v1 import coordinator_service_pb2 as wire
from .workspace import Workspace, find_workspace

CONNECT_TIMEOUT_S = 30.0
_PROBE_INTERVAL_S = 0.2


class Client(WaitCalls, WorkerCalls, OutputCalls, EventCalls):
    """Every call raises the errors of errors.py. Safe to use from several threads; not across a fork."""

    def __init__(self, connection: Connection, workspace: Workspace | None = None) -> None:
        self._connection = connection
        self._workspace = workspace
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
        workspace = find_workspace(cwd)
        if explicit_address(coordinator) is not None:
            look_again = _given_locator(coordinator, token, token_file, workspace)
            target = _await_answer(look_again(0.0, False), timeout_s)
        else:
            if not (start or workspace.has_state):
                raise NoStateError(
                    f"nothing has been started in {workspace.root} yet; `br parallel start` does"
                )
            look_again = _local_locator(workspace, token, token_file)
            target = look_again(timeout_s, True)
        return cls(Connection(target, relocate=look_again, patience_s=timeout_s), workspace)

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

    # ------------------------------------------------------------- the coordinator itself

    def info(self) -> CoordinatorInfo:
        """What it is and how it does."""
        answer = self._call(lambda stubs: stubs.coordinator.GetInfo, wire.GetInfoRequest())
        return from_wire(CoordinatorInfo, answer)

    def summary(self) -> Summary:
        """Counts over everything."""
        answer = self._call(lambda stubs: stubs.coordinator.GetSummary, wire.GetSummaryRequest())
        return from_wire(Summary, answer.summary)

    def backup(self, path: Path | str) -> int:
        """Writes a consistent copy of the database to `path`; its size in bytes.

        The file appears whole or not at all. Raises OSError when it cannot be written.
        """
        from .backup import write_backup

        return write_backup(self._connection, Path(path))

    def shutdown(self, *, drain: bool = False, drain_timeout_s: float = 0, stop_workers: bool = True) -> None:
        """Ends the coordinator; with `drain` once nothing runs any more, or after `drain_timeout_s` seconds
        (0: no limit). Returns once the order is taken."""
        request = wire.ShutdownRequest(
            drain=drain, drain_timeout_ms=milliseconds(drain_timeout_s), stop_workers=stop_workers
        )
        self._connection.call(lambda stubs: stubs.coordinator.Shutdown, request, repeatable=False)


def _given_locator(
    coordinator: str | None, token: str | None, token_file: Path | None, workspace: Workspace
) -> Relocate:
    """The address that was asked for; its token file is read again each time."""
    return lambda _timeout_s, _start: locate(coordinator, token, token_file, workspace)


def _local_locator(workspace: Workspace, token: str | None, token_file: Path | None) -> Relocate:
    """Where the workspace's own coordinator is, started when it may be."""

    def look(timeout_s: float, start: bool) -> Target:
        found = start_local(workspace, timeout_s) if start else local_target(workspace.state_dir)
        if found is None:
            raise UnreachableError(f"no coordinator runs for {workspace.root}")
        if token or token_file:
            return Target(found.address, locate(found.address, token, token_file, workspace).token)
        return found

    return look


def _await_answer(target: Target, timeout_s: float) -> Target:
    """`target` once it answers; raises UnreachableError when it does not within `timeout_s` seconds."""
    deadline_s = time.monotonic() + timeout_s
    while probe(target, max(0.1, min(5.0, timeout_s))) == Health.UNREACHABLE:
        if time.monotonic() + _PROBE_INTERVAL_S >= deadline_s:
            raise UnreachableError(
                f"no coordinator answers at {target.address}; check the address, and that it runs",
                address=target.address,
            )
        time.sleep(_PROBE_INTERVAL_S)
    return target
