"""The command that deletes what is over and old: cleanup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import exit_codes, phrases
from .asking import agreed, can_ask
from .command import command
from .invocation import Invocation
from .worktrees import clear_deleted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Session

    from .render import Cell

app = typer.Typer()

DEFAULT_DAYS = 7
MOST_DAYS = 3650
DAY_S = 86_400


@command(app, "cleanup")
def cleanup(
    run: Invocation,
    days: Annotated[
        int,
        typer.Option(
            "--days", "-d", min=0, max=MOST_DAYS, metavar="N", help="Those that ended more than N days ago."
        ),
    ] = DEFAULT_DAYS,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be deleted, and delete nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete old sessions that are over, with their tasks and output."""
    if not (dry_run or yes or can_ask(run)):
        raise typer.BadParameter("without a terminal to ask on, say --yes, or --dry-run", param_hint="--yes")
    with run.reader() as client:
        old = client.delete_sessions(older_than_s=days * DAY_S, dry_run=True) if client else []
        if not old:
            return _tell_nothing(run, days, dry_run)
        if not run.settings.as_json:
            _list(run, old)
        deleted = [] if dry_run or not client else _delete(run, client, old, days, yes)
        trees = clear_deleted(client, deleted) if client and deleted else []
    if run.settings.as_json:
        return _document(run, old if dry_run else deleted, dry_run)
    if dry_run:
        return run.out.line(f"Would delete {phrases.number_of(len(old), 'session')}; nothing was deleted")
    rest = f", and {phrases.number_of(len(trees), 'worktree')}" if trees else ""
    return run.out.line(
        f"Deleted {phrases.number_of(len(deleted), 'session')}, with all tasks and output{rest}"
    )


def _tell_nothing(run: Invocation, days: int, dry_run: bool) -> None:
    if run.settings.as_json:
        return _document(run, [], dry_run)
    past = f"ended more than {phrases.number_of(days, 'day')} ago" if days else "is over"
    return run.out.line(f"Nothing to delete: no session {past}")


def _document(run: Invocation, sessions: Sequence[Session], dry_run: bool) -> None:
    from buildrunner_parallel.records import record_to_json

    run.out.document(sessions=[record_to_json(session) for session in sessions], dry_run=dry_run)


def _list(run: Invocation, old: Sequence[Session]) -> None:
    now = phrases.utc_now()
    columns = ("id", "~name", "?1status", "?2>tasks", "ended")
    run.out.table(columns, [_row(session, now) for session in old])


def _row(session: Session, now: datetime) -> tuple[Cell, ...]:
    return (
        session.session_id,
        session.name,
        phrases.session_status(session),
        str(session.counts.total),
        phrases.age(session.ended_at, now),
    )


def _delete(
    run: Invocation, client: Client, old: Sequence[Session], days: int, yes: bool
) -> Sequence[Session]:
    """Deletes exactly what was shown, and of that what is still over and old. Exits when told not to."""
    if not yes and not agreed(run, f"Delete {phrases.number_of(len(old), 'session')}?"):
        run.out.line("Left as it was")
        raise typer.Exit(exit_codes.REFUSED)
    shown = [session.session_id for session in old]
    return client.delete_sessions(older_than_s=days * DAY_S, session_ids=shown)
