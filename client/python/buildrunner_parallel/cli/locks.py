"""The command that shows who holds which paths, and who waits: locks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import phrases
from .command import command
from .invocation import Invocation
from .lock_phrases import ends_phrase, lock_path, milliseconds, obstacles_phrase, request_path, short_holder
from .lock_stats import show_statistics
from .options import duration_option, limit_option
from .phrases import age, number_of

if TYPE_CHECKING:
    from datetime import datetime

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import LockListing, LockWaiter, PathLock

    from .render import Cell

app = typer.Typer()

SHOWN_ID_LENGTH = 8
"""Of a lock's id: those of one holder begin alike, and go together."""


@command(app, "locks")
def locks(
    run: Invocation,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Only what overlaps with it: a file, directory or glob.")
    ] = "",
    session: Annotated[str, typer.Option("--session", metavar="ID", help="Only of this session.")] = "",
    waiting: Annotated[bool, typer.Option("--waiting", help="Only who waits.")] = False,
    stats: Annotated[bool, typer.Option("--stats", help="How long which paths were waited for.")] = False,
    since: Annotated[float | None, duration_option("--since", "With --stats: only the last so long.")] = None,
    limit: Annotated[int, limit_option("With --stats: at most so many paths and sessions.")] = 20,
) -> None:
    """Show which paths are held by whom, and who waits for which."""
    if since is not None and not stats:
        raise typer.BadParameter("only together with --stats", param_hint="--since")
    if stats and (path or waiting):
        raise typer.BadParameter("tells of all paths; --session narrows it", param_hint="--stats")
    with run.reader() as client:
        session_id = client.get_session(session).session_id if client and session else ""
        if stats:
            return show_statistics(run, client, session_id, since, limit)
        return _show(run, _listing(client, path, session_id), waiting)


def _listing(client: Client | None, path: str, session_id: str) -> LockListing:
    from buildrunner_parallel.records import LockListing

    return LockListing() if client is None else client.list_locks(path, session=session_id)


def _show(run: Invocation, found: LockListing, waiting: bool) -> None:
    from buildrunner_parallel.records import record_to_json

    held = () if waiting else found.locks
    if run.settings.as_json:
        listed = {} if waiting else {"locks": [record_to_json(one) for one in held]}
        return run.out.document(**listed, waiters=[record_to_json(one) for one in found.waiters])
    if run.settings.quiet:
        return _show_ids(run, held, found.waiters if waiting else ())
    if not waiting:
        _show_held(run, held)
    if found.waiters:
        if not waiting:
            run.out.line()
        _show_waiters(run, found.waiters)
    elif waiting:
        run.out.line("Nobody waits for a path")
    return None


def _show_ids(run: Invocation, held: tuple[PathLock, ...], waiters: tuple[LockWaiter, ...]) -> None:
    for one in held:
        run.out.always(one.lock_id)
    for waiter in waiters:
        run.out.always(short_id(waiter))


def short_id(waiter: LockWaiter) -> str:
    """A task as other commands take it, or the session in whose name somebody waits."""
    who = waiter.waiter
    return f"{who.session_id}/{who.task_id}" if who.task_id else who.session_id


def _show_held(run: Invocation, held: tuple[PathLock, ...]) -> None:
    if not held:
        return run.out.line("No path is held")
    now = phrases.utc_now()
    columns = (
        "~path", "?2mode", "?6kind", "~holder", "?7host", "?5worker", "?3since", "?5>fence", "?4ends",
        "?1lock",
    )  # fmt: skip
    run.out.table(columns, [_held_row(one, now, whole_id=not run.out.is_terminal) for one in held])
    return run.out.hint(f"Take one away: {run.command_line('unlock', '--force')} LOCK --reason TEXT")


def _held_row(one: PathLock, now: datetime, *, whole_id: bool) -> tuple[Cell, ...]:
    lost = "yellow" if one.freed_at else ""
    return (
        lock_path(one),
        one.mode.value,
        one.kind.value,
        short_holder(one.holder),
        one.holder.host,
        one.holder.worker_id,
        age(one.acquired_at, now),
        str(one.fence),
        (ends_phrase(one, now), lost),
        one.lock_id if whole_id else one.lock_id[:SHOWN_ID_LENGTH],
    )


def _show_waiters(run: Invocation, waiters: tuple[LockWaiter, ...]) -> None:
    shown = None if not run.out.is_terminal else 3
    rows = [
        (
            str(one.position),
            short_holder(one.waiter),
            ", ".join(map(request_path, one.paths)),
            milliseconds(one.waited_ms),
            obstacles_phrase(one, shown),
        )
        for one in waiters
    ]
    run.out.sentence(f"{number_of(len(waiters), 'waiter')}:")
    run.out.table((">place", "~waits", "~for", "?>since", "~in the way"), rows)
