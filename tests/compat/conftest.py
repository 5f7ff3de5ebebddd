"""A workspace with a real coordinator for the tests of a process, and a way to run programs in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from buildrunner_parallel.compat import SessionManager, WorkerCoordinator
from buildrunner_parallel.discovery import read_coordinator_file

ROOT = Path(__file__).resolve().parents[2]
PYTHON_PATH = os.pathsep.join([str(ROOT / "client" / "python"), str(ROOT / "service")])
GIVE_UP_S = 90
MARK = "BR_TEST_COMPAT"


def eventually(question: Callable[[], Any], what: str, within_s: float = GIVE_UP_S) -> Any:
    """The first true answer. Fails with `what` when there is none in time."""
    deadline_s = time.monotonic() + within_s
    while not (answer := question()):
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {what}"
        time.sleep(0.02)
    return answer


class Place:
    """A directory, and the processes that were started from it: they carry its name in their environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BR_")}
        self.env = kept | {"PYTHONPATH": PYTHON_PATH, MARK: str(folder), "NO_COLOR": "1", "COLUMNS": "100"}

    @property
    def state(self) -> Path:
        return self.folder / ".buildrunner"

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *command], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *command: str, check: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *command], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=GIVE_UP_S, check=False,
        )  # fmt: skip
        if check is not None:
            assert done.returncode == check, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def python(self, program: str) -> str:
        """What another process prints that has the classes imported."""
        prelude = "from buildrunner_parallel.compat import *\n"
        return self.run("-c", prelude + program).stdout

    def compat(self, program: Path, *arguments: str, check: int | None = 0) -> Any:
        """Runs a program with core.parallel installed."""
        return self.run("-m", "buildrunner_parallel.compat", str(program), *arguments, check=check)

    def serve(self) -> subprocess.Popen[bytes]:
        """A coordinator without a keeper."""
        with (self.folder / "coordinator.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "buildrunner_coordinator", "--data", str(self.state)],
                cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        eventually(lambda: read_coordinator_file(self.state).get("pid") == process.pid, "it serves")
        return process

    def processes(self) -> list[psutil.Process]:
        mine = []
        for process in psutil.process_iter(["pid"]):
            try:
                is_mine = process.environ().get(MARK) == str(self.folder)
                if is_mine and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                    mine.append(process)
            except psutil.Error:
                continue
        return mine

    def nothing_is_left(self) -> None:
        """All of its processes have ended by themselves. Those that have not are killed."""
        deadline_s = time.monotonic() + GIVE_UP_S
        while self.processes() and time.monotonic() < deadline_s:
            time.sleep(0.2)  # each look reads the environment of every process of the machine
        left = self.processes()
        for one in left:
            one.send_signal(signal.SIGKILL)
        assert left == [], f"left behind: {left}"


@pytest.fixture(scope="session")
def shared_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("compat")
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    place = Place(folder)
    coordinator = place.serve()
    yield place
    coordinator.terminate()
    coordinator.wait(GIVE_UP_S)
    place.nothing_is_left()


@pytest.fixture
def place(shared_place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The workspace that this process stands in. Other tests use it too: each makes sessions of its own."""
    monkeypatch.chdir(shared_place.folder)
    for name in [one for one in os.environ if one.startswith("BR_")]:
        monkeypatch.delenv(name)
    return shared_place


@pytest.fixture
def own_place(tmp_path: Path) -> Iterator[Place]:
    """A workspace in which nothing runs yet. At its end nothing may be left."""
    folder = tmp_path / "own"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    place = Place(folder)
    yield place
    if place.state.exists():
        place.run("-m", "buildrunner_parallel.cli", "parallel", "stop", check=None)
    place.nothing_is_left()


@pytest.fixture
def manager(place: Place) -> SessionManager:
    return SessionManager()


@pytest.fixture
def coordinator(manager: SessionManager) -> Iterator[WorkerCoordinator]:
    made = WorkerCoordinator(manager)
    yield made
    for worker in made.list_workers():
        made.unregister_worker(worker.worker_id)
