"""Finding the coordinator that a client was asked for, at first and after every loss. Blocks; no event loop
here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from .connection import Relocate
from .discovery import Health, Target, explicit_address, local_target, locate, probe, start_local
from .errors import NoStateError, UnreachableError
from .workspace import Workspace, find_workspace

CONNECT_TIMEOUT_S = 30.0
_PROBE_INTERVAL_S = 0.2


class Found(NamedTuple):
    """A coordinator that answers, how to find it again, and the workspace that was asked from."""

    target: Target
    relocate: Relocate
    workspace: Workspace


def find_coordinator(
    coordinator: str | None,
    token: str | None,
    token_file: Path | None,
    cwd: Path | None,
    start: bool,
    timeout_s: float,
) -> Found:
    """The one at `coordinator` (or BR_COORDINATOR), else the workspace's own; see Client.connect."""
    workspace = find_workspace(cwd)
    if explicit_address(coordinator) is not None:
        look_again = _given_locator(coordinator, token, token_file, workspace)
        return Found(_await_answer(look_again(0.0, False), timeout_s), look_again, workspace)
    if not (start or workspace.has_state):
        raise NoStateError(f"nothing has been started in {workspace.root} yet; `br parallel start` does")
    look_again = _local_locator(workspace, token, token_file)
    return Found(look_again(timeout_s, True), look_again, workspace)


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
