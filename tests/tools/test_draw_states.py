"""docs/states.md follows from the state tables, and its tool says when it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buildrunner_coordinator.domain import tables

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs/states.md"


def draw_states(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "tools/draw_states"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_committed_drawing_is_current() -> None:
    result = draw_states("--check")
    assert result.returncode == 0, result.stderr


def test_a_drawing_that_is_not_current_is_told_with_the_target_that_mends_it(tmp_path: Path) -> None:
    page = tmp_path / "states.md"
    page.write_text(PAGE.read_text().replace("RUNNING --> PAUSED", "RUNNING --> CREATED"))
    result = draw_states("--check", "--output", str(page))
    assert result.returncode == 1
    assert "run: make states" in result.stderr
    assert "RUNNING --> CREATED" in page.read_text()


def test_a_drawing_that_is_missing_is_told(tmp_path: Path) -> None:
    assert draw_states("--check", "--output", str(tmp_path / "none.md")).returncode == 1


def test_what_was_drawn_passes_the_check(tmp_path: Path) -> None:
    page = str(tmp_path / "states.md")
    assert draw_states("--output", page).returncode == 0
    assert draw_states("--output", page, "--check").returncode == 0


def test_every_transition_of_the_tables_is_an_arrow() -> None:
    arrows = PAGE.read_text().split("```")
    drawn = [part for part in arrows if part.startswith("mermaid")]
    machines: tuple[tuple[Mapping[Any, tuple[Any, ...]], tuple[str, ...]], ...] = (
        (tables.SESSIONS, tables.SESSION_EVENTS),
        (tables.TASKS, tables.TASK_EVENTS),
        (tables.WORKERS, tables.WORKER_EVENTS),
    )
    assert len(drawn) == len(machines)
    for diagram, (rows, events) in zip(drawn, machines, strict=True):
        lines = [line.strip() for line in diagram.splitlines()]
        for state, row in rows.items():
            for event, cell in zip(events, row, strict=True):
                start = f"{state.name} --> {cell.name}: "
                found = any(
                    line.startswith(start) and event in line[len(start) :].split(", ") for line in lines
                )
                assert found == (not isinstance(cell, tables.Special)), f"{state} {event}"
