"""The loop of the dashboard: events, keys and signals in, frames out. What it knows and draws is pure.

    feed ----> Board.fold --+
    desk ----> Board.take_* +--> view.frame --> Terminal.draw
    keys ----> ui.press ----+--> desk.carry_out

One thread. Whatever happens elsewhere (an event, a key, a signal, an answer) wakes it; it draws at once for
a key, otherwise once in `refresh_s`.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from buildrunner_parallel.errors import BuildRunnerError, NotFoundError, UnreachableError

from .desk import Desk
from .fold import Board
from .keys import KeyDecoder
from .reading import read_change
from .terminal import Terminal
from .ui import Action, Known, Leave, Page, Ui, press
from .view import Scene, frame

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import Session
    from buildrunner_parallel.watch import Watcher

ESCAPE_S = 0.03
WATCH_AGAIN_S = 2.0
EVENTS_A_TURN = 64


@dataclass(frozen=True, slots=True)
class Options:
    """How it is shown. With `session_id` it begins on its page; with `until_end` it ends with it."""

    refresh_s: float = 0.5
    duration_s: float | None = None
    compact: bool = False
    session_id: str = ""
    until_end: bool = False
    color: bool = True
    unicode: bool = True
    title: str = ""


class SignalEnd(BaseException):
    """A signal asked the program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(client: Client, terminal: Terminal, options: Options) -> Session | None:
    """Shows the dashboard until the user leaves, the time is over, or with `until_end` the session is, which
    then is returned.

    Raises KeyboardInterrupt on Ctrl+C, SignalEnd for SIGTERM and SIGHUP, each with the terminal given back,
    and with `until_end` UnreachableError when the coordinator stays away, NotFoundError when the session is
    deleted.
    """
    loop = Loop(client, terminal, options)
    try:
        with loop.signals():
            try:
                # Not as a context manager: a signal may come while it is being entered.
                terminal.enter()
                return loop.run()
            finally:
                loop.ending = True
                terminal.leave()
    finally:
        loop.close()


class Loop:
    """One run of the dashboard."""

    def __init__(self, client: Client, terminal: Terminal, options: Options) -> None:
        self._client = client
        self._terminal = terminal
        self._options = options
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)
        self._keys = KeyDecoder()
        self._board = Board()
        pages = (Page("session", options.session_id),) if options.session_id else (Page(),)
        self._ui = Ui(pages=pages, compact=options.compact)
        self._desk = Desk(client, self._wake)
        self._watcher: Watcher | None = None
        self._watch_at_s = 0.0
        self._feed_ended = False
        self._left = False
        self._drawn_s = 0.0
        self._due = True
        self._stopping = self._resuming = False
        # From then on signals that ask for an end are too late to matter.
        self.ending = False
        self._typed_open = terminal.fd_in is not None
        self._session: Session | None = None
        self._log_lines = 0

    def close(self) -> None:
        """Ends the feed and the threads."""
        self._desk.close()
        if self._watcher is not None:
            self._watcher.close()
        # The pipe stays: a thread that wakes the loop late must not write into somebody else's file.

    def _wake(self) -> None:
        try:
            os.write(self._wake_in, b".")
        except OSError:
            # Full: it will wake anyway.
            return

    # ------------------------------------------------------------- signals

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Handlers for the time of the block, where this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers: dict[int, Any] = {
            signal.SIGTERM: self._end, signal.SIGHUP: self._end, signal.SIGWINCH: self._resized,
            signal.SIGTSTP: self._stop, signal.SIGCONT: self._resume,
        }  # fmt: skip
        before = {number: signal.getsignal(number) for number in handlers}
        try:
            for number, handler in handlers.items():
                # What was ignored stays so, as under nohup.
                if before[number] is not signal.SIG_IGN:
                    signal.signal(number, handler)
            yield
        finally:
            self.ending = True
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _end(self, number: int, _frame: object) -> None:
        if not self.ending:
            self.ending = True
            raise SignalEnd(number)

    def _resized(self, _number: int, _frame: object) -> None:
        self._due = True
        self._terminal.forget()
        self._wake()

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True
        self._wake()

    def _resume(self, _number: int, _frame: object) -> None:
        self._resuming = True
        self._wake()

    def _suspend(self) -> None:
        """Ctrl+Z: gives the terminal back and stands still until `fg`."""
        self._stopping = False
        self._terminal.leave()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        # Here again once somebody has continued it.
        signal.signal(signal.SIGTSTP, handler)
        self._resuming = False
        self._terminal.enter()
        self._due = True

    # ------------------------------------------------------------- the loop

    def run(self) -> Session | None:
        """Until it is over; see `run` above."""
        began_s = time.monotonic()
        options = self._options
        while True:
            now_s = time.monotonic()
            if options.duration_s is not None and now_s - began_s >= options.duration_s:
                return None
            if self._stopping:
                self._suspend()
            if self._resuming:
                self._resuming = False
                self._terminal.enter()
                self._due = True
            self._take_events(now_s)
            self._take_results(now_s)
            if options.until_end and self._is_over():
                return self._session
            if options.until_end and self._feed_ended:
                raise BuildRunnerError("The watch ended before the session did; the session may go on.")
            if self._left:
                return None
            self._look()
            if self._due or now_s - self._drawn_s >= options.refresh_s:
                self._draw()
            end_s = began_s + options.duration_s if options.duration_s is not None else None
            self._sleep(end_s)

    def _sleep(self, end_s: float | None) -> None:
        """Until something happens or the next frame is due. Reads keys."""
        if self._keys.is_waiting:
            timeout_s = ESCAPE_S
        else:
            due_s = self._drawn_s + self._options.refresh_s
            timeout_s = min(due_s, end_s if end_s is not None else due_s) - time.monotonic()
        sources = [self._wake_out]
        if self._typed_open and self._terminal.fd_in is not None:
            sources.append(self._terminal.fd_in)
        ready, _, _ = select.select(sources, [], [], max(0.0, 0.0 if self._due else timeout_s))
        if self._wake_out in ready:
            os.read(self._wake_out, 4096)
        if self._terminal.fd_in in ready:
            self._type(self._terminal.read())
        elif not ready:
            for key in self._keys.flush():
                self._press(key)

    def _type(self, data: bytes) -> None:
        if not data:
            # The terminal was closed; SIGHUP says so to those whose terminal it was.
            self._typed_open = False
            return
        for key in self._keys.feed(data):
            self._press(key)

    def _press(self, key: str) -> None:
        detail = self._desk.detail
        known = Known(
            self._board,
            self._desk.listing,
            detail.task.summary if detail is not None and detail.task is not None else None,
            time.monotonic(),
            max(3, self._terminal.size[1] - 6),
            self._log_lines,
        )
        self._ui, effects = press(self._ui, key, known)
        self._due = True
        for effect in effects:
            if isinstance(effect, Leave):
                self._left = True
            elif isinstance(effect, Action):
                self._desk.carry_out(effect)

    def _take_events(self, now_s: float) -> None:
        if self._watcher is None:
            if now_s < self._watch_at_s:
                return
            # The first one looks for the coordinator and starts it if need be. Once it was given up, or ended
            # in order, nothing is started: only whether it is there again is looked at.
            first = self._watch_at_s == 0.0
            self._watcher = self._client.watch(reconnect=first, on_event=self._wake, read=read_change)
        try:
            for _ in range(EVENTS_A_TURN):
                event = self._watcher.poll()
                if event is None:
                    break
                self._board.fold(event, now_s)
            else:
                # There may be more: not without a look at the keys in between.
                self._wake()
            ended = self._watcher.ended
        except UnreachableError:
            if self._options.until_end:
                raise
            ended = True
        self._feed_ended = ended
        if ended:
            self._watcher.close()
            self._watcher, self._watch_at_s = None, now_s + WATCH_AGAIN_S
            self._board.lose(now_s)

    def _take_results(self, now_s: float) -> None:
        while not self._desk.results.empty():
            self._desk.results.get()(self._board)
        while not self._desk.notices.empty():
            text, style = self._desk.notices.get()
            self._ui = self._ui.told(text, style, now_s)
            self._due = True

    def _is_over(self) -> bool:
        """Whether the session that is waited for has ended. Raises NotFoundError when it was deleted."""
        session_id = self._options.session_id
        session = self._board.sessions.get(session_id)
        if session is None and self._board.loaded and self._board.connected:
            # Ended ones may be left out of a snapshot.
            session = self._client.get_session(session_id)
            if not session.is_over:
                raise NotFoundError(f"session {session_id} is not told of", reason="SESSION_NOT_FOUND")
        if session is not None and session.is_over:
            self._session = session
            return True
        return False

    def _look(self) -> None:
        """Has the desk ask for what the present page needs."""
        self._desk.look_around(self._board)
        if not (self._board.connected and self._board.loaded):
            return
        page = self._ui.page
        if page.kind == "session":
            self._desk.list_tasks(page.session_id, self._ui.filter)
        elif page.kind == "task":
            self._desk.read_task(page.session_id, page.task_id, max(0.5, self._options.refresh_s))

    def _draw(self) -> None:
        width, height = self._terminal.size
        detail = self._desk.detail
        self._log_lines = len(detail.lines) if detail is not None else 0
        scene = Scene(
            self._board,
            datetime.now(UTC),
            time.monotonic(),
            width,
            height,
            ui=self._ui if self._typed_open else replace(self._ui, typing=None),
            listing=self._desk.listing,
            detail=detail,
            title=self._options.title,
            interactive=self._typed_open,
        )
        self._due = False
        self._drawn_s = time.monotonic()
        self._terminal.draw(frame(scene).encoded(color=self._options.color, unicode=self._options.unicode))
