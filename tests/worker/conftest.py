"""Fixtures for the worker's tests: a supervisor process driven by hand, and a scripted coordinator."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buildrunner_parallel.worker import reaper
from buildrunner_parallel.worker import supervisor_messages as say
from buildrunner_parallel.worker.framing import Message
from buildrunner_parallel.worker.supervisor_client import SupervisorClient, SupervisorLost

DEADLINE_S = 60.0
SECOND_NS = 1_000_000_000


class DrivenSupervisor:
    """A real supervisor process; every wait is for an event and fails after some seconds."""

    def __init__(self, folder: Path, slots: int = 4) -> None:
        self.folder = folder
        self.mark = f"{os.getpid()}-{folder.name}"
        self.client = SupervisorClient()
        self.events: list[Message] = []
        self.base_env = {"PATH": os.environ["PATH"], "BR_WORKER_ID": self.mark}
        self.send((say.CONFIGURE, slots, str(folder / "scratch"), self.base_env))

    @property
    def pid(self) -> int:
        return self.client.process.pid

    def send(self, *messages: Message) -> None:
        sent = self.client.send(list(messages))
        while not sent:
            select.select([], [self.client], [], DEADLINE_S)
            sent = self.client.flush()

    def run(self, key: str, *argv: str, **changes: Any) -> None:
        self.send(self.request(key, *argv, **changes))

    def shell(self, key: str, line: str, **changes: Any) -> None:
        self.run(key, "/bin/sh", "-c", line, **changes)

    def request(
        self,
        key: str,
        *argv: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_s: float = 0,
        grace_s: float = 5,
        slots: int = 1,
    ) -> Message:
        mark = f"BR_FENCE={self.mark}-{key}"
        variables = dict([mark.split("=", 1)]) | (env or {})
        limits = (int(timeout_s * SECOND_NS), int(grace_s * SECOND_NS))
        return (say.RUN, key, list(argv), cwd or str(self.folder), variables, slots, *limits, mark)

    def wait(self, wanted: Callable[[list[Message]], bool]) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while not wanted(self.events):
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"waited in vain; events so far: {self.events[-20:]}"
            if select.select([self.client], [], [], left_s)[0]:
                self.events += self.client.read_events()

    def of(self, name: str, key: str) -> list[Message]:
        return [event for event in self.events if event[0] == name and event[1] == key]

    def ended(self, key: str) -> say.Ended:
        self.wait(lambda _: bool(self.of(say.ENDED, key) or self.of(say.REFUSED, key)))
        assert not self.of(say.REFUSED, key), self.of(say.REFUSED, key)
        return say.Ended(*self.of(say.ENDED, key)[0])

    def refused(self, key: str) -> tuple[str, str]:
        self.wait(lambda _: bool(self.of(say.REFUSED, key)))
        return self.of(say.REFUSED, key)[0][2], self.of(say.REFUSED, key)[0][3]

    def output(self, key: str, stream: int = 1) -> bytes:
        return b"".join(event[3] for event in self.of(say.OUTPUT, key) if event[2] == stream)

    def wait_for_output(self, key: str, text: bytes) -> None:
        self.wait(lambda _: text in self.output(key))

    def processes(self) -> list[int]:
        return reaper.find_marked(f"BR_WORKER_ID={self.mark}")

    def wait_until_gone(self) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while left := self.processes():
            assert time.monotonic() < deadline_s, f"still there: {left}"
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.client.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(SupervisorLost):
            self.client.close()
        reaper.kill_worker(self.mark)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[DrivenSupervisor]:
    driven = DrivenSupervisor(tmp_path)
    yield driven
    driven.close()


class Repository:
    """A git repository with two commits, of its own settings only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("src/app.py", "one\n")
        self.write("docs/guide.md", "guide\n")
        self.write(".gitignore", "*.log\n.buildrunner/\n")
        self.commit("first")

    def git(self, *arguments: str) -> str:
        settings = ("-c", "user.name=Somebody", "-c", "user.email=somebody@localhost")
        command = ["git", *settings, *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout.rstrip("\n")

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def files(self, commit: str) -> list[str]:
        return self.git("ls-tree", "-r", "--name-only", commit).split("\n")

    def state(self) -> tuple[str, str, str, str]:
        """All that a guest must leave as it was."""
        objects = self.git("count-objects", "-v")
        index = str((self.folder / ".git/index").stat().st_mtime_ns)
        status = self.git("--no-optional-locks", "status", "--porcelain")
        return status, self.git("for-each-ref"), objects, index


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.delenv("BR_STATE_DIR", raising=False)
    return Repository(tmp_path / "repository")
