"""Coordinator processes for tests: started on a temporary state directory, ended by pid afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from buildrunner_parallel.v1.coordinator_service_pb2_grpc import CoordinatorServiceStub
from buildrunner_parallel.v1.session_service_pb2_grpc import SessionServiceStub
from buildrunner_parallel.v1.task_service_pb2_grpc import TaskServiceStub

ROOT = Path(__file__).resolve().parent.parent.parent
START_S = 60
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}/client/python:{ROOT}/service", "BR_CHECK_INVARIANTS": "1"}


class CoordinatorProcess:
    """`python -m buildrunner_coordinator` with the given options."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        command = [sys.executable, "-m", "buildrunner_coordinator", "--data", str(data), *options]
        self.process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)

    @property
    def about(self) -> dict[str, object]:
        """coordinator.json"""
        return json.loads((self.data / "coordinator.json").read_text())

    def serving(self) -> CoordinatorProcess:
        """Waits until this very process says where it is."""
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s and self.process.poll() is None:
            try:
                if self.about["pid"] == self.process.pid:
                    return self
            except (OSError, ValueError):
                pass
            time.sleep(0.02)
        raise AssertionError(
            f"it does not serve: {self.refused() if self.process.poll() is not None else '...'}"
        )

    def refused(self) -> tuple[int, str]:
        """Exit code and stderr of one that ends by itself."""
        _, error = self.process.communicate(timeout=START_S)
        return self.process.returncode, error.strip()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(START_S)

    def call(self, stub: type, method: str, request):
        token = (self.data / "token").read_text()
        with grpc.insecure_channel(str(self.about["address"])) as channel:
            metadata = (("authorization", f"Bearer {token}"),)
            return getattr(stub(channel), method)(request, metadata=metadata, timeout=20, wait_for_ready=True)

    def sessions(self, method: str, request):
        return self.call(SessionServiceStub, method, request)

    def tasks(self, method: str, request):
        return self.call(TaskServiceStub, method, request)

    def info(self, method: str, request):
        return self.call(CoordinatorServiceStub, method, request)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., CoordinatorProcess]]:
    started: list[CoordinatorProcess] = []

    def begin(*options: str, data: Path | None = None) -> CoordinatorProcess:
        started.append(CoordinatorProcess(data or tmp_path / "state", *options))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate(timeout=START_S)
