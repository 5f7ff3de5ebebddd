"""Questions on a real terminal, left with Ctrl+C and Ctrl+D: nothing happens, and the line is ended."""

from __future__ import annotations

import subprocess
import sys
from typing import NamedTuple

import pytest

from .conftest import Town, eventually

pytestmark = pytest.mark.e2e

CTRL_C, CTRL_D = b"\x03", b"\x04"
SPAWN = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


class Left(NamedTuple):
    exit_code: int
    lines: list[str]


def answer(town: Town, keys: bytes, *arguments: str) -> Left:
    """Runs the program on a terminal of its own, and presses `keys` once it asks."""
    screen = town.folder / "screen"
    with screen.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SPAWN, sys.executable, "-m", "buildrunner_parallel.cli", *arguments],
            cwd=town.folder, env={**town.env, "TERM": "xterm"}, stdin=subprocess.PIPE, stdout=output,
        )  # fmt: skip
    assert process.stdin is not None
    with process.stdin:
        eventually(lambda: b"[y/N]" in screen.read_bytes(), "it asks")
        process.stdin.write(keys)
        process.stdin.flush()
        code = process.wait(60)
    return Left(code, screen.read_text().replace("\r\n", "\n").splitlines())


@pytest.fixture
def sessions(town: Town) -> Town:
    """One that runs, and one that is over."""
    town.coordinator()
    with town.client() as client:
        client.complete_session(client.create_session("over", driver="owner").session_id)
        client.start_session(client.create_session("runs").session_id)
    return town


def states(town: Town) -> dict[str, str]:
    with town.client() as client:
        return {session.name: session.status.value for session in client.list_sessions()}


COMMANDS = [["cancel", "last"], ["cancel", "--all"], ["cleanup", "--days", "0"]]


def test_a_question_that_is_left_changes_nothing_and_leaves_a_clean_line(sessions: Town) -> None:
    before = states(sessions)
    for arguments in COMMANDS:
        interrupted = answer(sessions, CTRL_C, "parallel", *arguments)
        assert interrupted.exit_code == 130
        assert interrupted.lines[-1] == "Interrupted. Nothing was changed."
        ended = answer(sessions, CTRL_D, "parallel", *arguments)
        assert ended.exit_code == 1
        assert ended.lines[-1] == "Left as it was"
        assert "Traceback" not in "".join(interrupted.lines + ended.lines)
    assert states(sessions) == before == {"runs": "running", "over": "completed"}


def test_yes_is_done(sessions: Town) -> None:
    assert answer(sessions, b"y\r", "parallel", "cancel", "last").exit_code == 0
    assert states(sessions) == {"runs": "cancelled", "over": "completed"}
    assert answer(sessions, b"y\r", "parallel", "cleanup", "--days", "0").exit_code == 0
    assert states(sessions) == {}


def test_without_a_terminal_nothing_is_asked(sessions: Town) -> None:
    for arguments in COMMANDS:
        assert "without a terminal" in sessions.br("parallel", *arguments, check=2).stderr
    assert states(sessions) == {"runs": "running", "over": "completed"}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["parallel", "start", "--help"], ["parallel", "list"], ["parallel", "completion", "zsh"]],
)
def test_a_reader_that_has_seen_enough_is_nobody_s_fault(sessions: Town, arguments: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "buildrunner_parallel.cli", *arguments],
        cwd=sessions.folder, env=sessions.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == b""
    process.wait(60)
