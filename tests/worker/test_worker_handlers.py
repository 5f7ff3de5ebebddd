"""Python handlers in a real worker: results, failures, output, cancels, and many short ones."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2

_spec = importlib.util.spec_from_file_location(
    "scripted_coordinator", Path(__file__).with_name("scripted_coordinator.py")
)
assert _spec is not None and _spec.loader is not None
script: Any = importlib.util.module_from_spec(_spec)
sys.modules.setdefault("scripted_coordinator", script)
_spec.loader.exec_module(script)

command, handler = script.command, script.handler


class Serving:
    """A connected worker, its stream and its coordinator."""

    def __init__(self, worker: Any, stream: Any, coordinator: Any) -> None:
        self.worker, self.stream, self.coordinator = worker, stream, coordinator

    async def reports(self, *assignments: Any) -> dict[str, Any]:
        self.stream.send(assignments=assignments)
        found: dict[str, Any] = {}
        while len(found) < len(assignments):
            report = await self.stream.wait_for("reports")
            found[report.attempt_id] = report
            self.stream.acknowledge(report)
        return found


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Serving]:
    coordinator = script.ScriptedCoordinator(tmp_path)
    await coordinator.start()
    worker = script.RunningWorker(coordinator, tmp_path, "--handlers", "handlers_of_test", "--credit", "200")
    await worker.start()
    stream = await coordinator.accept()
    hello = await stream.expect("hello")
    assert {"echo", "br.noop", "fail"} <= set(hello.kinds.handlers)
    stream.welcome(report_repeat_ms=60_000)
    yield Serving(worker, stream, coordinator)
    await worker.close()
    await coordinator.stop()


async def test_what_a_handler_returns_is_the_result(serving: Serving) -> None:
    reports = await serving.reports(handler("a1", "echo", b"\0payload"), handler("a2", "br.noop"))
    assert (reports["a1"].result.data, reports["a1"].result.content_type) == (b"\0payload", "text/plain")
    assert reports["a1"].outcome == types_pb2.OUTCOME_SUCCEEDED
    assert not reports["a2"].HasField("result")
    assert reports["a2"].started_at_us > 0


async def test_a_handler_knows_its_task_and_gets_its_directory_and_environment(
    serving: Serving, tmp_path: Path
) -> None:
    place = types_pb2.WorkingDirectory(worktree=str(tmp_path), path="place")
    (tmp_path / "place").mkdir()
    reports = await serving.reports(
        handler("a1", "facts", directory=place, environment={"FOR_TASK": "yes"}), handler("a2", "facts")
    )
    first, second = (json.loads(reports[one].result.data) for one in ("a1", "a2"))
    assert first["cwd"] == str(tmp_path / "place")
    assert (first["env"], second["env"]) == ("yes", "")
    assert first["told"] == ["task-a1", "a1", str(0xA1)]
    assert second["told"] == ["task-a2", "a2", str(0xA2)]
    assert (first["task"], first["ids"]) == ("task-a1", ["5e551011", 1, 0xA1])
    assert reports["a1"].result.content_type == "application/json"


async def test_an_exception_fails_the_task_with_one_line_and_the_host_goes_on(serving: Serving) -> None:
    reports = await serving.reports(handler("a1", "fail"), handler("a2", "facts"), handler("a3", "facts"))
    assert reports["a1"].outcome == types_pb2.OUTCOME_FAILED
    assert reports["a1"].error == "ValueError: this is no good"
    assert b"Traceback" in b"".join(one.data for one in reports["a1"].output)
    assert reports["a2"].pid == reports["a3"].pid == reports["a1"].pid


async def test_a_directory_that_is_not_there_fails_the_task(serving: Serving) -> None:
    nowhere = types_pb2.WorkingDirectory(path="/no/such/folder")
    reports = await serving.reports(handler("a1", "echo", directory=nowhere))
    assert reports["a1"].outcome == types_pb2.OUTCOME_FAILED
    assert "/no/such/folder" in reports["a1"].error


async def test_everything_a_handler_prints_is_output_of_its_own_task(serving: Serving) -> None:
    assignments = [handler(f"{number:x}", "talk", b"%d" % number) for number in range(1, 30)]
    reports = await serving.reports(*assignments)
    for number in range(1, 30):
        output = reports[f"{number:x}"].output
        assert b"".join(one.data for one in output if one.channel == 1) == b"by print %d\nby child\n" % number
        assert b"".join(one.data for one in output if one.channel == 2) == b"by stderr\n"


async def test_a_long_handler_tells_its_start_and_its_progress(serving: Serving) -> None:
    serving.stream.send(assignments=[handler("a1", "sleep", b"60")])
    progress = await serving.stream.wait_for("progress")
    assert (progress.attempt_id, progress.percent, progress.message) == ("a1", 12.5, "asleep")
    started = await serving.stream.wait_for("started")
    assert started.attempt_id == "a1"
    os.kill(started.pid, 0)


async def test_a_cancelled_handler_is_killed_and_those_behind_it_run_in_a_fresh_host(
    serving: Serving,
) -> None:
    warm = [handler(f"{number:x}", "echo") for number in range(1, 9)]
    await serving.reports(*warm)
    behind = [handler(f"b{number}", "echo", b"x") for number in range(9)]
    serving.stream.send(assignments=[handler("a1", "sleep", b"60"), *behind])
    started = await serving.stream.wait_for("started", lambda one: one.attempt_id == "a1")
    cancellation = worker_service_pb2.Cancellation(
        attempt_id="a1", fence=0xA1, outcome=types_pb2.OUTCOME_CANCELLED, grace_ms=200
    )
    serving.stream.send(cancellations=[cancellation])
    reports: dict[str, Any] = {}
    while len(reports) < 10:
        report = await serving.stream.wait_for("reports")
        reports[report.attempt_id] = report
    assert reports["a1"].outcome == types_pb2.OUTCOME_CANCELLED
    assert not script.is_there(started.pid)
    assert {reports[one.attempt_id].outcome for one in behind} == {types_pb2.OUTCOME_SUCCEEDED}
    assert {reports[one.attempt_id].pid for one in behind} != {started.pid}


async def test_a_handler_that_runs_too_long_is_timed_out(serving: Serving) -> None:
    reports = await serving.reports(handler("a1", "sleep", b"60", timeout_ms=200, grace_ms=200))
    assert reports["a1"].outcome == types_pb2.OUTCOME_TIMED_OUT
    assert reports["a1"].error == "stopped after its timeout of 0.2 s"


async def test_a_handler_that_kills_its_host_fails_alone(serving: Serving) -> None:
    reports = await serving.reports(handler("a1", "die"), handler("a2", "echo"))
    assert (reports["a1"].outcome, reports["a1"].exit_code) == (types_pb2.OUTCOME_FAILED, 9)
    assert b"cannot go on" in b"".join(one.data for one in reports["a1"].output)
    assert reports["a2"].outcome == types_pb2.OUTCOME_SUCCEEDED


async def test_a_short_task_waiting_behind_a_long_one_can_be_revoked(serving: Serving) -> None:
    await serving.reports(*(handler(f"{number:x}", "echo") for number in range(1, 9)))
    serving.stream.send(assignments=[handler("a1", "sleep", b"60"), handler("a2", "echo")])
    await serving.stream.wait_for("started", lambda one: one.attempt_id == "a1")
    serving.stream.send(revocations=[worker_service_pb2.Revocation(attempt_id="a2", fence=0xA2)])
    answer = await serving.stream.wait_for("revocation_answers")
    assert (answer.attempt_id, answer.started) == ("a2", False)


async def test_commands_and_handlers_share_the_slots(serving: Serving, tmp_path: Path) -> None:
    line = f"mkdir {tmp_path}/busy && sleep 0.02 && rmdir {tmp_path}/busy"
    mixed = []
    for number in range(1, 11):
        mixed.append(command(f"a{number}", line))
        mixed.append(handler(f"b{number}", "sleep", b"0.02"))
    reports = await serving.reports(*mixed)
    assert {one.outcome for one in reports.values()} == {types_pb2.OUTCOME_SUCCEEDED}
    spans = sorted((one.started_at_us, one.ended_at_us) for one in reports.values())
    # Wall clocks of two processes: a millisecond is not an overlap.
    assert all(before[1] <= after[0] + 1000 for before, after in itertools.pairwise(spans))


async def test_thousands_of_short_tasks_are_each_reported_once(serving: Serving) -> None:
    seen: dict[str, int] = {}
    sent = 0
    while len(seen) < 3000:
        batch = [handler(f"{sent + number + 1:x}", "br.noop") for number in range(min(150, 3000 - sent))]
        sent += len(batch)
        for attempt_id in await serving.reports(*batch):
            seen[attempt_id] = seen.get(attempt_id, 0) + 1
    assert set(seen.values()) == {1}
    assert serving.stream.nothing_is_left() or sent == 3000


async def test_a_module_that_does_not_load_ends_the_worker_with_one_line(tmp_path: Path) -> None:
    coordinator = script.ScriptedCoordinator(tmp_path)
    await coordinator.start()
    worker = script.RunningWorker(coordinator, tmp_path, "--handlers", "no_such_module_anywhere")
    await worker.start()
    try:
        assert await worker.exit_code() == 1
        assert "cannot load handlers from 'no_such_module_anywhere': ModuleNotFoundError" in worker.log
        assert "Traceback" not in worker.log
    finally:
        await worker.close()
        await coordinator.stop()
