"""The command that follows everything: watch, one line or one JSON object an event."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from buildrunner_parallel.bounds import MOST_REVISION
from buildrunner_parallel.text import one_line

from .command import command
from .invocation import Invocation
from .options import EntityWord, words_help
from .phrases import STYLES, utc_now
from .render import complain

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.dashboard.changes import News
    from buildrunner_parallel.watch import Watcher, WatchEvent

app = typer.Typer()

NARROW_COLUMNS = 60
_NAMES = {"TaskSummary": "task", "PathLock": "lock"}


@command(app, "watch")
def watch(
    run: Invocation,
    session_id: Annotated[
        str, typer.Argument(metavar="SESSION", help="Only what belongs to this one: id, prefix or `last`.")
    ] = "",
    since: Annotated[
        int | None,
        typer.Option("--since", metavar="REV", min=0, max=MOST_REVISION, help="Go on behind this revision."),
    ] = None,
    kinds: Annotated[
        list[EntityWord] | None,
        typer.Option("--kind", "-k", metavar="KIND", help=f"{words_help(EntityWord)} May be repeated."),
    ] = None,
) -> None:
    """Follow what happens, one line an event, until Ctrl+C."""
    with run.reader() as client:
        if client is None and not session_id:
            return run.out.line("No sessions")
        if client is None:
            run.existing()
            return None
        session_ids = (client.get_session(session_id).session_id,) if session_id else ()
        _follow(run, client, session_ids, tuple(kind.value for kind in kinds or ()), since)
    return None


def _follow(
    run: Invocation, client: Client, session_ids: tuple[str, ...], kinds: tuple[str, ...], since: int | None
) -> None:
    watcher: Watcher = client.watch(
        session_ids=session_ids, kinds=kinds, since_revision=since, ended_tasks=bool(session_ids)
    )
    screen: _Screen = (
        _JsonStream(run) if run.settings.as_json else _LineStream(run, keep_ended=bool(session_ids))
    )
    stream = _Stream(run, screen, ("watch", *session_ids, *(f"--kind={kind}" for kind in kinds)), since)
    try:
        for event in watcher:
            stream.take(event)
    finally:
        watcher.close()


class _Stream:
    """What both ways of telling have in common: where to go on, and the words about the connection."""

    def __init__(
        self, run: Invocation, screen: _Screen, arguments: tuple[str, ...], since: int | None
    ) -> None:
        self._run = run
        self._screen = screen
        self._arguments = arguments
        self._since = since
        self._begun = False
        # Whoever goes on from here misses nothing: it lags behind while a message is being told.
        self._revision = since or 0

    def take(self, event: WatchEvent) -> None:
        if event.connection != "ok":
            lost = event.connection == "lost"
            return complain("The coordinator is away; waiting for it" if lost else "The coordinator is back")
        if event.reset:
            self._say_reset()
            self._revision = 0
        self._begun = True
        if event.closing:
            complain("The coordinator is being stopped")
        before, self._revision = self._revision, event.revision or self._revision
        self._screen.show(event, before, self._revision)
        sys.stdout.flush()
        if self._revision:
            back = self._run.command_line(*self._arguments, "--since", str(self._revision))
            self._run.come_back = f"Go on from here with: {back}"
        return None

    def _say_reset(self) -> None:
        if self._begun:
            complain("Changes were missed: the coordinator has them no longer. What differs now follows")
        elif self._since is not None:
            complain(f"The changes behind revision {self._since} are not kept any more: going on from now")


class _Screen(Protocol):
    """How events are told; `before` and `after` are the revisions to go on from, before it and behind it."""

    def show(self, event: WatchEvent, before: int, after: int) -> None: ...


class _JsonStream:
    """One object a change, under its name; a snapshot stands between a resetting and a completing line."""

    def __init__(self, run: Invocation) -> None:
        self._run = run

    def show(self, event: WatchEvent, before: int, after: int) -> None:
        from buildrunner_parallel.records import record_to_json

        if event.reset:
            self._write(0, reset=True, compacted=event.compacted)
        last = len(event.changes) - 1
        for index, change in enumerate(event.changes):
            whole = index == last and not event.snapshot
            name = type(change).__name__
            document = {_NAMES.get(name, name.lower()): record_to_json(change)}
            self._write(after if whole else before, snapshot=event.snapshot, **document)
        if event.snapshot and event.complete:
            self._write(after, snapshot=True, complete=True)

    def _write(self, revision: int, **parts: Any) -> None:
        self._run.out.document(revision=revision, **parts)


class _LineStream:
    """One line an event: time, kind, name, from what to what; in a pipe with the revision and tabs."""

    def __init__(self, run: Invocation, *, keep_ended: bool) -> None:
        from buildrunner_parallel.dashboard.changes import NewsDesk

        self._run = run
        self._desk = NewsDesk(keep_ended=keep_ended)
        self._wide = not run.out.is_terminal or run.out.console.width >= NARROW_COLUMNS

    def show(self, event: WatchEvent, before: int, after: int) -> None:
        news = self._desk.take(event, utc_now())
        for index, one in enumerate(news):
            if self._run.out.is_terminal:
                self._tell(one)
            else:
                self._run.out.row(_row(one, after if index == len(news) - 1 else before))

    def _tell(self, news: News) -> None:
        change = f"{news.before} -> {news.after}" if news.before else news.after
        clock = news.moment.astimezone().strftime("%H:%M:%S")
        kind = f"{news.kind:<7}" if self._wide else news.kind
        details = f"  {one_line(news.details)}" if news.details and self._wide else ""
        text = f"{clock}  {kind}  {one_line(news.name)}  {change}{details}"
        self._run.out.line(text, STYLES.get(news.after, ""))


def _row(news: News, revision: int) -> tuple[str, ...]:
    from buildrunner_parallel.jsonable import time_to_json

    moment = time_to_json(news.moment)
    return (str(revision), moment, news.kind, news.name, news.before, news.after, news.details)
