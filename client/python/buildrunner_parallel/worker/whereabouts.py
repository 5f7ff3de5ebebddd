"""Where an embedded worker's coordinator is: found as Client.connect finds it, put into worker options."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

from .options import WorkerOptions


class Whereabouts(NamedTuple):
    """As the arguments of Client.connect; `session` is an id or unique prefix, or empty."""

    coordinator: str | None
    token: str | None
    token_file: Path | None
    cwd: Path | None
    session: str

    def fill_in(self, options: WorkerOptions, *, start: bool) -> WorkerOptions:
        """A copy of `options` that leads to the coordinator as it is to be found now, started if `start`
        allows that. Raises what Client.connect and Client.get_session raise."""
        from buildrunner_parallel.client import Client
        from buildrunner_parallel.discovery import COORDINATOR_LOCK, explicit_address, locate

        given = (self.coordinator, self.token, self.token_file)
        with Client.connect(
            self.coordinator, token=self.token, token_file=self.token_file, cwd=self.cwd, start=start
        ) as client:
            workspace = client.workspace
            session_id = client.get_session(self.session).session_id if self.session else ""
        target = locate(*given, workspace)
        is_local = workspace is not None and explicit_address(self.coordinator) is None
        return dataclasses.replace(
            options,
            coordinator=target.address,
            token=target.token,
            session_id=session_id,
            lock_file=str(workspace.state_dir / COORDINATOR_LOCK) if is_local and workspace else "",
        )
