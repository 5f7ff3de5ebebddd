"""A repository in a temporary folder, with a real coordinator, real workers and the real program.

Every process that a test starts carries the town's folder in its command line or environment, so that
the end of the test can prove that none of them is left.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from buildrunner_parallel.client import Client

ROOT = Path(__file__).resolve().parents[2]
PYTHON_PATH = f"{ROOT / 'client' / 'python'}:{ROOT / 'service'}"
GIVE_UP_S = 60


def eventually(question: Callable[[], Any], what: str, within_s: float = GIVE_UP_S) -> Any:
    """The first true answer. Fails with `what` when there is none in time."""
    deadline = time.monotonic() + within_s
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.05)


class Town:
    """One workspace and everything that runs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".buildrunner"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("BR_")}
        self.env = kept | {"PYTHONPATH": PYTHON_PATH, "BR_TEST_TOWN": str(folder), "NO_COLOR": "1"}
        self._started: list[subprocess.Popen[bytes]] = []

    # -------------------------------------------------------------- processes

    def br(
        self, *args: str, check: int | None = 0, input_text: str | None = None, timeout_s: float = 120
    ) -> Any:
        """Runs the program to its end. `check` is the exit code expected; None: any."""
        done = subprocess.run(
            [sys.executable, "-m", "buildrunner_parallel.cli", *args],
            cwd=self.folder, env=self.env, input=input_text, capture_output=True, text=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip
        if check is not None:
            assert done.returncode == check, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def json(self, *args: str, check: int | None = 0) -> Any:
        return json.loads(self.br(*args, "--json", check=check).stdout)

    def spawn(self, *args: str) -> subprocess.Popen[bytes]:
        """Starts `python -m ...`; it is ended with the test at the latest."""
        with (self.folder / "spawned.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *args], cwd=self.folder, env=self.env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._started.append(process)
        return process

    def coordinator(self, *flags: str) -> subprocess.Popen[bytes]:
        """A coordinator of its own, without a keeper. Returns once it answers."""
        process = self.spawn("buildrunner_coordinator", "--data", str(self.state), *flags)
        eventually(lambda: self.info_file().get("pid") == process.pid, "the coordinator is up")
        return process

    def worker(self, *flags: str) -> subprocess.Popen[bytes]:
        address = self.info_file()["address"]
        return self.spawn(
            "buildrunner_parallel.worker", "--coordinator", address,
            "--token-file", str(self.state / "token"), "--state-dir", str(self.state), *flags,
        )  # fmt: skip

    def client(self) -> Client:
        return Client.connect(self.info_file()["address"], token_file=self.state / "token", start=False)

    def info_file(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.state / "coordinator.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    def coordinator_pid(self) -> int:
        """Of a coordinator that is alive, or 0."""
        pid = int(self.info_file().get("pid", 0))
        try:
            return pid if pid and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE else 0
        except psutil.NoSuchProcess:
            return 0

    def processes(self) -> list[psutil.Process]:
        """All that belongs to this town, but this test itself."""
        mine = []
        for process in psutil.process_iter(["pid"]):
            try:
                is_mine = process.environ().get("BR_TEST_TOWN") == str(self.folder)
                if is_mine and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                    mine.append(process)
            except psutil.Error:
                continue
        return mine

    def tasks_processes(self, marker: str) -> list[psutil.Process]:
        """Processes whose environment has `marker` as BR_TASK_ID, or that carry it in their arguments."""
        found = []
        for process in psutil.process_iter(["pid"]):
            try:
                if process.environ().get("BR_TASK_ID") == marker and process.status() != "zombie":
                    found.append(process)
            except psutil.Error:
                continue
        return found

    # ------------------------------------------------------------------- data

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Asks the database after its coordinator has ended."""
        database = sqlite3.connect(self.state / "state.db")
        try:
            return database.execute(query).fetchall()
        finally:
            database.close()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def stop(self) -> None:
        """Ends everything by pid, the friendly way first."""
        if self.coordinator_pid():
            self.br("parallel", "stop", check=None)
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self._started:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(60)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    folder = tmp_path / "town"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    here = Town(folder)
    yield here
    here.stop()
    deadline = time.monotonic() + GIVE_UP_S
    while here.processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    left = here.processes()
    for one in left:
        one.send_signal(signal.SIGKILL)
    assert left == [], f"left behind: {left}"
