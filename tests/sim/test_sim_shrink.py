"""What a failing simulation prints: the shortest schedule that it can find, and the story."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.planted import PLANTS
from tests.sim.shrink import Run, run_seed, shrink
from tests.sim.story import tell

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def failed() -> Run:
    for seed in range(50):
        run = run_seed(seed, make_hooks=PLANTS["needs-forgotten"])
        if run.error is not None and run.actions > 3:
            return run
    raise AssertionError("the planted bug was not caught")


def test_a_failing_schedule_becomes_shorter_and_fails_in_the_same_way(failed):
    kept, least = shrink(failed, make_hooks=PLANTS["needs-forgotten"], tries=60)
    assert len(kept) < failed.actions
    assert least.kind == failed.kind
    again = run_seed(
        failed.seed, limit=failed.actions, chosen=frozenset(kept), make_hooks=PLANTS["needs-forgotten"]
    )
    assert again.digest == least.digest


def test_the_story_tells_of_the_task_concerned(failed):
    text = tell(failed.error, failed.trace)
    assert "what went wrong: " in text
    assert "the story of t" in text
    assert "task: (" in text


def test_the_tool_counts_what_it_ran():
    done = run_tool("--seeds", "2", "--events", "100")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("2 seeds, ")
    assert done.stdout.strip().endswith("0 failed")


def test_the_tool_fails_with_seed_schedule_and_story():
    done = run_tool("--seeds", "5", "--plant", "double-end")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "seed 0 fails after" in done.stdout
    assert "shortest schedule found: " in done.stdout
    assert "the story of t" in done.stdout


def run_tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    tool = PROJECT / "tools" / "simulate"
    return subprocess.run(
        [sys.executable, str(tool), *arguments], capture_output=True, text=True, check=False
    )
