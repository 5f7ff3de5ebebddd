"""Commands about whole sessions: list, status, pause, resume, cancel, close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import exit_codes
from .asking import agreed, can_ask
from .command import command
from .invocation import Invocation
from .options import OptionalSession, SessionArgument, SessionState, limit_option, words_help
from .phrases import age, counts_phrase, number_of, progress, session_status, span, utc_now
from .render import complain
from .status import show_status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Session

    from .render import Cell

app = typer.Typer()

AllOption = Annotated[bool, typer.Option("--all", help="Every session that this applies to.")]
OptionalId = Annotated[
    str, typer.Argument(metavar="SESSION", help="Session id, unique prefix of one, or `last`.")
]


@command(app, "list")
def list_sessions(
    run: Invocation,
    status: Annotated[
        SessionState | None,
        typer.Option("--status", "-s", metavar="STATUS", help=words_help(SessionState)),
    ] = None,
    limit: Annotated[int, limit_option("At most so many, newest first.")] = 20,
) -> None:
    """List sessions, newest first."""
    from buildrunner_parallel.records import SessionStatus, record_to_json

    statuses = (SessionStatus(status.value),) if status else ()
    with run.reader() as client:
        sessions = client.list_sessions(statuses=statuses, limit=limit) if client else []
    if run.settings.as_json:
        return run.out.document(sessions=[record_to_json(session) for session in sessions])
    if not sessions:
        return run.out.line(f"No {status.value} sessions" if status else "No sessions")
    now = utc_now()
    columns = ("id", "~name", "status", "?1>progress", "?2>failed", "?3>took", "?4created")
    return run.out.table(columns, [_row(session, now) for session in sessions])


def _row(session: Session, now: datetime) -> tuple[Cell, ...]:
    return (
        session.session_id,
        session.name,
        session_status(session),
        progress(session),
        str(session.failed_tasks or ""),
        span(session.started_at, session.ended_at, now),
        age(session.created_at, now),
    )


@command(app, "status")
def status(
    run: Invocation,
    session_id: OptionalSession = "last",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Workers, locks, what waits.")] = False,
) -> None:
    """Show a session: its state, progress and failures."""
    if session_id != "last":
        with run.existing() as client:
            return show_status(run, client, client.get_session(session_id), verbose)
    with run.reader() as client:
        newest = client.list_sessions(limit=1) if client else []
        if client and newest:
            return show_status(run, client, newest[0], verbose)
    if run.settings.as_json:
        return run.out.document(session=None)
    return run.out.line("No sessions")


@command(app, "pause")
def pause(
    run: Invocation,
    session_id: OptionalId = "",
    now: Annotated[bool, typer.Option("--now", help="Stop running tasks too; they run again later.")] = False,
    release_locks: Annotated[
        bool, typer.Option("--release-locks", help="Give up its locks meanwhile.")
    ] = False,
    every: AllOption = False,
) -> None:
    """Pause a running session: nothing new starts.

    Running tasks finish, unless --now stops them to run again later.
    """

    def act(client: Client, session: Session) -> Session:
        return client.pause_session(session.session_id, now=now, release_locks=release_locks)

    _for_each(run, session_id, every, ("running",), act, "paused")


@command(app, "resume")
def resume(
    run: Invocation,
    session_id: OptionalId = "",
    worker: Annotated[
        str, typer.Option("--worker", "-w", metavar="ID", help="Worker to give it, by id or prefix.")
    ] = "",
    every: AllOption = False,
) -> None:
    """Resume a paused session, or start one that was only created.

    Locks that it gave up with `pause --release-locks` are taken again first.
    """

    def act(client: Client, session: Session) -> Session:
        worker_id = client.get_worker(worker).worker_id if worker else ""
        return client.resume_session(session.session_id, worker_id=worker_id)

    _for_each(run, session_id, every, ("paused",), act, "running", even_so=bool(worker))


@command(app, "cancel")
def cancel(
    run: Invocation,
    session_id: OptionalId = "",
    force: Annotated[bool, typer.Option("--force", "-f", help="Do not ask.")] = False,
    task: Annotated[str, typer.Option("--task", metavar="ID", help="Cancel this task only.")] = "",
    every: AllOption = False,
) -> None:
    """Cancel a session, or one of its tasks.

    What is queued is cancelled at once, what runs is stopped. It asks first, unless --force is given.
    """
    if task:
        if every or not session_id:
            raise typer.BadParameter("name the session of the task", param_hint="SESSION")
        return _cancel_task(run, session_id, task)

    def act(client: Client, session: Session) -> Session:
        return client.cancel_session(session.session_id, reason="cancelled from the command line")

    confirm = None if force else _confirmed
    return _for_each(run, session_id, every, ("created", "running", "paused"), act, "cancelled", confirm)


@command(app, "close")
def close(run: Invocation, session_id: SessionArgument) -> None:
    """Say that no more tasks will come to a session.

    It ends with the last of its tasks, or at once when all are over.
    """
    from buildrunner_parallel.records import record_to_json

    with run.existing() as client:
        session = client.close_session(session_id)
    if run.settings.as_json:
        return run.out.document(session=record_to_json(session))
    return run.out.sentence(
        f"Session {session.session_id} closed: no more tasks will come ({counts_phrase(session.counts)})"
    )


def _cancel_task(run: Invocation, session_id: str, task_id: str) -> None:
    from buildrunner_parallel.records import record_to_json

    with run.existing() as client:
        task = client.cancel_task(session_id, task_id, reason="cancelled from the command line")
    if run.settings.as_json:
        return run.out.document(task=record_to_json(task))
    return run.out.line(f"Task {task.task_id} of session {task.session_id} is {task.status.value}")


def _confirmed(run: Invocation, sessions: Sequence[Session]) -> bool:
    names = ", ".join(f"{session.session_id} ({session.name})" for session in sessions)
    running = sum(session.counts.running for session in sessions)
    complain(f"This stops {names}: {number_of(running, 'task')} {'runs' if running == 1 else 'run'} now.")
    return agreed(run, "Cancel?")


def _for_each(
    run: Invocation,
    session_id: str,
    every: bool,
    applies_to: tuple[str, ...],
    act: Callable[[Client, Session], Session],
    state: str,
    confirm: Callable[[Invocation, Sequence[Session]], bool] | None = None,
    even_so: bool = False,
) -> None:
    """Applies `act` to the one session named, or with `every` to all in the states of `applies_to`.

    One that is in `state` already is left alone, unless `even_so` there is something to tell it.
    """
    from buildrunner_parallel.records import SessionStatus, record_to_json

    if bool(session_id) == every:
        raise typer.BadParameter("name one session, or say --all", param_hint="SESSION")
    if confirm is not None and not can_ask(run):
        raise typer.BadParameter("without a terminal to ask on, say --force", param_hint="--force")
    with run.existing() as client:
        statuses = tuple(SessionStatus(word) for word in applies_to)
        chosen = client.list_sessions(statuses=statuses) if every else [client.get_session(session_id)]
        told = {session.session_id: session.status.value for session in chosen}
        pending = [session for session in chosen if session.status.value != state]
        if confirm is not None and pending and not confirm(run, pending):
            run.out.line("Left as it was")
            raise typer.Exit(exit_codes.REFUSED)
        ended = [act(client, one) if even_so or one.status.value != state else one for one in chosen]
    if run.settings.as_json:
        documents = [record_to_json(session) for session in ended]
        return run.out.document(sessions=documents) if every else run.out.document(session=documents[0])
    for session in ended:
        run.out.sentence(_change(session, told[session.session_id], state, named=even_so))
    if not ended:
        run.out.line("Nothing to do: no session that this applies to")
    return None


def _change(session: Session, before: str, state: str, *, named: bool) -> str:
    name = f"Session {session.session_id} ({session.name})"
    if before == state:
        return f"{name} is {state} already" + (f"; its worker is {session.worker_id}" if named else "")
    if session.cancelling and not session.is_over:
        stopping = session.counts.running + session.counts.cancelling
        verb = "is" if stopping == 1 else "are"
        waiting = session.counts.queued + session.counts.blocked
        if waiting:
            to_go = number_of(waiting, "task")
            return f"{name} is being cancelled: {to_go} to go, {stopping} {verb} stopping"
        return f"{name} is being cancelled: {number_of(stopping, 'task')} {verb} stopping"
    return f"{name} is {session.status.value}"
