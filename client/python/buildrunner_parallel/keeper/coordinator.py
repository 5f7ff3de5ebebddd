"""The coordinator's process: started, watched, started again. What its end means is decided in plan.py."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

from ..detached import python_module, start_detached
from ..discovery import COORDINATOR_FILE, COORDINATOR_LOCK, read_coordinator_file
from ..flocks import is_held
from ..starting import COORDINATOR_OUTPUT
from ..text import output_line
from .plan import CoordinatorEnd, CoordinatorHistory, Decision, Step
from .processes import WatchedProcess, start_ticks

_log = logging.getLogger(__name__)


class CoordinatorProcess:
    """At most one coordinator: our child, or one that somebody else started and that holds the lock."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._history = CoordinatorHistory()
        self._process: WatchedProcess | None = None
        self._is_ours = False
        self._stranger_seen = False
        self._start_at_s = 0.0
        self.announced_end = False

    @property
    def watched(self) -> WatchedProcess | None:
        """For the selector."""
        return self._process

    @property
    def is_present(self) -> bool:
        """Whether a coordinator runs, as far as is known."""
        return self._process is not None or self._stranger_seen

    def due_in_s(self, now_s: float) -> float:
        """Seconds until `step` has something to do by itself."""
        return float("inf") if self.is_present else max(0.0, self._start_at_s - now_s)

    def step(self, now_s: float) -> Decision | None:
        """Notices an end and starts a new one; a decision when the keeper is to leave or give up."""
        decision = self._notice_end(now_s)
        if decision is not None and decision.step != Step.RESTART:
            return decision
        if self._process is None:
            return self._watch_stranger_or_start(now_s)
        return None

    def _notice_end(self, now_s: float) -> Decision | None:
        process = self._process
        if process is not None and process.has_ended():
            end = CoordinatorEnd(process.exit_code(), process.lived_s, self.announced_end)
            process.close()
            self._process = None
            if self._is_taken():
                # Ours found another at work, or the file named a process that was not the one.
                self._stranger_seen = True
                return None
            return self._decide(end, now_s)
        if self._stranger_seen and not self._is_taken():
            if process is not None:
                process.close()
                self._process = None
            return self._decide(CoordinatorEnd(None, float("inf"), self.announced_end), now_s)
        return None

    def _decide(self, end: CoordinatorEnd, now_s: float) -> Decision:
        if end.exit_code is None and not (self._data / COORDINATOR_FILE).exists():
            # An ordered end takes the file with its address away.
            end = CoordinatorEnd(None, end.lived_s, announced=True)
        self._history, decision = self._history.after(end)
        self._stranger_seen = False
        self.announced_end = False
        self._start_at_s = now_s + decision.after_s
        words = self.last_words() if end.exit_code else ""
        _log.info("the coordinator ended (%s): %s %s", _cause(end.exit_code), decision.step.value, words)
        return decision

    def _watch_stranger_or_start(self, now_s: float) -> Decision | None:
        if self._is_taken():
            process_id = self._holder() or read_coordinator_file(self._data).get("pid")
            self._process = WatchedProcess.adopt(process_id) if isinstance(process_id, int) else None
            self._is_ours = False
            self._stranger_seen = True
        elif now_s >= self._start_at_s:
            try:
                self._start()
            except OSError as error:
                _log.error("cannot start the coordinator: %s", error)
                decision = self._decide(CoordinatorEnd(1, 0.0), now_s)
                return None if decision.step == Step.RESTART else decision
        return None

    def _is_taken(self) -> bool:
        """Whether a coordinator has the state. Its helpers may keep the lock for some moments after its
        end; the next one waits for them, so that this need not."""
        if not is_held(self._data / COORDINATOR_LOCK):
            return False
        holder = self._holder()
        return not holder or start_ticks(holder) is not None

    def _holder(self) -> int:
        """The process that the lock file names; 0 when it names none."""
        try:
            text = (self._data / COORDINATOR_LOCK).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return 0
        return int(text) if text.isdigit() else 0

    def _start(self) -> None:
        argv = python_module("buildrunner_coordinator", "--data", str(self._data), "--keeper")
        child = start_detached(argv, self._data / COORDINATOR_OUTPUT, truncate=True)
        self._process = WatchedProcess.of_child(child)
        self._is_ours = True
        self._stranger_seen = False
        _log.info("started the coordinator, pid %d", child.pid)

    def stop(self, timeout_s: float) -> None:
        """Ends our own child, for when its directory is gone; kills it after `timeout_s` seconds."""
        process = self._process
        if process is None or not self._is_ours:
            return
        process.send(signal.SIGTERM)
        deadline_s = time.monotonic() + timeout_s
        while not process.has_ended() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        process.send(signal.SIGKILL)

    def last_words(self) -> str:
        """The last line that it wrote to stdout or stderr; empty when it wrote none."""
        try:
            with (self._data / COORDINATOR_OUTPUT).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        words = next((output_line(line) for line in reversed(lines) if line.strip()), "")
        return words.removeprefix("buildrunner-coordinator: ")


def _cause(exit_code: int | None) -> str:
    if exit_code is None:
        return "not our child"
    if exit_code < 0:
        return f"signal {-exit_code}"
    return f"exit code {exit_code}"
