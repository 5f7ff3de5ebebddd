"""The processes of one scenario: started in groups of their own, with a mark, and ended by their pids.

Programs inherit the mark in their environment; workers hide it from tasks, which are found by where they run,
or by the mark of `Stage.marked`. So the end of a scenario can find all that is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from . import specs

MARK = "BR_CONFORMANCE"
END_S = 60.0
LEAVES_S = 10.0
_BRIEFLY_S = 5.0


class Process:
    """One program, with what it writes to standard error kept in a file."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        folder: Path,
        cwd: Path,
        env: Mapping[str, str],
        *,
        piped: bool = False,
    ) -> None:
        self.name = name
        self.stderr_file = folder / f"{name}.stderr"
        with self.stderr_file.open("ab") as log:
            self.popen = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def is_alive(self) -> bool:
        return self.popen.poll() is None

    @property
    def stderr(self) -> str:
        return self.stderr_file.read_text(encoding="utf-8", errors="replace")

    @property
    def last_words(self) -> str:
        """The last line that it wrote to standard error (a worker: or output), quoted, to end a sentence."""
        lines = self.stderr.strip().splitlines()
        return f"its last line was {lines[-1].strip()[:300]!r}" if lines else "it wrote nothing"

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def kill(self) -> None:
        """kill -9, and waits until it is gone."""
        self.send(signal.SIGKILL)
        self.popen.wait(END_S)

    def exit_code(self) -> int:
        """Its exit code once it has ended. Raises AssertionError when it does not end."""
        within_s = specs.GIVE_UP_S
        try:
            return self.popen.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} has not ended within {within_s:g} s") from None

    def end(self) -> None:
        """Ends it and the rest of its group, whatever it is doing."""
        if self.popen.stdin is not None:
            try:
                self.popen.stdin.close()
            except OSError:
                pass  # it has gone before it read everything
        if self.is_alive:
            self._signal_group(signal.SIGCONT)
            self._signal_group(signal.SIGTERM)
            try:
                self.popen.wait(_BRIEFLY_S)
            except subprocess.TimeoutExpired:
                pass  # killed below
        self._signal_group(signal.SIGKILL)
        self.popen.wait(END_S)
        if self.popen.stdout is not None:
            self.popen.stdout.close()

    def kill_group(self) -> None:
        """kill -9 to it and all of its group, if it lives; returns at once."""
        if self.is_alive:
            self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: signal.Signals) -> None:
        # It was made the leader of a group; its number is not used again while a member lives.
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # nobody is left in it


def marked_with(text: str, name: str = MARK) -> list[psutil.Process]:
    """Living processes, zombies aside, that have `name=text` in their environment, but not this one."""
    found = []
    for process in psutil.process_iter():
        try:
            is_marked = process.pid != os.getpid() and process.environ().get(name) == text
            if is_marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def left_of(folder: Path) -> list[psutil.Process]:
    """What lives of a scenario: by its mark, or since it runs, or was told to work, in its folder."""
    text, found = str(folder), []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            is_there = process.cwd().startswith(text) or any(text in word for word in process.cmdline())
            if is_there or process.environ().get(MARK) == text:
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill_left_of(folder: Path) -> list[str]:
    """Kills, pid by pid, what has not left by itself within some seconds; what that was."""
    deadline_s = time.monotonic() + LEAVES_S
    while left_of(folder) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    killed = []
    for process in left_of(folder):
        try:
            killed.append(f"{process.pid} {' '.join(process.cmdline())[:100]}")
            process.kill()
        except psutil.Error:
            continue
    return killed
