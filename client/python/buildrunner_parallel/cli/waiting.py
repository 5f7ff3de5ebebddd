"""The command that waits: wait."""

from __future__ import annotations

from typing import Annotated

import typer

from .command import command
from .following import await_session, await_task
from .invocation import Invocation
from .options import SessionArgument, TimeoutOption

app = typer.Typer()


@command(app, "wait")
def wait(
    run: Invocation,
    session_id: SessionArgument,
    task_id: Annotated[
        str, typer.Argument(metavar="TASK", help="One task instead of the whole session.")
    ] = "",
    timeout: TimeoutOption = None,
) -> None:
    """Wait for a session or a task to end, and tell what failed.

    On a terminal a bar shows how far it is. The exit code says how it ended.
    """
    with run.existing() as client:
        session = client.get_session(session_id)
        if task_id:
            await_task(run, client, session.session_id, task_id, timeout)
        else:
            await_session(run, client, session, timeout)
