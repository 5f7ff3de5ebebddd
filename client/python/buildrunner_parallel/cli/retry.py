"""The command that runs again what did not succeed: retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .command import command
from .following import await_session
from .invocation import Invocation
from .options import SessionArgument
from .phrases import number_of

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Session, TaskCounts

app = typer.Typer()

SHOWN_IDS = 5
_AGAIN = ("failed", "skipped", "cancelled")


@command(app, "retry")
def retry(
    run: Invocation,
    session_id: SessionArgument,
    task_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="TASK...", help="These, and what was skipped because of them; else all."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end (exit code 0, 6 or 7).")] = False,
) -> None:
    """Run again what failed, was cancelled or was skipped.

    The session runs again, and workers that `start` made for it come back.
    """
    named = tuple(dict.fromkeys(task_ids or ()))
    with run.existing() as client:
        before = client.get_session(session_id)
        if not named and not _unsuccessful(before.counts):
            return _tell_nothing(run, before)
        session, count = _retry(client, before, named)
        if wait:
            run.out.streamed_sentence(_phrase(before, session, count, named))
            _tell_obstacles(run, session)
            await_session(run, client, session)
        else:
            _tell(run, before, session, count, named)
    return None


def _unsuccessful(tally: TaskCounts) -> int:
    return sum(getattr(tally, name) for name in _AGAIN)


def _retry(client: Client, before: Session, named: tuple[str, ...]) -> tuple[Session, int]:
    """Raises NotFoundError for a task that there is not; the refusal alone would not tell."""
    from buildrunner_parallel.errors import WrongStateError

    try:
        return client.retry_tasks(before.session_id, named)
    except WrongStateError:
        for task_id in named:
            client.get_task(before.session_id, task_id)
        raise


def _tell_nothing(run: Invocation, session: Session) -> None:
    from buildrunner_parallel.records import record_to_json

    if run.settings.as_json:
        return run.out.document(session=record_to_json(session), retried_tasks=0)
    return run.out.sentence(
        f"Nothing to run again: nothing of session {session.session_id} ({session.name}) failed"
    )


def _tell(run: Invocation, before: Session, session: Session, count: int, named: tuple[str, ...]) -> None:
    from buildrunner_parallel.records import record_to_json

    if run.settings.as_json:
        return run.out.document(session=record_to_json(session), retried_tasks=count)
    run.out.sentence(_phrase(before, session, count, named))
    _tell_obstacles(run, session)
    run.out.hint(f"Wait for it:   {run.command_line('wait', session.session_id)}")
    return None


def _phrase(before: Session, session: Session, count: int, named: tuple[str, ...]) -> str:
    what = f"{number_of(count, 'task')} {'runs' if count == 1 else 'run'} again"
    kinds = _named_kinds(count, named) if named else _kinds(before.counts)
    workers = ""
    if before.is_over and session.wanted_workers:
        comes = "comes" if session.wanted_workers == 1 else "come"
        workers = f"; its {number_of(session.wanted_workers, 'worker')} {comes} back"
    return f"Session {session.session_id} ({session.name}): {what} ({kinds}){workers}"


def _kinds(tally: TaskCounts) -> str:
    return ", ".join(f"{getattr(tally, name)} {name}" for name in _AGAIN if getattr(tally, name))


def _named_kinds(count: int, named: tuple[str, ...]) -> str:
    names = ", ".join(named[:SHOWN_IDS])
    hidden = len(named) - SHOWN_IDS
    more = f" and {hidden} more" if hidden > 0 else ""
    skipped = count - len(named)
    because = f", {skipped} skipped because of {'it' if len(named) == 1 else 'them'}" if skipped > 0 else ""
    return names + more + because


def _tell_obstacles(run: Invocation, session: Session) -> None:
    """What keeps the tasks from running for now."""
    if session.status.value == "paused":
        resume = run.command_line("resume", session.session_id)
        run.out.streamed_line(f"The session is paused; let it go on with: {resume}")
    elif not session.wanted_workers:
        worker = run.command_line("worker")
        run.out.hint(f"It has no workers of its own; if none serve all sessions: {worker}")
