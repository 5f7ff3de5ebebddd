"""Stopping the coordinator, its keeper and the local workers, and waiting until they are gone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from .invocation import Invocation

if TYPE_CHECKING:
    from buildrunner_parallel.workspace import Workspace

STOP_TIMEOUT_S = 60.0
_POLL_S = 0.05


def stop_coordinator(run: Invocation, drain: bool, timeout_s: float) -> bool:
    """Ends the coordinator that these settings lead to; False when none runs. It is never started for that.

    `timeout_s` bounds a drain (0: no bound). Raises DeadlineError when it does not end in time.
    """
    from buildrunner_parallel.discovery import explicit_address
    from buildrunner_parallel.starting import answering_target
    from buildrunner_parallel.workspace import find_workspace

    workspace = find_workspace(Path.cwd())
    local = explicit_address(run.settings.coordinator) is None
    if local and answering_target(workspace.state_dir) is None:
        return False
    run.come_back = "The order was given all the same."
    with run.existing() as client:
        address = client.address
        client.shutdown(drain=drain, drain_timeout_s=timeout_s, stop_workers=True)
    deadline_s = None if drain and not timeout_s else time.monotonic() + timeout_s + STOP_TIMEOUT_S
    _await_end(workspace if local else None, address, deadline_s)
    return True


def _await_end(workspace: Workspace | None, address: str, deadline_s: float | None) -> None:
    from buildrunner_parallel.discovery import Health, Target, probe
    from buildrunner_parallel.errors import DeadlineError

    while not (_local_ended(workspace) if workspace else probe(Target(address, "")) == Health.UNREACHABLE):
        if deadline_s is not None and time.monotonic() > deadline_s:
            raise DeadlineError(f"The coordinator at {address} was told to stop and still runs.")
        time.sleep(_POLL_S)


def _local_ended(workspace: Workspace) -> bool:
    """Whether neither the coordinator nor its keeper holds its lock any more."""
    from buildrunner_parallel.discovery import COORDINATOR_LOCK
    from buildrunner_parallel.flocks import is_held
    from buildrunner_parallel.starting import KEEPER_LOCK

    locks = (workspace.state_dir / name for name in (COORDINATOR_LOCK, KEEPER_LOCK))
    return not any(lock.exists() and is_held(lock) for lock in locks)
