"""The loop of a live view: takes events from one watcher, folds them, shows them, until the session is over.

The three screens differ in what they show: a redrawn picture, a line a change, a JSON object a change.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from buildrunner_parallel.enums import TaskStatus
from buildrunner_parallel.errors import BuildRunnerError
from buildrunner_parallel.records import Session, TaskSummary, record_to_json

from .fold import Event, Model
from .lines import change_line, moment_of

if TYPE_CHECKING:
    from rich.console import Console

POLL_S = 0.25


class Feed(Protocol):
    """What of the SDK's Watcher the loop needs."""

    def poll(self, timeout_s: float | None = ...) -> Any: ...
    @property
    def ended(self) -> bool: ...


class Screen(Protocol):
    """Where a live view appears."""

    def __enter__(self) -> Screen: ...
    def __exit__(self, *_: object) -> None: ...
    def show(self, model: Model, event: Event | None, news: list[TaskSummary]) -> None: ...


def follow(
    feed: Feed, session_id: str, screen: Screen, look_up: Callable[[], Session]
) -> tuple[Model, Session]:
    """Shows the feed until the session is over; returns the model and the ended session.

    `look_up` asks for the session where a snapshot has left it out, since ended ones may be. Raises
    BuildRunnerError when the feed ends before the session does, and what `look_up` raises.
    """
    model = Model()
    with screen:
        while True:
            event = feed.poll(POLL_S)
            news = model.fold(event) if event is not None else []
            screen.show(model, event, news)
            whole = event is not None and _is_whole(event)
            session = model.sessions.get(session_id)
            if session is None and whole:
                session = look_up()
            if session is not None and session.is_over and (event is None or whole):
                return model, session
            if event is None and feed.ended:
                raise BuildRunnerError("The watch ended before the session did; the session may go on.")


def _is_whole(event: Any) -> bool:
    return bool(event.complete) and event.connection == "ok"


class TerminalScreen:
    """Redraws one picture in place, at most four times a second."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._drawn_at = 0.0

    def __enter__(self) -> TerminalScreen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, model: Model, event: Event | None, news: list[TaskSummary]) -> None:
        from .view import draw

        if time.monotonic() - self._drawn_at < POLL_S and event is not None:
            return
        self._drawn_at = time.monotonic()
        size = self._console.size
        self._live.update(draw(model, datetime.now(UTC), size.height, size.width), refresh=True)


class LineScreen:
    """Writes one line for each change of a task, and for a coordinator that goes or comes back."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def __enter__(self) -> LineScreen:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, model: Model, event: Event | None, news: list[TaskSummary]) -> None:
        if event is not None and event.connection == "lost":
            self._write("The coordinator is away; waiting for it")
        elif event is not None and event.connection == "back":
            self._write("The coordinator is back")
        for task in news:
            # Being assigned is a step of milliseconds on the way to running.
            if task.status != TaskStatus.ASSIGNED:
                self._write(change_line(task, moment_of(task, datetime.now(UTC))))


class JsonScreen:
    """Hands each change on as the parts of a JSON object: what changed, under its name."""

    def __init__(self, write: Callable[..., None]) -> None:
        self._write = write

    def __enter__(self) -> JsonScreen:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, model: Model, event: Event | None, news: list[TaskSummary]) -> None:
        for task in news:
            self._write(revision=model.revision, task=record_to_json(task))
