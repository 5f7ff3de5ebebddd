"""watch against a real coordinator: a kill leaves nothing out, and one may go on from any line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import IO, Any

import pytest

from .conftest import Town, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def watch(town: Town, output: IO[bytes], *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "buildrunner_parallel.cli", "parallel", "watch", *arguments],
        cwd=town.folder, env=town.env, stdout=output, stderr=subprocess.PIPE,
    )  # fmt: skip


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def ended_tasks(found: list[dict[str, Any]]) -> list[str]:
    over = ("succeeded", "failed")
    return [one["task"]["task_id"] for one in found if one.get("task", {}).get("status") in over]


def submit(town: Town, session_id: str, first: int, count: int) -> None:
    rows = "".join(f"  - {{id: t{number}, run: 'true'}}\n" for number in range(first, first + count))
    town.write("more.yaml", f"tasks:\n{rows}")
    town.br("parallel", "submit", session_id, "--plan", "more.yaml")


def test_lines_come_at_once_survive_a_kill_and_can_be_gone_on_with(town: Town) -> None:
    session_id = town.json("parallel", "start", "Watched", "-w", "1")["session"]["session_id"]
    path = town.folder / "events.jsonl"
    with path.open("wb") as output:
        watcher = watch(town, output, session_id, "--json")
    try:
        eventually(lambda: '"complete": true' in path.read_text(), "the snapshot")
        submit(town, session_id, 0, 5)
        eventually(lambda: len(ended_tasks(documents(path.read_text()))) == 5, "five ended tasks")
        middle = documents(path.read_text())[-1]["revision"]
        pid = town.coordinator_pid()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: town.coordinator_pid() not in (0, pid), "another coordinator")
        submit(town, session_id, 5, 5)
        eventually(lambda: len(set(ended_tasks(documents(path.read_text())))) == 10, "ten ended tasks")
        watcher.send_signal(signal.SIGINT)
        _, errors = watcher.communicate(timeout=60)
    finally:
        watcher.kill()
        watcher.wait(60)
    assert watcher.returncode == 130
    said = errors.decode().splitlines()
    assert said[:2] == ["The coordinator is away; waiting for it", "The coordinator is back"]
    assert said[-1].startswith("Interrupted. Go on from here with: ")
    found = documents(path.read_text())
    assert sorted(ended_tasks(found)) == sorted(f"t{number}" for number in range(10))
    resumed = found[-1]["revision"]
    assert resumed > middle


def test_going_on_from_a_revision_tells_what_came_behind_it_and_nothing_else(town: Town) -> None:
    session_id = town.json("parallel", "start", "Watched", "-w", "1")["session"]["session_id"]
    path, again = town.folder / "events.jsonl", town.folder / "again.jsonl"
    with path.open("wb") as output, again.open("wb") as more:
        # One stays, so that the coordinator keeps what happens for those who come back.
        staying = watch(town, output, session_id, "--json")
        watchers = [staying]
        try:
            submit(town, session_id, 0, 3)
            eventually(lambda: len(set(ended_tasks(documents(path.read_text())))) == 3, "three")
            middle = documents(path.read_text())[-1]["revision"]
            submit(town, session_id, 3, 3)
            eventually(lambda: len(set(ended_tasks(documents(path.read_text())))) == 6, "six")
            watchers.append(watch(town, more, session_id, "--json", "--since", str(middle)))
            eventually(lambda: len(set(ended_tasks(documents(again.read_text())))) == 3, "the later three")
            assert set(ended_tasks(documents(again.read_text()))) == {"t3", "t4", "t5"}
            assert not any(one.get("snapshot") for one in documents(again.read_text()))
        finally:
            for one in watchers:
                one.send_signal(signal.SIGINT)
                one.communicate(timeout=60)
    assert [one.returncode for one in watchers] == [130, 130]


def test_a_reader_that_leaves_ends_it_silently(town: Town) -> None:
    session_id = town.json("parallel", "start", "Watched", "-w", "1")["session"]["session_id"]
    watcher = watch(town, subprocess.PIPE, session_id, "--json")  # type: ignore[arg-type]
    assert watcher.stdout is not None and watcher.stderr is not None
    with watcher:
        watcher.stdout.readline()
        watcher.stdout.close()
        submit(town, session_id, 0, 3)
        assert watcher.stderr.read() == b""
        assert watcher.wait(60) == 0
