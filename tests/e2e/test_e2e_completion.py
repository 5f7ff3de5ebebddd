"""Tab in real shells, with ids as bad as they come: what is put in is the id, and nothing is run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from buildrunner_parallel import TaskSpec

from .conftest import Town, eventually

pytestmark = pytest.mark.e2e

TASKS = [
    "my task",
    "a$(touch pwned);b",
    "quo'te",
    'dou"ble',
    "build:app",
    "~root",
    "é → ü",
    "*",
    "ex!cl",
    "-rf",
]
SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
# What is typed behind `br parallel `, and what the program is called with.
LINES = [
    ("statu\tlast", ["status", "last"]),
    ("list --sta\tru\t", ["list", "--status", "running"]),
    ("list --status=ru\t", ["list", "--status=running"]),
    ("logs last m\t", ["logs", "last", "my task"]),
    ("logs last my\\ t\t", ["logs", "last", "my task"]),
    ('logs last "m\t', ["logs", "last", "my task"]),
    ("logs last 'm\t", ["logs", "last", "my task"]),
    ("logs last a\t", ["logs", "last", TASKS[1]]),
    ('logs last "a\t', ["logs", "last", TASKS[1]]),
    ("logs last q\t", ["logs", "last", "quo'te"]),
    ("logs last d\t", ["logs", "last", 'dou"ble']),
    ("logs last build:\t", ["logs", "last", "build:app"]),
    ("logs last é\t", ["logs", "last", "é → ü"]),
    ("logs last ex\t", ["logs", "last", "ex!cl"]),
    ("start --plan pla\t", ["start", "--plan", "plan.yaml"]),
    ("start --plan=pla\t", ["start", "--plan=plan.yaml"]),
    ("submit last -- sh pla\t", ["submit", "last", "--", "sh", "plan.yaml"]),
]
RECORDER = """#!/bin/sh
if [ -n "$_BR_COMPLETE" ]; then exec "{python}" -m buildrunner_parallel.cli "$@"; fi
printf '%s\\0' "$@" > "$BR_TEST_RECORD.new" && mv "$BR_TEST_RECORD.new" "$BR_TEST_RECORD"
"""


@pytest.fixture
def hostile(town: Town) -> Town:
    """A session with such ids, of which nothing runs."""
    town.coordinator()
    town.write("plan.yaml", "tasks: []\n")
    with town.client() as client:
        name = "Evil $(touch pwned) `touch pwned` ' \" : ; | <b>"
        session = client.create_session(name)
        client.submit_tasks(session.session_id, [TaskSpec(task_id=one, argv=["true"]) for one in TASKS])
    return town


class Prompt:
    """A shell on a terminal. `br` there writes down what it is called with, and runs only to complete."""

    def __init__(self, town: Town, shell: str, folder: Path) -> None:
        self.record = folder / "called-with"
        program = folder / "br"
        program.write_text(RECORDER.format(python=sys.executable))
        program.chmod(0o755)
        script = folder / f"completion.{shell}"
        script.write_text(town.br("parallel", "completion", shell).stdout)
        environment = {
            **town.env, "PATH": f"{folder}:{os.environ['PATH']}", "TERM": "xterm", "HOME": str(folder),
            "BR_TEST_RECORD": str(self.record), "LC_ALL": "C.UTF-8",
        }  # fmt: skip
        environment.pop("ZDOTDIR", None)
        on_a_terminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
        with (folder / "screen").open("wb") as screen:
            self._shell = subprocess.Popen(
                [sys.executable, "-c", on_a_terminal, *SHELLS[shell]],
                stdin=subprocess.PIPE, stdout=screen, cwd=town.folder, env=environment,
                start_new_session=True,
            )  # fmt: skip
        self.type(f"source {script}\r")

    def type(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(text.encode())
        self._shell.stdin.flush()

    def is_called_with(self, line: str, words: list[str]) -> bool:
        """Whether `br parallel LINE` is called with these words; False when it is not called at all."""
        self.record.unlink(missing_ok=True)
        self.type(f"br parallel {line}\r")
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s:
            if self.record.exists():
                return self.record.read_text().split("\0")[1:-1] == words
            time.sleep(0.02)
        # Something is still open on the line.
        self.type("\x03")
        return False

    def close(self) -> None:
        self.type("\x03exit\r")
        assert self._shell.stdin is not None
        try:
            self._shell.wait(10)
        except subprocess.TimeoutExpired:
            self._shell.kill()
            self._shell.wait()
        self._shell.stdin.close()


@pytest.fixture(params=SHELLS)
def prompt(request: Any, hostile: Town, tmp_path: Path) -> Iterator[Prompt]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path / "bin"
    folder.mkdir()
    here = Prompt(hostile, request.param, folder)
    yield here
    here.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_tab_puts_in_is_what_the_program_gets(prompt: Prompt, hostile: Town) -> None:
    for line, words in LINES:
        # On a busy machine the coordinator may not have answered in the time that Tab has for it.
        eventually(partial(prompt.is_called_with, line, words), f"{line!r} gives {words}")
    assert not list(hostile.folder.rglob("pwned*"))


def offered(town: Town, *words: str) -> dict[str, str]:
    """Value to description, as fish gets them."""
    done = subprocess.run(
        [sys.executable, "-m", "buildrunner_parallel.cli", *words],
        cwd=town.folder, env={**town.env, "_BR_COMPLETE": "fish"}, capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return dict(line.partition("\t")[::2] for line in done.stdout.splitlines()[1:])


def test_ids_of_all_kinds_come_with_what_they_are(hostile: Town) -> None:
    with hostile.client() as client:
        evil = client.list_sessions()[0].session_id
        locked = client.create_session("Second").session_id
        client.start_session(locked)
        client.acquire_locks(locked, ["src/a b.py"])
        leased = client.acquire_locks(locked, ["res:port"], lease=60)
        lock_ids = {lock.path: lock.lock_id for lock in client.list_locks().locks}
        hostile.worker()
        (worker,) = eventually(client.list_workers, "a worker is there")

    def sure(*words: str) -> dict[str, str]:
        found: dict[str, str] = eventually(
            lambda: offered(hostile, "parallel", *words), f"{words} are answered"
        )
        return found

    sessions = sure("status", "")
    assert list(sessions) == ["last", locked, evil]
    assert sessions["last"] == "the newest: Second, running"
    assert sessions[evil] == "Evil $(touch pwned) `touch pwned` ' \" : ; | <b>, created"
    assert list(sure("pause", "")) == ["last", locked]
    assert sure("show", evil[:5], "m") == {"my task": "blocked: true"} or sure("show", evil[:5], "m") == {
        "my task": "queued: true"
    }
    assert set(sure("show", evil, "")) == {*TASKS} - {"-rf"}
    assert sure("drain", "")[worker.worker_id].startswith("idle, on ")
    assert sure("unlock", "--force", "") == {
        lock_ids["src/a b.py"]: "src/a b.py, held by Second",
        lock_ids["res:port"]: "res:port, held by Second",
    }
    assert leased.grant_id in sure("unlock", "last", "--grant", "")
    assert "src/a b.py" in sure("unlock", "last", "")


def test_a_coordinator_that_is_stopped_stays_stopped(town: Town) -> None:
    process = town.coordinator()
    with town.client() as client:
        client.create_session("old")
    process.terminate()
    process.wait()
    assert offered(town, "parallel", "status", "") == {}
    assert town.coordinator_pid() == 0
