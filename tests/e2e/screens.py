"""A program on a pseudo-terminal of its own, and what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

from .conftest import GIVE_UP_S, Town

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
_LINE = re.compile(r"\x1b\[(\d+);1H")
_OTHER = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]")


class Screen:
    """Starts the program; keys go in with `type`, `text` is what is to be seen.

    Understands what the dashboard writes: whole lines at their places.
    """

    def __init__(self, town: Town, *words: str, size: tuple[int, int] = (24, 100), shell: str = "") -> None:
        self.ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, size)
        self.before: Any = termios.tcgetattr(self.theirs)
        self.written = b""
        self.rows: dict[int, str] = {}
        program = [sys.executable, "-m", "buildrunner_parallel.cli", *words]
        self.process = subprocess.Popen(
            ["sh", "-c", shell, "sh", *program] if shell else program,
            cwd=town.folder, env=town.env | {"TERM": "xterm-256color", "LANG": "C.UTF-8"},
            stdin=self.theirs, stdout=self.theirs, stderr=self.theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)

    def type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def resize(self, rows: int, columns: int) -> None:
        termios.tcsetwinsize(self.ours, (rows, columns))

    @property
    def text(self) -> str:
        """The screen as it is now."""
        self._read(0.0)
        return "\n".join(self.rows[number] for number in sorted(self.rows))

    def until(self, sight: str | Callable[[str], Any], what: str = "") -> str:
        """The screen once it shows that."""
        deadline = time.monotonic() + GIVE_UP_S
        while True:
            text = self.text
            if sight in text if isinstance(sight, str) else sight(text):
                return text
            assert time.monotonic() < deadline, f"not seen: {what or sight}\n{text}\n{self.written[-2000:]!r}"
            assert self.process.poll() is None or self._read(0.2), (
                f"ended with {self.process.poll()} before: {what or sight}\n{text}\n{self.written[-2000:]!r}"
            )
            self._read(0.1)

    def end(self) -> int:
        """The exit code, once the program has ended; everything that it wrote has been read."""
        deadline = time.monotonic() + GIVE_UP_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end:\n{self.text}"
            self._read(0.1)
        while self._read(0.1):
            continue
        return self.process.returncode

    @property
    def after(self) -> str:
        """What was written behind the last frame."""
        return self.written.rpartition(LEAVE)[2].decode()

    def is_as_before(self) -> bool:
        """Whether modes are what they were, and the screen was left with a cursor."""
        return termios.tcgetattr(self.theirs) == self.before and b"\x1b[?25h" + LEAVE in self.written

    def _read(self, timeout_s: float) -> bool:
        found = False
        while select.select([self.ours], [], [], timeout_s)[0]:
            try:
                data = os.read(self.ours, 65536)
            except OSError:
                return found
            if not data:
                return found
            found, timeout_s = True, 0.0
            self.written += data
        if found:
            self._draw()
        return found

    def _draw(self) -> None:
        inside = self.written.rpartition(ENTER)[2].decode(errors="replace")
        inside = inside.rpartition("\x1b[2J")[2]
        parts = _LINE.split(inside)
        self.rows = {
            int(number): _OTHER.sub("", line)
            for number, line in zip(parts[1::2], parts[2::2], strict=True)
        }  # fmt: skip
