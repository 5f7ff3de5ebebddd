"""The command that takes paths by hand: lock."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from . import exit_codes
from .command import command
from .invocation import Invocation
from .lock_phrases import lock_path, session_phrase
from .lock_waiting import waiting_shown
from .lock_words import LockCommand, parse_wait, parted
from .options import SessionArgument, duration_option
from .phrases import number_of
from .render import complain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildrunner_parallel.calls_locks import Wait
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Grant, PathLock, Session

    from .render import Cell

app = typer.Typer()

LEASE_S = 30.0


@command(app, "lock", cls=LockCommand)
def lock(
    run: Invocation,
    session_id: SessionArgument,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH... [-- CMD ARGS...]", help="Files, directories, globs, res:NAME; what to run."
        ),
    ],
    shared: Annotated[bool, typer.Option("--shared", help="Beside others that only read.")] = False,
    wait: Annotated[
        str | None,
        typer.Option("--wait", metavar="[DURATION]", help="Queue up until they are free, or for so long."),
    ] = None,
    lease: Annotated[
        float | None,
        duration_option("--lease", "Held so long after the last renewal; 30s with CMD, else for good."),
    ] = None,
) -> None:
    """Take paths for a session: all of them or none.

    They are held until `unlock` or the session's end. With CMD they are held as long as it runs, and it runs
    only as long as they are held.
    """
    paths, words_to_run = parted(words)
    mode, patience = "shared" if shared else "exclusive", parse_wait(wait)
    if words_to_run and run.settings.as_json:
        raise typer.BadParameter("standard output belongs to CMD", param_hint="--json")
    run.come_back = "Nothing is held."
    run.waiting = "wait longer for it" if patience else "wait for it with --wait"
    with run.existing() as client:
        session = client.get_session(session_id)
        if words_to_run:
            lease_s = LEASE_S if lease is None else lease
            _run_held(run, client, session, paths, words_to_run, mode, patience, lease_s)
        else:
            _take(run, client, session, paths, mode, patience, lease)


# ---------------------------------------------------------------- for the session


def _take(
    run: Invocation, client: Client, session: Session, paths: Sequence[str],
    mode: str, wait: Wait, lease: float | None,
) -> None:  # fmt: skip
    from buildrunner_parallel.errors import LockConflictError
    from buildrunner_parallel.records import record_to_json

    try:
        with waiting_shown(run, client, session.session_id):
            grant = client.acquire_locks(session.session_id, paths, mode=mode, wait=wait, lease=lease)
    except LockConflictError as error:
        if run.settings.as_json:
            run.out.document(locks=[], conflicts=[record_to_json(one) for one in error.conflicts])
        raise
    _show(run, session, grant, lease)


def _show(run: Invocation, session: Session, grant: Grant, lease: float | None) -> None:
    from buildrunner_parallel.records import record_to_json

    if run.settings.as_json:
        return run.out.document(locks=[record_to_json(one) for one in grant.locks])
    who = session_phrase(session.session_id, session.name)
    run.out.sentence(f"{who[:1].upper()}{who[1:]} holds {number_of(len(grant.locks), 'path')}")
    run.out.table(("~path", "mode", "?1>fence", "?2grant"), [_row(one) for one in grant.locks])
    if lease is None:
        return run.out.hint(f"Give back:  {run.command_line('unlock', session.session_id)} PATH")
    back = run.command_line("unlock", "--grant", grant.grant_id, "--fence", str(grant.fence))
    return run.out.hint(f"Give back:  {back}")


def _row(one: PathLock) -> tuple[Cell, ...]:
    return (lock_path(one), one.mode.value, str(one.fence), one.grant_id)


# ---------------------------------------------------------------- around a command


def _run_held(
    run: Invocation, client: Client, session: Session, paths: Sequence[str], words: Sequence[str],
    mode: str, wait: Wait, lease_s: float,
) -> None:  # fmt: skip
    from buildrunner_parallel.errors import BuildRunnerError, LockLostError

    from .lock_command import HeldCommand

    held = HeldCommand(words)
    block = client.lock(session.session_id, paths, mode=mode, wait=wait, lease=lease_s, on_lost=held.end)
    try:
        with ExitStack() as stack:
            with waiting_shown(run, client, session.session_id):
                grant = stack.enter_context(block)
            code = held.run(grant)
    except LockLostError as error:
        after = "the command was ended" if held.was_ended else f"the command had ended with {held.exit_code}"
        complain(f"{error.message.rstrip('.')}; {after}")
        raise typer.Exit(exit_codes.CONFLICT) from None
    except BuildRunnerError as error:
        if held.exit_code is None:
            raise
        # The work is done, and its paths come free with their lease.
        complain(f"The lock could not be given back: {error.message}")
        code = held.exit_code
    raise typer.Exit(code)
