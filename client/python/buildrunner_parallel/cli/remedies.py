"""Commands that let a session go on, ready to be typed. The coordinator is not asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Session, Wait

    from .invocation import Invocation

_LABEL, _HANDLER, _SLOTS = "label ", "handler ", " slots"


def resume_it(run: Invocation, session: Session) -> str:
    return run.command_line("resume", session.session_id)


def close_it(run: Invocation, session: Session) -> str:
    return run.command_line("close", session.session_id)


def fill_it(run: Invocation, session: Session) -> str:
    return f"{run.command_line('submit', session.session_id)} -- CMD ARGS"


def get_worker(run: Invocation, client: Client, session: Session, wait: Wait) -> str:
    """How to get a worker that has what `wait`, of kind no_worker, says is missing; empty where no command
    does."""
    if not wait.names or any(name.startswith(("id ", "external")) for name in wait.names):
        return ""
    options = [option for name in wait.names for option in _options(name)]
    place = ("--session", session.session_id)
    workspace = client.workspace if keeper_runs(run, client) else None
    if workspace and not options and not session.wanted_workers:
        return f"Start some with: {run.command_line('scale', '3', *place)}"
    way = f"Start one with: {run.command_line('worker', *place, *options)}"
    if workspace and not options:
        way += f" - why its own do not come may stand in {workspace.state_dir / 'workers'}"
    return way


def _options(name: str) -> tuple[str, ...]:
    """Of `worker`, for one of the things that a task asks for."""
    if name.startswith(_LABEL):
        return ("--label", name.removeprefix(_LABEL))
    if name.startswith(_HANDLER):
        return ("--handlers", "MODULE")
    return ("--slots", name.removesuffix(_SLOTS)) if name.endswith(_SLOTS) else ()


def keeper_runs(run: Invocation, client: Client) -> bool | None:
    """Whether a keeper starts workers beside the workspace's own coordinator; None for any other, since
    nobody here knows. One that somebody runs with `serve` has none, unless told to."""
    from buildrunner_parallel.starting import KEEPER_LOCK

    return _holds_lock(run, client, KEEPER_LOCK)


def was_stopped(run: Invocation, client: Client) -> bool:
    """Whether the workspace's own coordinator is not there: a mere look must not start it again."""
    from buildrunner_parallel.discovery import COORDINATOR_LOCK

    return _holds_lock(run, client, COORDINATOR_LOCK) is False


def _holds_lock(run: Invocation, client: Client, name: str) -> bool | None:
    """Whether a process holds this lock of the workspace's own state; None for another coordinator."""
    from buildrunner_parallel.flocks import is_held

    from .workers import is_own

    if not client.workspace or not is_own(run):
        return None
    lock = client.workspace.state_dir / name
    return lock.exists() and is_held(lock)
