"""The kit ended from outside, in the middle of a scenario: nothing that it started is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conformance.processes import left_of
from tests.conformance.programs import ROOT
from tests.conformance.specs import until

# The worker runs a handler, and does not heed the cancel that the scenario then waits for.
MUTANT = f"python {ROOT}/tests/conformance/mutants/worker.py ignores_cancellations"
SCENARIO = "worker/cancel-of-a-handler"
ENDS_S = 60


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for sockets; whatever still lives in it is killed."""
    path = Path(tempfile.mkdtemp(prefix="br-"))
    yield path
    for one in left_of(path):
        one.kill()
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda one: one.name)
def test_a_kit_that_is_ended_leaves_nothing(folder: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "tests.conformance", "--worker", MUTANT, "--scenario", SCENARIO]
    env = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": f"{ROOT}:{ROOT / 'client' / 'python'}"}
    with (folder / "errors").open("wb") as errors:
        kit = subprocess.Popen(command, cwd=ROOT, env=env, stdout=errors, stderr=errors)
    try:
        until(lambda: _has_coordinator_and_worker(folder), "a scenario is under way")
        kit.send_signal(number)
        assert kit.wait(ENDS_S) == 128 + number, (folder / "errors").read_text()
    finally:
        kit.kill()
        kit.wait()
    assert [one.cmdline() for one in left_of(folder)] == []
    assert list(folder.glob("br-kit-*")) == []
    told = (folder / "errors").read_text()
    assert f"ended by {number.name}" in told
    assert "Traceback" not in told


def _has_coordinator_and_worker(folder: Path) -> bool:
    words = []
    for one in left_of(folder):
        try:
            words.append(" ".join(one.cmdline()))
        except psutil.Error:
            continue
    return all(any(part in line for line in words) for part in ("coordinator", "mutants/worker.py"))
