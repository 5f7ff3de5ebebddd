"""Where commands submit from, and whether this machine has what a task needs; for start, submit, preview."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .invocation import Invocation

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.plan import Plan, PlanTask

    from .submission import Submitter

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def submitter(client: Client | None = None) -> Submitter:
    """Where this process submits from, as the client's workspace sees it; without a client, as this does."""
    from buildrunner_parallel.workspace import find_workspace

    from .submission import Submitter

    workspace = find_workspace() if client is None else client.workspace
    return Submitter(Path.cwd(), workspace.worktree if workspace else None, os.environ)


def is_local(run: Invocation) -> bool:
    """Whether the workers can be expected to see this machine's programs and directories."""
    from buildrunner_parallel.discovery import explicit_address

    address = explicit_address(run.settings.coordinator) or "unix:"
    return address.startswith("unix:") or address.rpartition(":")[0] in _LOOPBACK


def load_local_plan(run: Invocation, location: str) -> Plan:
    """The plan; its programs and directories looked for where the workers are on this machine."""
    from buildrunner_parallel.plan import load_plan

    return load_plan(location, check_machine=is_local(run))


def check_task(task: PlanTask) -> None:
    """Raises InvalidRequestError when the program or the directory of `task` is not here."""
    from buildrunner_parallel.errors import InvalidRequestError
    from buildrunner_parallel.plan import Plan
    from buildrunner_parallel.plan.machine import Machine

    for problem in Machine(Path.cwd(), os.environ).problems(Plan((task,))):
        raise InvalidRequestError(f"{problem.message[:1].upper()}{problem.message[1:]}.")
