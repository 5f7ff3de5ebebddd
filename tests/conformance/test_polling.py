"""The kit is fair to workers that poll: a small one of its own, on the unary calls, passes what is for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conformance.programs import Programs
from tests.conformance.running import NOT_APPLICABLE, OK, run
from tests.conformance.scenarios import all_scenarios

HERE = Path(__file__).parent
POLLING = Programs(
    "Python (polling)",
    HERE,
    worker=(sys.executable, str(HERE / "polling" / "worker.py")),
    worker_kind="polling",
    not_applicable={"worker/output-while-it-runs": "it sends output together with its report"},
)
NAMES = (
    "hello", "heartbeats-under-a-busy-handler", "result-byte-for-byte", "progress", "timeout", "pause",
    "cancel-within-the-grace", "cancel-behind-the-grace", "large-output", "output-while-it-runs",
    "drain-on-sigterm", "drain-asked-by-the-coordinator", "coordinator-restarted-in-order",
    "cut-off-beyond-its-lease", "another-store", "duplicate-assignment", "lost-acknowledgement",
    "newer-coordinator", "older-coordinator", "work-of-an-unknown-kind",
)  # fmt: skip


@pytest.mark.e2e
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_a_worker_that_polls_passes(name: str) -> None:
    result = run(POLLING, all_scenarios()[f"worker/{name}"])
    wanted = NOT_APPLICABLE if f"worker/{name}" in POLLING.not_applicable else OK
    assert result.state == wanted, f"{result.reason}\n{result.evidence}"
