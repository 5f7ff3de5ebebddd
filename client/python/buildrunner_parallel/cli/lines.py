"""Sessions and submissions whose tasks are lines: what `--commands`, `--args` and `-- CMD {}` ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import typer

from buildrunner_parallel.errors import BuildRunnerError
from buildrunner_parallel.text import one_line

from .feeding import Feed, submitted_phrase
from .invocation import Invocation
from .line_source import STDIN, LineForm, LineSource, open_source
from .line_tasks import LineTasks, has_placeholder
from .places import check_task, is_local, submitter
from .render import complain
from .submission_bar import submission_bar

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.plan import PlanTask
    from buildrunner_parallel.records import Session

    from .submission import Submitter


MAX_NAME_LENGTH = 80


@dataclass(frozen=True)
class Lines:
    """What was asked for: where lines come from, how they end, and the template that they fill."""

    location: str
    words: tuple[str, ...] = ()
    null: bool = False

    @property
    def name(self) -> str:
        """A name for a session of these lines."""
        if self.words:
            name = PurePath(self.words[0]).name
        else:
            # The descriptor behind <(...) has a number, which would name nothing.
            is_nameless = self.location == STDIN or self.location.startswith(("/dev/", "/proc/"))
            name = "commands" if is_nameless else PurePath(self.location).stem
        return one_line(name, MAX_NAME_LENGTH) or "lines"

    @contextmanager
    def opened(self) -> Iterator[LineSource]:
        """The source, a file already looked through. Raises OSError, InvalidRequestError."""
        source = open_source(self.location, LineForm(self.null, comments=not self.words))
        try:
            source.measure()
            yield source
        finally:
            source.close()

    def tasks(self, run: Invocation, place: Submitter, common: PlanTask, prefix: str = "") -> LineTasks:
        """The maker of tasks, after a look at whether this machine can run them."""
        tasks = LineTasks(place, self.words, common, prefix)
        if is_local(run):
            check_task(tasks.probe())
        return tasks


def asked_lines(commands: str, arguments: str, words: list[str] | None, null: bool) -> Lines | None:
    """The lines that the options ask for, if they do. Raises BadParameter where they contradict."""
    if commands and (arguments or words):
        raise typer.BadParameter("its lines are commands already: leave out --args and -- CMD")
    if arguments and not words:
        raise typer.BadParameter("say what to run for each line: -- CMD {}", param_hint="--args")
    if words and not arguments and not any(map(has_placeholder, words)):
        raise typer.BadParameter("say where the arguments of CMD come from: --args FILE, or - for stdin")
    if null and not (commands or words):
        raise typer.BadParameter("says how lines of --commands or --args end", param_hint="--null")
    if commands or words:
        return Lines(commands or arguments or STDIN, tuple(words or ()), null)
    return None


def start_lines(
    run: Invocation,
    client: Client,
    lines: Lines,
    common: PlanTask,
    create: dict[str, Any],
    announce: Callable[[Session, LineSource], None],
    stay: Callable[[Invocation, Client, Session], None] | None,
) -> Session:
    """Starts a session and feeds it. Returns it once everything is submitted; `stay` waits, and exits."""
    run.reads_stdin = lines.location == STDIN
    with lines.opened() as source:
        tasks = lines.tasks(run, submitter(client), common)
        wanted = 0 if source.count == 0 else create["wanted_workers"]
        made = client.create_session(**{**create, "wanted_workers": wanted}, declared_tasks=source.count or 0)
        stop = run.command_line("cancel", made.session_id)
        run.come_back = f"Session {made.session_id} ({made.name}) is there; `{stop}` stops it."
        session = client.start_session(made.session_id)
        feed = Feed(client, session.session_id, source, tasks, after=_leaving(run, client, session))
        with _interruptible(run, feed):
            announce(session, source)
            if stay is None:
                with feed.running(), submission_bar(run, source) as show:
                    feed.wait(show)
            else:
                with feed.running(session_decides=True):
                    stay(run, client, session)
    return client.get_session(session.session_id)


def submit_lines(
    run: Invocation, client: Client, session_id: str, lines: Lines, common: PlanTask, prefix: str
) -> tuple[Session, int]:
    """Adds the tasks of lines to an open session; the session and how many there were.

    Ids are numbers that go on from the number of tasks that the session has, or `prefix` and numbers from
    1 on.
    """
    session = client.get_session(session_id)
    first = 1 if prefix else session.counts.total + 1
    where = f"to session {session.session_id} ({session.name})"
    with lines.opened() as source:
        tasks = lines.tasks(run, submitter(client), common, f"{prefix}-" if prefix else "")
        feed = Feed(
            client,
            session.session_id,
            source,
            tasks,
            first=first,
            seal=False,
            after=lambda feed: f"{submitted_phrase(feed.submitted)} {where}.",
        )
        with _interruptible(run, feed), feed.running(), submission_bar(run, source) as show:
            feed.wait(show)
    return session, feed.submitted


@contextmanager
def _interruptible(run: Invocation, feed: Feed) -> Iterator[None]:
    """Lets Ctrl+C, and a pipe that nobody reads, say what became tasks, unless everything did."""
    try:
        yield
    except BrokenPipeError:
        # The pipe is no fault worth a word; a session that waits for lines which nobody sends is.
        if not feed.finished:
            complain(feed.after(feed))
        raise
    except KeyboardInterrupt:
        if not feed.finished:
            run.come_back = feed.after(feed)
        elif not run.come_back:
            run.come_back = f"{submitted_phrase(feed.submitted)}, and that was all."
        raise


def _leaving(run: Invocation, client: Client, session: Session) -> Callable[[Feed], str]:
    """What to say of a session whose lines did not come to their end; one without a task is cancelled."""
    named = f"session {session.session_id} ({session.name})"
    close = run.command_line("close", session.session_id)
    cancel = run.command_line("cancel", session.session_id)

    def phrase(feed: Feed) -> str:
        if not feed.submitted:
            if feed.is_lost or not _cancelled(client, session):
                return f"No task was submitted to {named}."
            return f"No task was submitted; {named} is cancelled."
        return (
            f"{submitted_phrase(feed.submitted)} to {named}, which stays open for more: `{close}` lets it "
            f"end with them, `{cancel}` stops it."
        )

    return phrase


def _cancelled(client: Client, session: Session) -> bool:
    try:
        client.cancel_session(session.session_id, reason="its lines could not be read")
    except BuildRunnerError:
        return False
    return True
