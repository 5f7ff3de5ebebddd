"""The command that gives paths back, or takes them away: unlock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from buildrunner_parallel.bounds import MOST_REVISION

from .command import command
from .invocation import Invocation
from .lock_phrases import holder_phrase, lock_path, session_phrase
from .phrases import number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import PathLock

    from .render import Cell

app = typer.Typer()

_SHORTEST_PREFIX = 4


@command(app, "unlock")
def unlock(
    run: Invocation,
    session_id: Annotated[
        str, typer.Argument(metavar="SESSION", help="Session id, unique prefix of one, or `last`.")
    ] = "",
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH...", help="All that it holds itself if left out.")
    ] = None,
    grant_id: Annotated[
        str, typer.Option("--grant", metavar="ID", help="What was taken with a lease or by a task.")
    ] = "",
    fence: Annotated[
        int | None,
        typer.Option("--fence", metavar="N", min=1, max=MOST_REVISION, help="Of that grant, as proof."),
    ] = None,
    force: Annotated[
        str, typer.Option("--force", metavar="LOCK", help="Take this lock away, whoever holds it.")
    ] = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with --force.")] = "",
) -> None:
    """Give paths back, or with --force take a lock away.

    Tasks give back what they hold at their end. A task whose lock is taken away is stopped first, and
    fails.
    """
    _check_usage(session_id, paths, grant_id, fence, force, reason)
    with run.existing() as client:
        if force:
            return _take_away(run, client, force, reason)
        return _give_back(run, client, session_id, paths or (), grant_id, fence or 0)


def _check_usage(
    session_id: str, paths: Sequence[str] | None, grant_id: str, fence: int | None, force: str, reason: str
) -> None:
    if force and (session_id or paths or grant_id or fence):
        raise typer.BadParameter("takes a lock's id and --reason, and nothing else", param_hint="--force")
    if force and not reason.strip():
        raise typer.BadParameter("is needed with --force: say why", param_hint="--reason")
    if reason and not force:
        raise typer.BadParameter("only together with --force", param_hint="--reason")
    if bool(grant_id) != bool(fence):
        raise typer.BadParameter("go together", param_hint="--grant, --fence")
    if not (force or session_id or grant_id):
        raise typer.BadParameter("is needed, or --grant, or --force", param_hint="SESSION")


def _give_back(
    run: Invocation, client: Client, session_id: str, paths: Sequence[str], grant_id: str, fence: int
) -> None:
    session = client.get_session(session_id) if session_id else None
    freed = client.release_locks(session.session_id if session else "", paths, grant_id=grant_id, fence=fence)
    who = f"grant {grant_id}" if session is None else session_phrase(session.session_id, session.name)
    if not freed and not run.settings.as_json:
        return run.out.sentence(f"Nothing to do: {who} holds no path itself")
    return _show(run, f"{number_of(len(freed), 'path')} of {who} given back", freed)


def _take_away(run: Invocation, client: Client, asked: str, reason: str) -> None:
    lock_id, together = _found(client, asked)
    taken = client.force_release(lock_id, reason)
    freed = [taken, *(one for one in together if one.lock_id != taken.lock_id)]
    who = holder_phrase(taken.holder)
    after = ": it is stopped first, and fails" if taken.holder.task_id and taken.freed_at is None else ""
    _show(run, f"{number_of(len(freed), 'path')} taken away from {who}{after}", freed)


def _found(client: Client, asked: str) -> tuple[str, list[PathLock]]:
    """The lock's whole id, and all that go with it: those of one holder come under one fence. An unknown one
    is left to the coordinator to refuse. Raises AmbiguousIdError."""
    from buildrunner_parallel.errors import AmbiguousIdError

    locks = client.list_locks().locks
    exact = [one for one in locks if one.lock_id == asked]
    fitting = exact or [
        one for one in locks if len(asked) >= _SHORTEST_PREFIX and one.lock_id.startswith(asked)
    ]
    if not fitting:
        return asked, []
    holders = {_account(one) for one in fitting}
    if len(holders) > 1:
        ids = [one.lock_id for one in fitting]
        raise AmbiguousIdError(f"{asked!r} is the beginning of several locks", candidates=ids)
    return fitting[0].lock_id, [one for one in locks if _account(one) in holders]


def _account(one: PathLock) -> str:
    return one.holder.attempt_id or one.holder.grant_id or one.lock_id


def _show(run: Invocation, headline: str, freed: Sequence[PathLock]) -> None:
    from buildrunner_parallel.records import record_to_json

    if run.settings.as_json:
        return run.out.document(locks=[record_to_json(one) for one in freed])
    run.out.sentence(headline)
    return run.out.table(("~path", "mode", "?>fence"), [_row(one) for one in freed])


def _row(one: PathLock) -> tuple[Cell, ...]:
    return (lock_path(one), one.mode.value, str(one.fence))
