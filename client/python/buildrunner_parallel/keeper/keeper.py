"""The keeper's loop: one thread, woken by processes that end, the feed, finished chores and signals."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..jsonable import time_to_json
from ..starting import KEEPER_FILE
from .coordinator import CoordinatorProcess
from .plan import REFUSED_STATE, Decision, Step
from .registry import write_json

if TYPE_CHECKING:
    from .attic import Attic
    from .chores import Chores
    from .fleet import Fleet
    from .link import CoordinatorLink

_log = logging.getLogger(__name__)
_LONGEST_WAIT_S = 0.5
_WORKER_GRACE_S = 5.0


class Keeper:
    """Keeps one state directory. `run` returns the exit code."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._identity = _identity(data)
        self._coordinator = CoordinatorProcess(data)
        self._calls: Chores | None = None
        self._cleaning: Chores | None = None
        self._link: CoordinatorLink | None = None
        self._fleet: Fleet | None = None
        self._clearing: Chores | None = None
        self._attic: Attic | None = None
        self._asked_to_end = False
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> int:
        """Runs until the coordinator ended in order, cannot be started, the state is gone, or SIGTERM."""
        self._catch_signals()
        self._note()
        while not self._asked_to_end:
            try:
                decision = self._step()
            except OSError:
                # Most often because the directory went away in the middle of a step.
                if _identity(self._data) == self._identity:
                    raise
                continue
            if decision is not None:
                return self._end(decision)
            self._wait()
        _log.info("asked to end; coordinator and workers go on")
        return 0

    def _step(self) -> Decision | None:
        if _identity(self._data) != self._identity:
            return Decision(Step.STATE_GONE)
        now_s = time.monotonic()
        decision = self._coordinator.step(now_s)
        if decision is None:
            self._look_after_workers(now_s)
        return decision

    def _look_after_workers(self, now_s: float) -> None:
        if self._fleet is None or self._link is None or self._attic is None:
            # Only now, since loading gRPC takes as long as a coordinator takes to come up.
            from .attic import Attic
            from .chores import Chores
            from .fleet import Fleet
            from .link import CoordinatorLink

            self._calls = Chores("call", self.wake)
            self._cleaning = Chores("clean", self.wake)
            self._link = CoordinatorLink(self._data, self.wake)
            self._fleet = Fleet(self._data, self._link, self._calls, self._cleaning)
            self._clearing = Chores("clear", self.wake, threads=1)
            self._attic = Attic(self._data, self._link.is_gone, self._clearing)
        self._link.step()
        self._coordinator.announced_end = self._link.closing
        for chores in (self._calls, self._cleaning, self._clearing):
            if chores is not None:
                chores.finish()
        self._fleet.step(now_s)
        self._attic.step(now_s)

    # ----------------------------------------------------------------- waiting

    def wake(self) -> None:
        """Ends the present wait; from any thread."""
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            # The pipe is full of reasons to wake up already.
            pass

    def _wait(self) -> None:
        now_s = time.monotonic()
        due_s = min(_LONGEST_WAIT_S, self._coordinator.due_in_s(now_s))
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            if self._coordinator.watched is not None:
                selector.register(self._coordinator.watched, selectors.EVENT_READ)
            if self._fleet is not None:
                due_s = min(due_s, self._fleet.due_in_s(now_s))
                for member in self._fleet.members:
                    selector.register(member.process, selectors.EVENT_READ)
            selector.select(max(0.005, due_s))
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            # Woken by a process or by the time.
            pass

    def _catch_signals(self) -> None:
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _on_signal(self, *_: object) -> None:
        self._asked_to_end = True

    # ------------------------------------------------------------------ ending

    def _end(self, decision: Decision) -> int:
        if decision.step == Step.STATE_GONE:
            return self._leave_vanished_state()
        if decision.step == Step.LEAVE:
            self._end_workers()
            _log.info("the coordinator has ended in order; nothing left to keep")
            return 0
        words = self._coordinator.last_words() or "it ended at once, time and again, without a word"
        _log.error("giving up: %s", words)
        self._note(failure=words)
        return REFUSED_STATE

    def _end_workers(self) -> None:
        if self._fleet is None:
            # There may be workers of an earlier keeper.
            self._look_after_workers(time.monotonic())
        if self._fleet is not None:
            self._fleet.end_all(_WORKER_GRACE_S)

    def _leave_vanished_state(self) -> int:
        _log.warning("%s is gone; ending everything", self._data)
        self._coordinator.stop(_WORKER_GRACE_S / 2)
        if self._fleet is not None:
            self._fleet.end_all(_WORKER_GRACE_S / 2)
        return 0

    def _note(self, failure: str = "") -> None:
        document = {
            "schema_version": 1,
            "pid": os.getpid(),
            "started_at": time_to_json(datetime.now(UTC)),
            "failure": failure,
        }
        try:
            write_json(self._data / KEEPER_FILE, document)
        except OSError as error:
            # It only informs; that the state cannot be written is the coordinator's to say.
            _log.warning("cannot write %s: %s", KEEPER_FILE, error)


def _identity(data: Path) -> tuple[int, int] | None:
    """Names the directory itself, so that one made anew under its name is another."""
    try:
        found = data.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
