"""A state directory with real processes: the keeper, and a fake coordinator and workers made of files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from buildrunner_parallel.worker import reaper

FAKES = Path(__file__).resolve().parent / "fakes"
ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0
T = TypeVar("T")


class House:
    """One state directory and every process that belongs to it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        data.mkdir()
        self.mark = f"KEEPER_TEST_HOUSE={data}"
        self.environment = {
            **os.environ,
            "KEEPER_TEST_HOUSE": str(data),
            "PYTHONPATH": os.pathsep.join([str(FAKES), str(ROOT / "client" / "python")]),
        }
        self.keepers: list[subprocess.Popen[bytes]] = []

    def start_keeper(self) -> subprocess.Popen[bytes]:
        with (self.data / "keeper.log").open("ab") as log:
            keeper = subprocess.Popen(
                [sys.executable, str(FAKES / "keeper_under_test.py"), "--data", str(self.data)],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.keepers.append(keeper)
        return keeper

    def start_coordinator(self) -> subprocess.Popen[bytes]:
        """One that is nobody's child but the test's."""
        return subprocess.Popen(
            [sys.executable, "-m", "buildrunner_coordinator", "--data", str(self.data)],
            env=self.environment,
            start_new_session=True,
        )

    def want(self, *pools: dict[str, Any]) -> None:
        partial = self.data / "pools.new"
        partial.write_text(json.dumps(pools))
        partial.replace(self.data / "pools.json")

    def coordinator_pid(self) -> int:
        try:
            return int(json.loads((self.data / "coordinator.json").read_text())["pid"])
        except (OSError, ValueError):
            return 0

    def workers(self) -> list[dict[str, Any]]:
        found = []
        for file in sorted((self.data / "registered").glob("*.json")):
            try:
                found.append(json.loads(file.read_text()))
            except OSError:
                continue
        return found

    def noted(self, name: str) -> list[dict[str, Any]]:
        path = self.data / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def log(self) -> str:
        path = self.data / "keeper.log"
        return path.read_text() if path.exists() else "(no log)"

    def eventually(self, condition: Callable[[], T], what: str = "") -> T:
        """What `condition` gives once it is true; fails, with the keeper's log, after some seconds."""
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            found = condition()
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"not in time: {what}\n{self.log()}")

    def settle(self, count: int) -> list[dict[str, Any]]:
        """Waits until `count` workers are registered and known by their id."""

        def known() -> bool:
            try:
                entries = json.loads((self.data / "workers.json").read_text())["workers"]
            except (OSError, ValueError):
                return False
            return len(entries) == count and all(entry["worker_id"] for entry in entries)

        self.eventually(lambda: len(self.workers()) == count and known(), f"{count} workers")
        return self.workers()

    def left(self) -> list[int]:
        return reaper.find_marked(self.mark)

    def close(self) -> None:
        for keeper in self.keepers:
            if keeper.poll() is None:
                keeper.send_signal(signal.SIGKILL)
            keeper.wait()
        reaper.kill_marked(self.mark)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "d")
    yield made
    made.close()
