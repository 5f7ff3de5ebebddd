"""The loop: a feed that ends, one that is refused, a session that is over before it is watched."""

from __future__ import annotations

import os
import pty
import select
import termios
import threading

import pytest

from buildrunner_parallel.dashboard import live
from buildrunner_parallel.dashboard.live import Options
from buildrunner_parallel.dashboard.terminal import Terminal
from buildrunner_parallel.errors import BuildRunnerError, UnreachableError
from buildrunner_parallel.records import SessionStatus

ME = "a3f2e1d9"


def run(client, terminal, options):
    return live.run(client, terminal, options)


class Feed:
    """Gives out what it was made with, raises the errors among it, and ends with the last."""

    def __init__(self, items, stays=False):
        self.items, self.stays, self.closed = list(items), stays, False

    @property
    def ended(self):
        return not self.items and not self.stays

    def poll(self, timeout_s=0.0):
        item = self.items.pop(0) if self.items else None
        if isinstance(item, Exception):
            raise item
        return item

    def close(self):
        self.closed = True


class Hand:
    """Reads what is written, and types once it sees what it waits for: (sight, keys), one after the other."""

    def __init__(self, ours):
        self._ours = ours
        self.seen = ""
        self._data = b""

    def type(self, *steps):
        thread = threading.Thread(target=self._work, args=(list(steps),))
        thread.start()
        return thread

    def _work(self, steps):
        since = 0
        while steps:
            self.read(60.0)
            sight, keys = steps[0]
            if sight in self.seen[since:]:
                since = len(self.seen)
                os.write(self._ours, keys)
                steps.pop(0)

    def read(self, timeout_s=0.0):
        while select.select([self._ours], [], [], timeout_s)[0]:
            self._data += os.read(self._ours, 65536)
            timeout_s = 0.0
        self.seen = self._data.decode(errors="ignore")
        return self.seen


class Client:
    """Feeds one after the other; everything else that is asked is refused."""

    def __init__(self, *feeds, session=None):
        self.feeds, self.given, self.session = list(feeds), [], session
        self.reconnects = []

    def watch(self, *, reconnect, on_event, read):
        self.reconnects.append(reconnect)
        self.given.append(self.feeds.pop(0) if len(self.feeds) > 1 else self.feeds[0])
        return self.given[-1]

    def get_session(self, session_id):
        return self.session

    def __getattr__(self, name):
        def refuse(*_, **__):
            raise UnreachableError("not here")

        return refuse


@pytest.fixture
def screen():
    """A pseudo-terminal of 24x80; gives the program's end, and a hand that reads and types at the other."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    yield Terminal(theirs, theirs), Hand(ours)
    os.close(ours)
    os.close(theirs)


def test_a_session_that_is_over_ends_it_and_is_returned(make, screen):
    terminal, hand = screen
    over = make.session(status=SessionStatus.FAILED)
    client = Client(Feed([make.snapshot(over)], stays=True))
    assert run(client, terminal, Options(session_id=ME, until_end=True)) == over
    assert client.given[0].closed
    assert hand.read().endswith("\x1b[?1049l")


def test_one_that_a_snapshot_leaves_out_is_looked_up(make, screen):
    over = make.session(status=SessionStatus.COMPLETED)
    client = Client(Feed([make.snapshot()], stays=True), session=over)
    assert run(client, screen[0], Options(session_id=ME, until_end=True)) == over


def test_a_feed_that_ends_before_the_session_is_an_error_of_the_wait(make, screen):
    client = Client(Feed([make.snapshot(make.session())]))
    with pytest.raises(BuildRunnerError, match="ended before the session did"):
        run(client, screen[0], Options(session_id=ME, until_end=True))


def test_a_coordinator_that_stays_away_ends_the_wait_but_not_the_dashboard(make, screen, monkeypatch):
    terminal, hand = screen
    gone = UnreachableError("gone")
    with pytest.raises(UnreachableError):
        run(Client(Feed([gone])), terminal, Options(session_id=ME, until_end=True))
    monkeypatch.setattr(live, "WATCH_AGAIN_S", 0.05)
    client = Client(Feed([make.snapshot(make.session(name="Before")), gone]), Feed([gone]))
    typed = hand.type(("coordinator away", b""), ("coordinator away", b"q"))
    run(client, terminal, Options(refresh_s=0.05))
    typed.join()
    assert "Before" in hand.seen.rpartition("coordinator away")[0]
    # After the first nothing may be started: it may have been stopped on purpose.
    assert client.reconnects[0] is True
    assert not any(client.reconnects[1:])


def test_keys_are_answered_at_once_however_rarely_it_is_drawn(make, screen):
    terminal, hand = screen
    client = Client(Feed([make.snapshot(make.session())], stays=True))
    typed = hand.type(("Sessions", b"?"), ("any key goes back", b"x"), ("Sessions", b"q"))
    assert run(client, terminal, Options(refresh_s=3600.0)) is None
    typed.join()


def test_without_a_keyboard_it_shows_no_keys(make, screen):
    terminal, hand = screen
    terminal.fd_in = None
    client = Client(Feed([make.snapshot(make.session())], stays=True))
    run(client, terminal, Options(duration_s=0.2, refresh_s=0.05))
    assert "Sessions" in hand.read() and "quit" not in hand.seen


def test_beside_the_main_thread_it_leaves_signals_alone(make, screen):
    client = Client(Feed([make.snapshot(make.session())], stays=True))
    failed: list[BaseException] = []

    def work():
        try:
            run(client, screen[0], Options(duration_s=0.1))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert failed == [] and not thread.is_alive()
