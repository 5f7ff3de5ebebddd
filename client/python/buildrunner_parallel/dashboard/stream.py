"""Following one session where there is no terminal: a line, or a JSON object, for each change of a task."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from buildrunner_parallel.enums import TaskStatus
from buildrunner_parallel.errors import BuildRunnerError
from buildrunner_parallel.records import Session, TaskSummary, record_to_json

from .lines import change_line, moment_of
from .news import TaskNews

POLL_S = 0.25


class Feed(Protocol):
    """What of the SDK's Watcher the loop needs."""

    def poll(self, timeout_s: float | None = ...) -> Any: ...
    @property
    def ended(self) -> bool: ...


class Teller(Protocol):
    """Tells of the connection and of changes."""

    def connection(self, state: str) -> None: ...
    def task(self, revision: int, task: TaskSummary) -> None: ...


def follow(feed: Feed, session_id: str, teller: Teller, look_up: Callable[[], Session]) -> Session:
    """Tells what the feed brings until the session is over; returns it.

    `look_up` asks for the session where a snapshot has left it out, since ended ones may be. Raises
    BuildRunnerError when the feed ends before the session does, and what `look_up` raises.
    """
    news = TaskNews()
    while True:
        event = feed.poll(POLL_S)
        if event is not None and event.connection != "ok":
            teller.connection(event.connection)
        for task in news.take(event) if event is not None else ():
            teller.task(news.revision, task)
        whole = event is not None and event.connection == "ok" and bool(event.complete)
        session = news.sessions.get(session_id)
        if session is None and whole:
            session = look_up()
        if session is not None and session.is_over and (event is None or whole):
            return session
        if event is None and feed.ended:
            raise BuildRunnerError("The watch ended before the session did; the session may go on.")


class LineTeller:
    """One line for each change of a task, and for a coordinator that goes or comes back."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def connection(self, state: str) -> None:
        self._write(
            "The coordinator is away; waiting for it" if state == "lost" else "The coordinator is back"
        )

    def task(self, revision: int, task: TaskSummary) -> None:
        # Being assigned is a step of milliseconds on the way to running.
        if task.status != TaskStatus.ASSIGNED:
            self._write(change_line(task, moment_of(task, datetime.now(UTC))))


class JsonTeller:
    """Hands each change on as the parts of a JSON object."""

    def __init__(self, write: Callable[..., None]) -> None:
        self._write = write

    def connection(self, state: str) -> None:
        return

    def task(self, revision: int, task: TaskSummary) -> None:
        self._write(revision=revision, task=record_to_json(task))
