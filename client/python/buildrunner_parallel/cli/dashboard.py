"""The command that shows everything live: dashboard."""

from __future__ import annotations

import os
import signal
import sys
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from buildrunner_parallel.durations import parse_duration

from .command import command
from .invocation import Invocation

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.dashboard.snapshot import Observer
    from buildrunner_parallel.records import Session

app = typer.Typer()

DEFAULT_REFRESH_S = 0.5
LEAST_S, MOST_REFRESH_S = 0.05, 60.0


def _seconds(least: float, most: float | None) -> Any:
    """A parser for options whose value is a duration within bounds."""

    def parse(value: str | float | None) -> float | None:
        if value is None:
            return None
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            raise typer.BadParameter(f"{error}, found {value!r}") from None
        if seconds < least or (most is not None and seconds > most):
            bounds = f"from {least:g} to {most:g}" if most is not None else f"of at least {least:g}"
            raise typer.BadParameter(f"expected a number {bounds} seconds, found {value}")
        return seconds

    return parse


@command(app, "dashboard")
def dashboard(
    run: Invocation,
    session_id: Annotated[
        str,
        typer.Argument(
            metavar="SESSION",
            help="Begin with this session: id, prefix or `last`; without a terminal, this alone.",
        ),
    ] = "",
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration", "-d", metavar="SECONDS", parser=_seconds(LEAST_S, None), help="End after this long."
        ),
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", "-c", help="Sessions, all else in a line each.")
    ] = False,
    refresh: Annotated[
        float | None,
        typer.Option(
            "--refresh",
            "-r",
            metavar="SECONDS",
            parser=_seconds(LEAST_S, MOST_REFRESH_S),
            help="How often it is drawn.",
            show_default=f"{DEFAULT_REFRESH_S}",
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="One picture, then end.")] = False,
) -> None:
    """Show sessions, workers, tasks, locks and failures live, until q.

    ? lists the keys: open sessions and tasks, follow output, filter, pause, resume, cancel, retry.

    Without a terminal: a snapshot as lines or, with --json, a document; one every --refresh with --duration.
    """
    if once and duration is not None:
        raise typer.BadParameter("one picture takes no time: leave it out", param_hint="--duration")
    refresh_s = refresh or DEFAULT_REFRESH_S
    with run.reader() as client:
        if client is None and not session_id:
            return _nothing(run)
        if client is None:
            run.existing()
            return None
        if session_id:
            session_id = client.get_session(session_id).session_id
        if once or not _is_screen(run):
            return _snapshots(run, client, session_id, duration, refresh_s, compact)
        show(run, client, session_id=session_id, duration_s=duration, compact=compact, refresh_s=refresh_s)
    return None


def _nothing(run: Invocation) -> None:
    if run.settings.as_json:
        from buildrunner_parallel.dashboard.fold import Board
        from buildrunner_parallel.dashboard.plain import data

        return run.out.document(dashboard=data(Board(), 0.0))
    return run.out.line("No sessions")


def _is_screen(run: Invocation) -> bool:
    return run.out.is_terminal and not run.settings.quiet


def show(
    run: Invocation,
    client: Client,
    *,
    session_id: str = "",
    until_end: bool = False,
    duration_s: float | None = None,
    compact: bool = False,
    refresh_s: float = DEFAULT_REFRESH_S,
) -> Session | None:
    """The dashboard on the terminal; with `until_end` the session once it has ended. Ctrl+C interrupts."""
    from buildrunner_parallel.dashboard.live import Options, SignalEnd
    from buildrunner_parallel.dashboard.live import run as live
    from buildrunner_parallel.dashboard.terminal import Terminal

    encoding = _encoding()
    options = Options(
        refresh_s=refresh_s,
        duration_s=duration_s,
        compact=compact,
        session_id=session_id,
        until_end=until_end,
        color=run.out.has_color,
        unicode=_has_signs(encoding),
        title=_title(client),
    )
    sys.stdout.flush()
    fd_in, opened = _keyboard(run)
    try:
        return live(client, Terminal(fd_in, _screen(), encoding), options)
    except SignalEnd as end:
        # The terminal is as it was: now the signal does what it does to every program.
        signal.signal(end.number, signal.SIG_DFL)
        os.kill(os.getpid(), end.number)
        raise
    finally:
        if opened:
            os.close(fd_in or 0)


def _encoding() -> str:
    return (getattr(sys.stdout, "encoding", "") or "ascii").lower()


def _has_signs(encoding: str) -> bool:
    """Whether bars and signs can be written; else there is ASCII for all of them."""
    return encoding.replace("-", "") in ("utf8", "gb18030")


def _keyboard(run: Invocation) -> tuple[int | None, bool]:
    """Where keys come from, and whether it was opened for that: not standard input where that is a file, and
    nowhere where lines are typed on the same terminal."""
    if sys.stdin.isatty():
        return (None if run.reads_stdin else sys.stdin.fileno()), False
    try:
        return os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC), True
    except OSError:
        return None, False


def _screen() -> int:
    """The descriptor that frames are written to; tests put their own there."""
    return sys.stdout.fileno()


def _title(client: Client) -> str:
    workspace = client.workspace
    return workspace.root.name if workspace is not None else client.address


def _snapshots(
    run: Invocation,
    client: Client,
    session_id: str,
    duration_s: float | None,
    refresh_s: float,
    compact: bool,
) -> None:
    """One, or one every `refresh_s` seconds for so long."""
    from buildrunner_parallel.dashboard.snapshot import Observer

    end_s = monotonic() + (duration_s or 0.0)
    with Observer(client, session_id) as observer:
        observer.refresh()
        while True:
            _write(run, client, observer, session_id, compact)
            left_s = end_s - monotonic()
            if left_s <= 0:
                return
            observer.refresh(min(refresh_s, left_s))
            if not run.settings.as_json:
                run.out.line()


def _write(run: Invocation, client: Client, observer: Observer, session_id: str, compact: bool) -> None:
    from buildrunner_parallel.dashboard import lists, plain, view
    from buildrunner_parallel.dashboard.narrowing import only

    from .phrases import utc_now

    board, now, now_s = observer.board, utc_now(), monotonic()
    if run.settings.as_json:
        run.out.streamed_document(dashboard=plain.data(board, now_s, session_id))
    elif run.settings.quiet:
        for session in lists.sessions(only(board, session_id) if session_id else board):
            run.out.always(session.session_id)
    elif run.out.is_terminal:
        width = max(view.LEAST_WIDTH, run.out.console.width)
        picture = view.snapshot(board, now, now_s, width, _title(client), compact, observer.listing)
        run.out.console.print(
            picture.rich(unicode=_has_signs(_encoding())), no_wrap=True, crop=False, soft_wrap=True
        )
    else:
        for row in plain.plain_rows(board, now, now_s, session_id, compact=compact):
            run.out.row(row)
    sys.stdout.flush()
