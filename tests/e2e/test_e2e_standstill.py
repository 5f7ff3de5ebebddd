"""A wait in a pipe that cannot get on says why, and the command that it names lets it get on."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from .conftest import GIVE_UP_S, Town

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_a_look_does_not_start_a_coordinator_that_was_stopped(town: Town) -> None:
    town.br("parallel", "start", "stuck", "-w", "0")
    town.br("parallel", "submit", "last", "--id", "t", "--", "true")
    waiting = begin(town, "wait", "last")
    assert waiting.stderr is not None
    assert "there is no worker at all" in waiting.stderr.readline()
    town.br("parallel", "stop")
    pid = town.info_file().get("pid")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(6)
    assert town.info_file().get("pid") == pid
    waiting.terminate()
    waiting.communicate(timeout=GIVE_UP_S)


def begin(town: Town, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "buildrunner_parallel.cli", "parallel", *words],
        cwd=town.folder, env=town.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("words", [("wait", "last"), ("logs", "last", "-f")])
def test_the_command_that_is_named_lets_the_session_get_on(town: Town, words: tuple[str, ...]) -> None:
    town.br("parallel", "start", "stuck", "-w", "0")
    town.br("parallel", "submit", "last", "--id", "t", "--", "true")
    town.br("parallel", "close", "last")
    waiting = begin(town, *words)
    assert waiting.stderr is not None
    told = waiting.stderr.readline()
    why, _, remedy = told.partition(" Start some with: ")
    assert why.endswith(" (stuck) runs: there is no worker at all; it needs one that runs commands.")
    program, *arguments = shlex.split(remedy)
    assert program == "br"
    town.br(*arguments)
    _, rest = waiting.communicate(timeout=GIVE_UP_S)
    assert (waiting.returncode, rest) == (0, "")
