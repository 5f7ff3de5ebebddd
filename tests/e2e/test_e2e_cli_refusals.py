"""Every command against a real coordinator, asked for what is not there or in ways that cannot work.

One line on standard error, the exit code that the help promises, nothing on standard output. Called in this
process: what is tried is the way to the coordinator and its answers, not the start of a program.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from buildrunner_parallel.cli import app as program
from buildrunner_parallel.cli import invocation

from .conftest import Town

pytestmark = pytest.mark.e2e

Call = Callable[..., Any]

# What asks for a session, a task, a worker or a lock that is not there: 4.
UNKNOWN = [
    "status deadbeef", "pause deadbeef", "resume deadbeef", "cancel deadbeef -f", "close deadbeef",
    "cancel deadbeef --task t", "wait deadbeef", "wait deadbeef t", "tasks deadbeef", "show deadbeef t",
    "logs deadbeef", "logs deadbeef t", "explain deadbeef", "explain deadbeef t", "retry deadbeef",
    "story deadbeef", "story deadbeef t", "joblog deadbeef", "watch deadbeef",
    "submit deadbeef -- true", "submit deadbeef --plan plan.yaml",
    "submit deadbeef --commands jobs.txt", "preview --plan plan.yaml --session deadbeef",
    "lock deadbeef src", "lock deadbeef src -- true", "unlock deadbeef", "locks --session deadbeef",
    "worker --session deadbeef", "scale 1 --session deadbeef", "cancel last --task nope",
    "wait last nope", "show last nope", "show last nope --result", "show last nope --patch",
    "logs last nope", "logs last nope --attempt 2", "explain last nope", "retry last nope",
    "story last nope", "resume last --worker deadbeef", "drain deadbeef", "story zzzz",
    "unlock --force deadbeef --reason x", "unlock last src/none", "unlock last src/app.py",
]  # fmt: skip
# What is there, but cannot be done so: 1.
REFUSED = [
    "submit last --id twice -- true", "submit last --needs nope -- true",
    "submit last -- no-such-program-anywhere", "submit last --file ../outside -- true",
    "lock last ../outside", "lock last ''", "lock last 'src/[a'", "start --plan nowhere.yaml",
    "start --plan broken.yaml", "preview --plan broken.yaml", "submit last --plan broken.yaml",
    "start --commands nowhere.txt", "submit last --handler h --payload nowhere", "backup plan.yaml",
    "backup nowhere/copy.db", "submit over -- true", "resume over", "pause over",
]  # fmt: skip
# All that reach a coordinator, in words that would do if it were there.
ALL = [
    "start x -w 0", "preview --plan plan.yaml", "list", "status", "pause --all", "resume --all",
    "cancel --all -f", "close last", "wait last", "retry last", "cleanup --dry-run",
    "submit last -- true", "tasks", "show last t", "logs last", "explain last", "story last",
    "joblog last", "summary", "watch", "lock last src", "unlock last", "locks", "locks --stats",
    "workers", "worker --session deadbeef", "scale 0", "drain --all", "info", "backup copy.db", "stop",
]  # fmt: skip


@pytest.fixture
def place(town: Town, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    """A town with a coordinator, an open session with a task, one that is over, and files to read."""
    town.coordinator()
    for name in ("BR_COORDINATOR", "BR_TOKEN", "BR_TOKEN_FILE", "BR_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(town.folder)
    (town.folder / "src").mkdir()
    town.write("plan.yaml", "name: P\ntasks: [{id: a, run: 'true'}]\n")
    town.write("broken.yaml", "name: P\ntasks: [{id: a, run: 'true', needs: [b]}]\n")
    town.write("jobs.txt", "true\n")
    monkeypatch.setattr(invocation, "REACH_TIMEOUT_S", 0.3)
    yield town


@pytest.fixture
def call(place: Town) -> Call:
    def run(line: str, *options: str) -> Any:
        words = [*options, *shlex.split(line)]
        return CliRunner().invoke(program.br_app, ["parallel", *words], prog_name="br")

    over = run("start Over -w 0 --quiet").stdout.strip()
    run(f"cancel {over} -f")
    run("start Mine -w 0")
    run("submit last --id twice -- true")

    def with_ids(line: str, *options: str) -> Any:
        return run(line.replace("over", over) if " over" in line else line, *options)

    return with_ids


def complaint(result: Any, code: int) -> str:
    """The one line that was said."""
    assert result.exit_code == code, result.output
    assert result.stdout == "", result.output
    lines: list[str] = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].strip() and "Traceback" not in lines[0] and "Internal error" not in lines[0]
    return lines[0]


def test_what_is_not_there_is_4_and_what_cannot_be_is_1(call: Call) -> None:
    for line in UNKNOWN:
        complaint(call(line), 4)
    for line in REFUSED:
        complaint(call(line), 1)


def test_a_coordinator_that_is_not_there_is_3(call: Call, place: Town) -> None:
    for line in ALL:
        assert "nowhere" in complaint(call(line, "--coordinator", "unix:/nowhere.sock"), 3)
    assert place.coordinator_pid(), "and the one that is there was left alone"


def test_a_wrong_token_is_3_and_is_never_shown(call: Call, place: Town, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("not-the-token\n")
    address = str(place.info_file()["address"])
    for line in ALL:
        told = complaint(call(line, "--coordinator", address, "--token-file", str(token)), 3)
        assert "token" in told and "not-the-token" not in told
    told = complaint(call("list", "--coordinator", address, "--token-file", str(tmp_path / "none")), 3)
    assert str(tmp_path / "none") in told
    assert place.coordinator_pid()


def test_an_address_that_is_none_is_said(call: Call) -> None:
    for address in ("nonsense", "http://127.0.0.1:80", "127.0.0.1", "unix:"):
        assert call("list", "--coordinator", address).exit_code in (1, 3)
        complaint(call("list", "--coordinator", address), call("list", "--coordinator", address).exit_code)
