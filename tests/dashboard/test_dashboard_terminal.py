"""The screen on a real pseudo-terminal: what is written, and how the terminal is left."""

from __future__ import annotations

import os
import pty
import termios

import pytest

from buildrunner_parallel.dashboard.terminal import Terminal


@pytest.fixture
def ends():
    """Both ends of a pseudo-terminal: ours, and the program's."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def written(ours: int) -> bytes:
    data = b""
    while True:
        try:
            data += os.read(ours, 65536)
        except BlockingIOError:
            return data


def test_the_terminal_is_left_as_it_was(ends):
    ours, theirs = ends
    before = termios.tcgetattr(theirs)
    with Terminal(theirs, theirs) as terminal:
        inside = termios.tcgetattr(theirs)
        assert not inside[3] & (termios.ICANON | termios.ECHO)
        assert inside[3] & termios.ISIG
        terminal.draw(["one", "two"])
    assert termios.tcgetattr(theirs) == before
    data = written(ours)
    assert data.startswith(b"\x1b[?1049h\x1b[?25l")
    assert data.endswith(b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l")
    assert b"\x1b[1;1Hone\x1b[2;1Htwo" in data
    assert b"?1000h" not in data and b"?1006h" not in data


def test_so_it_is_after_an_error_and_after_leaving_twice(ends):
    _, theirs = ends
    before = termios.tcgetattr(theirs)
    with pytest.raises(RuntimeError), Terminal(theirs, theirs) as terminal:
        terminal.leave()
        terminal.enter()
        raise RuntimeError
    terminal.leave()
    assert termios.tcgetattr(theirs) == before


def test_it_is_given_back_when_it_was_only_half_entered(ends, monkeypatch):
    _, theirs = ends
    before = termios.tcgetattr(theirs)
    terminal = Terminal(theirs, theirs)
    monkeypatch.setattr(terminal, "_write", lambda text: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        terminal.enter()
    assert termios.tcgetattr(theirs) != before
    monkeypatch.undo()
    terminal.leave()
    assert termios.tcgetattr(theirs) == before


def test_only_lines_that_changed_are_written(ends):
    ours, theirs = ends
    with Terminal(theirs, theirs) as terminal:
        terminal.draw(["same", "old"])
        written(ours)
        terminal.draw(["same", "new"])
        assert written(ours) == b"\x1b[?2026h\x1b[2;1Hnew\x1b[?2026l"
        terminal.draw(["same", "new"])
        assert written(ours) == b""
        terminal.forget()
        terminal.draw(["same", "new"])
        assert b"\x1b[2J" in written(ours)


def test_the_size_is_that_of_the_terminal_and_follows_it(ends):
    _, theirs = ends
    terminal = Terminal(None, theirs)
    termios.tcsetwinsize(theirs, (15, 60))
    assert terminal.size == (60, 15)
    termios.tcsetwinsize(theirs, (50, 200))
    assert terminal.size == (200, 50)


def test_a_terminal_that_is_gone_is_left_without_an_error():
    ours, theirs = pty.openpty()
    terminal = Terminal(theirs, theirs)
    terminal.enter()
    os.close(ours)
    terminal.leave()
    assert terminal.read() == b""
    os.close(theirs)
