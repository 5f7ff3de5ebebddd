"""The dashboard on a terminal, before a real coordinator and real workers."""

from __future__ import annotations

import json
import os
import signal
import termios
from collections.abc import Iterator

import pytest

from .conftest import Town, eventually
from .screens import ENTER, Screen

pytestmark = pytest.mark.e2e

# Tasks wait for a file, so that nothing depends on how quick anything is.
PLAN = r"""
name: Gates
tasks:
  - {id: first, run: "echo begun first; while ! test -e open-1; do sleep 0.05; done"}
  - {id: second, run: "while ! test -e open-2; do sleep 0.05; done", needs: [first]}
  - {id: bad, run: "printf 'no such \\033]0;owned\\007thing' >&2; exit 3"}
"""


@pytest.fixture
def gates(town: Town) -> str:
    """A session with a task that runs until it is let go, one behind it, and one that fails."""
    (town.folder / "plan.yaml").write_text(PLAN)
    found = json.loads(town.br("parallel", "start", "--plan", "plan.yaml", "-w", "2", "--json").stdout)
    session_id: str = found["session"]["session_id"]
    return session_id


@pytest.fixture
def open_screen(town: Town) -> Iterator[object]:
    """Opens programs on terminals; the end of the test closes them."""
    opened: list[Screen] = []

    def open_one(*words, **options):
        opened.append(Screen(town, *words, **options))
        return opened[-1]

    yield open_one
    for screen in opened:
        screen.close()


def let_go(town: Town, gate: int) -> None:
    (town.folder / f"open-{gate}").touch()


def test_it_shows_what_happens_and_leaves_the_terminal_as_it_was(town, gates, open_screen):
    screen = open_screen("parallel", "dashboard", "-r", "0.1")
    assert "Gates" in screen.until("● running    first")
    screen.until("no such ␛]0;owned␇thing", "the last line of the failure")
    assert "\x1b]0;" not in screen.written.decode()
    let_go(town, 1)
    screen.until("● running    second")
    screen.until("2/3", "two of three are over")
    let_go(town, 2)
    screen.until("✗ failed", "the session has failed")
    screen.type("q")
    assert screen.end() == 0
    assert screen.is_as_before()


def test_it_survives_a_killed_coordinator_and_says_how_old_its_data_is(town, gates, open_screen):
    screen = open_screen("parallel", "dashboard", "-r", "0.1")
    screen.until("● running    first")
    keeper = json.loads((town.state / "keeper.json").read_text())["pid"]
    # Nobody brings it back before it was seen to be away.
    os.kill(keeper, signal.SIGSTOP)
    try:
        before = town.coordinator_pid()
        os.kill(before, signal.SIGKILL)
        text = screen.until("coordinator away")
        assert "old" in text and "● running    first" in text
    finally:
        os.kill(keeper, signal.SIGCONT)
    eventually(lambda: town.coordinator_pid() not in (0, before), "the keeper revives it")
    screen.until(lambda text: "away" not in text and "● running    first" in text, "it is back")
    let_go(town, 1)
    screen.until("● running    second")
    screen.type("q")
    assert screen.end() == 0


@pytest.mark.parametrize(
    ("end", "code"), [("\x03", 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)]
)
def test_however_it_is_ended_the_terminal_is_clean(gates, open_screen, end, code):
    screen = open_screen("parallel", "dashboard")
    screen.until("Gates")
    if isinstance(end, str):
        screen.type(end)
    else:
        screen.process.send_signal(end)
    assert screen.end() == code
    assert screen.is_as_before()
    assert "Traceback" not in screen.after


def test_it_stops_and_comes_back_as_a_job_of_a_shell(gates, open_screen):
    shell = 'set -m; "$@"; echo "stopped $?"; stty -a > modes; fg > /dev/null; echo "over $?"'
    screen = open_screen("parallel", "dashboard", shell=shell)
    screen.until("Gates")
    while_shown = termios.tcgetattr(screen.theirs)
    assert not while_shown[3] & termios.ECHO
    screen.type("\x1a")
    screen.until(lambda _text: screen.written.count(ENTER) == 2, "it is in front again")
    assert b"stopped 14" in screen.written
    screen.until("Gates")
    screen.type("q")
    assert screen.end() == 0
    assert "over 0" in screen.after
    assert screen.is_as_before()


def test_it_follows_the_size_and_says_what_it_needs(gates, open_screen):
    screen = open_screen("parallel", "dashboard", size=(14, 100))
    screen.until("60x15")
    screen.resize(15, 60)
    screen.until("Gates")
    screen.resize(40, 180)
    text = screen.until("Throughput")
    assert max(map(len, text.splitlines())) == 180


def test_keys_open_pages_and_steer_the_session(town, gates, open_screen):
    screen = open_screen("parallel", "dashboard", "-r", "0.1")
    screen.until("● running    first")
    screen.type("p")
    screen.until("‖ paused")
    screen.type("r")
    screen.until(f"Session {gates} is running")
    screen.type("\r")
    screen.until("● 1 running")
    screen.type("/first\r\r")
    screen.until("begun first", "the output of the task")
    screen.type("c")
    screen.until("Cancel task first?")
    screen.type("n")
    screen.until("Nothing was cancelled")
    screen.type("cy")
    screen.until("⊘ cancelled")
    screen.type("qq")
    screen.until("Sessions")
    screen.type("q")
    assert screen.end() == 0
    with town.client() as client:
        assert client.get_task(gates, "first").summary.status == "cancelled"


def test_watching_from_the_start_ends_with_the_session_and_its_summary(town, open_screen):
    (town.folder / "plan.yaml").write_text(PLAN)
    let_go(town, 2)
    screen = open_screen("parallel", "start", "--plan", "plan.yaml", "--watch")
    screen.until("● running    first")
    let_go(town, 1)
    assert screen.end() == 6
    assert screen.is_as_before()
    assert "failed: 2 succeeded, 1 failed" in " ".join(screen.after.split())


def test_leaving_a_watched_session_says_how_to_come_back(town, open_screen):
    (town.folder / "plan.yaml").write_text(PLAN)
    screen = open_screen("parallel", "start", "--plan", "plan.yaml", "--watch")
    screen.until("● running    first")
    screen.type("\x03")
    assert screen.end() == 130
    assert "The session goes on; come back with:" in " ".join(screen.after.split())
    assert screen.is_as_before()
