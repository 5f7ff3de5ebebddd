"""The terminal as a screen: entered, drawn on line by line, left as it was found. Knows nothing of sessions.

    with Terminal(fd_in, fd_out) as terminal:      alternate screen, no cursor, keys as they come
        terminal.draw(lines)                       writes only the lines that differ from the last ones

Whatever ends the block, the terminal is given back: screen, cursor, colours, line wrap, echo, line mode.
"""

from __future__ import annotations

import os
import select
import signal
import termios
from types import TracebackType
from typing import Any

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[0m\x1b[2J\x1b[H"
_LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
# Terminals that know it show the whole frame at once; others ignore it.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_STUCK_S = 1.0
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminal:
    """`fd_in` None: no keys. `encoding` is that of the output."""

    def __init__(self, fd_in: int | None, fd_out: int, encoding: str = "utf-8") -> None:
        self.fd_in = fd_in
        self._fd_out = fd_out
        self._encoding = encoding
        self._saved: list[Any] | None = None
        self._shown: list[str] = []
        self._inside = False
        self.written_bytes = 0

    def __enter__(self) -> Terminal:
        self.enter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.leave()

    def enter(self) -> None:
        """Takes the terminal over; once more after it was left, or after somebody else has changed it."""
        self._inside = True
        if self.fd_in is not None:
            present = termios.tcgetattr(self.fd_in)
            if self._saved is None:
                self._saved = present
            mine = [*present[:6], list(present[6])]
            # Keys as they come and unseen; Ctrl+C and Ctrl+Z stay signals.
            mine[3] &= ~(termios.ICANON | termios.ECHO)
            mine[6][termios.VMIN], mine[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self.fd_in, termios.TCSADRAIN, mine)
        self._shown = []
        self._write(_ENTER)

    def leave(self) -> None:
        """Gives the terminal back; harmless when it was. Nothing that the terminal does stops this."""
        if not self._inside:
            return
        # Whoever presses Ctrl+C again gets the terminal back all the same; it takes a moment at most.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
        try:
            self._give_back()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _give_back(self) -> None:
        self._inside = False
        try:
            self._write(_LEAVE)
        except OSError:
            # It is gone; then nobody sees what was left on it.
            pass
        finally:
            if self._saved is not None and self.fd_in is not None:
                try:
                    # What was typed for the dashboard is not for the shell behind it.
                    termios.tcsetattr(self.fd_in, termios.TCSAFLUSH, self._saved)
                except (termios.error, OSError):
                    pass
                self._saved = None

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines at present."""
        try:
            columns, lines = os.get_terminal_size(self._fd_out)
        except OSError:
            return 80, 24
        return (columns or 80), (lines or 24)

    def forget(self) -> None:
        """The next frame is drawn whole: the size has changed, or the screen is not what it was."""
        self._shown = []

    def draw(self, lines: list[str]) -> None:
        """Shows `lines`: each is of the whole width, with SGR sequences and nothing that moves the cursor."""
        parts: list[str] = []
        if len(lines) != len(self._shown):
            parts.append("\x1b[0m\x1b[2J")
            self._shown = []
        for number, line in enumerate(lines):
            if number >= len(self._shown) or self._shown[number] != line:
                parts.append(f"\x1b[{number + 1};1H{line}")
        if parts:
            self._write("".join((_BEGIN, *parts, _END)))
        self._shown = lines

    def read(self) -> bytes:
        """What was typed; nothing when the terminal is gone. To be called when there is something."""
        if self.fd_in is None:
            return b""
        try:
            return os.read(self.fd_in, 1024)
        except OSError:
            return b""

    def _write(self, text: str) -> None:
        data = text.encode(self._encoding, "replace")
        self.written_bytes += len(data)
        while data:
            # Somebody who pressed Ctrl+S is waited for here, but a signal gets through.
            _, ready, _ = select.select([], [self._fd_out], [], None if self._inside else _STUCK_S)
            if not ready:
                return
            data = data[os.write(self._fd_out, data[:4096]) :]
