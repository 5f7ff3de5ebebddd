"""Why what is waited for does not move: told once for each reason, on standard error, with what to do.

A wait in a pipe is silent otherwise, and the bar of a terminal says no more than that nothing runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from .explaining import reason_key, reasons
from .lock_waiting import stderr_is_terminal
from .phrases import number_of
from .remedies import close_it, fill_it, get_worker, resume_it, was_stopped
from .render import complain

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Session, Wait

    from .invocation import Invocation

LOOK_EVERY_S = 1.0
STILL_AFTER_S = 5.0
EXPLAINED_TASKS = 100
MOST_REASONS = 3
"""At once: whoever wants all of them asks `explain`."""


@contextmanager
def standstill_told(run: Invocation, client: Client, session_id: str, task_id: str = "") -> Iterator[None]:
    """Looks now and then, as long as the block takes, whether anything of the session moves, or that task."""
    if run.settings.quiet:
        yield
        return
    over = threading.Event()
    watch = Standstill(run, session_id, task_id)
    looker = threading.Thread(
        target=_look, args=(run, watch, client, over), name="br-standstill", daemon=True
    )
    looker.start()
    try:
        yield
    finally:
        over.set()
        looker.join(LOOK_EVERY_S)


def _look(run: Invocation, watch: Standstill, client: Client, over: threading.Event) -> None:
    from buildrunner_parallel.errors import BuildRunnerError, NotFoundError

    while not over.wait(LOOK_EVERY_S):
        if was_stopped(run, client):
            continue
        try:
            told = watch.look(client, time.monotonic())
        except NotFoundError:
            # Deleted, or the task has ended: whoever waits hears of it too.
            return
        except BuildRunnerError:
            # The coordinator is away, or too old for the question.
            continue
        for notice in told if not over.is_set() else ():
            _tell(notice)


def _tell(notice: Notice) -> None:
    """In one line; people get the command in a line of its own, so that it can be copied."""
    if stderr_is_terminal():
        complain(notice.why)
        complain(f"  {notice.way_out}")
    else:
        complain(f"{notice.why}. {notice.way_out}")


class Notice(NamedTuple):
    """Why nothing moves, and what to do."""

    why: str
    way_out: str


class Standstill:
    """What is known of one wait. Times come in, in seconds; `look` is to be called often."""

    def __init__(self, run: Invocation, session_id: str, task_id: str = "") -> None:
        self._run = run
        self._session_id = session_id
        self._task_id = task_id
        self._counts: object = None
        self._since_s = 0.0
        self._asked_s = 0.0
        self._told: set[object] = set()

    def look(self, client: Client, now_s: float) -> list[Notice]:
        """What was not told before; mostly nothing. Raises the errors of errors.py."""
        session = client.get_session(self._session_id)
        if session.counts != self._counts:
            self._counts, self._since_s = session.counts, now_s
        quiet_s = min(now_s - self._since_s, now_s - self._asked_s)
        if session.is_over or session.cancelling or quiet_s < STILL_AFTER_S:
            return []
        self._asked_s = now_s
        counts = session.counts
        still = not counts.running + counts.assigned + counts.cancelling
        obstacle = self._obstacle(session) if still else None
        if obstacle is not None:
            return self._new((session.status, session.open), obstacle)
        if not counts.queued + counts.blocked or not (still or self._task_id):
            return []
        return self._reasons(client, session, still)

    def _obstacle(self, session: Session) -> Notice | None:
        """What keeps all of the session, such as a pause; None when its tasks do not run for reasons of their
        own."""
        run, counts, status = self._run, session.counts, session.status.value
        name = f"Session {session.session_id} ({session.name})"
        if status == "paused":
            return Notice(f"{name} is paused", f"Let it go on with: {resume_it(run, session)}")
        if status == "created":
            return Notice(f"{name} is not started yet", f"Start it with: {resume_it(run, session)}")
        is_fed = session.driver.value != "tasks" or run.reads_stdin
        if is_fed or not session.open or counts.total > counts.done:
            return None
        over = f"{name}: all its tasks are over, and more may come"
        has = over if counts.total else f"{name} has no tasks yet"
        announced = session.declared_tasks - counts.total
        if announced > 0:
            has += f"; {number_of(announced, 'more task' if counts.total else 'task')} announced"
        return Notice(has, f"Add some with: {fill_it(run, session)}; end it with: {close_it(run, session)}")

    def _reasons(self, client: Client, session: Session, still: bool) -> list[Notice]:
        """Why its tasks do not run; while others do, of the awaited one, and only what does not pass."""
        explained = client.explain_tasks(session.session_id, self._task_id, limit=EXPLAINED_TASKS)
        name = f"session {session.session_id} ({session.name})"
        what = f"Task {self._task_id} of {name} does not run" if self._task_id else f"Nothing of {name} runs"
        found: list[Notice] = []
        for reason in reasons(explained)[:MOST_REASONS]:
            if is_coming(reason.wait) or not (still or reason.wait.kind.value == "no_worker"):
                continue
            told = Notice(f"{what}: {reason.sentence()}", self._way_out(client, session, reason.wait))
            found += self._new(reason_key(reason.wait), told)
        return found

    def _way_out(self, client: Client, session: Session, wait: Wait) -> str:
        if wait.kind.value == "no_worker" and (way := get_worker(self._run, client, session, wait)):
            return way
        task = (self._task_id,) if self._task_id else ()
        return f"More is told by: {self._run.command_line('explain', session.session_id, *task)}"

    def _new(self, key: object, notice: Notice) -> list[Notice]:
        if key in self._told:
            return []
        self._told.add(key)
        return [notice]


def is_coming(wait: Wait) -> bool:
    """Workers were asked for a moment ago: nobody needs to do anything."""
    return wait.kind.value == "no_worker" and not wait.names
