"""Handlers that are cancelled, time out, are async, tell progress, or run by the thousand in one host."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
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

handler = script.handler
HANDLERS = Path(__file__).with_name("stoppable_handlers.py")


class Serving:
    """A connected worker with the handlers of one file, its stream and its coordinator."""

    def __init__(self, worker: Any, stream: Any) -> None:
        self.worker, self.stream = worker, stream

    async def reports(self, *assignments: Any) -> dict[str, Any]:
        self.stream.send(assignments=assignments)
        found: dict[str, Any] = {}
        while len(found) < len(assignments):
            report = await self.stream.wait_for("reports")
            found[report.attempt_id] = report
            self.stream.acknowledge(report)
        return found

    async def cancelled(self, assignment: Any, grace_ms: int) -> Any:
        """The report of a handler that is cancelled once it runs."""
        self.stream.send(assignments=[assignment])
        await self.stream.wait_for("progress")
        cancellation = worker_service_pb2.Cancellation(
            attempt_id=assignment.attempt_id,
            fence=assignment.fence,
            outcome=types_pb2.OUTCOME_CANCELLED,
            grace_ms=grace_ms,
        )
        self.stream.send(cancellations=[cancellation])
        return await self.stream.wait_for("reports")


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Serving]:
    coordinator = script.ScriptedCoordinator(tmp_path)
    await coordinator.start()
    worker = script.RunningWorker(coordinator, tmp_path, "--handlers", str(HANDLERS), "--credit", "200")
    await worker.start()
    stream = await coordinator.accept()
    hello = await stream.expect("hello")
    assert {"polite", "async-polite"} <= set(hello.kinds.handlers)
    stream.welcome(report_repeat_ms=60_000)
    yield Serving(worker, stream)
    await worker.close()
    await coordinator.stop()


def asked(name: str, witness: Path, **spec: Any) -> Any:
    return handler("a1", name, json.dumps({"witness": str(witness)}).encode(), **spec)


@pytest.mark.parametrize(("name", "told"), [("polite", "ended, True"), ("async-polite", "CancelledError")])
async def test_a_cancelled_handler_that_listens_ends_by_itself(
    serving: Serving, tmp_path: Path, name: str, told: str
) -> None:
    report = await serving.cancelled(asked(name, tmp_path / "witness"), grace_ms=60_000)
    assert (tmp_path / "witness").read_text() == told
    assert report.outcome == types_pb2.OUTCOME_CANCELLED
    assert not report.HasField("result")
    assert "Traceback" not in b"".join(one.data for one in report.output).decode()
    after = await serving.reports(handler("a2", "tally-host"))
    assert after["a2"].outcome == types_pb2.OUTCOME_SUCCEEDED
    assert after["a2"].pid != report.pid, "a host that was told to end serves nothing more"


@pytest.mark.parametrize(("name", "told"), [("stubborn", "knew it"), ("async-stubborn", "swallowed")])
async def test_a_cancelled_handler_that_does_not_end_is_killed_after_its_grace(
    serving: Serving, tmp_path: Path, name: str, told: str
) -> None:
    report = await serving.cancelled(asked(name, tmp_path / "witness"), grace_ms=1500)
    assert (tmp_path / "witness").read_text() == told
    assert (report.outcome, report.signal) == (types_pb2.OUTCOME_CANCELLED, 9)
    assert not script.is_there(report.pid)


async def test_a_handler_out_of_time_is_asked_to_end_and_its_output_is_kept(
    serving: Serving, tmp_path: Path
) -> None:
    assignment = asked("polite", tmp_path / "witness", timeout_ms=300, grace_ms=60_000)
    report = (await serving.reports(assignment))["a1"]
    assert report.outcome == types_pb2.OUTCOME_TIMED_OUT
    assert report.error == "stopped after its timeout of 0.3 s"
    assert (tmp_path / "witness").read_text() == "ended, True"
    assert b"tidied up\n" in b"".join(one.data for one in report.output)


async def test_what_an_async_handler_raises_is_its_error_with_its_own_frames_only(serving: Serving) -> None:
    report = (await serving.reports(handler("a1", "async-fail")))["a1"]
    assert (report.outcome, report.error) == (types_pb2.OUTCOME_FAILED, "LookupError: nothing there")
    trace = b"".join(one.data for one in report.output).decode()
    assert "in async_fail" in trace
    assert "handler_host" not in trace and "asyncio" not in trace


async def test_async_handlers_of_one_host_share_a_loop_and_nothing_else(serving: Serving) -> None:
    reports = await serving.reports(*(handler(f"a{number}", "async-leftovers") for number in range(1, 4)))
    told = [json.loads(one.result.data) for one in reports.values()]
    assert told == [{"before": 0, "loops": 1}] * 3


async def test_a_handler_that_exits_fails_its_task_and_its_host_goes_on(serving: Serving) -> None:
    reports = await serving.reports(handler("a1", "exit"), handler("a2", "tally-host"))
    assert reports["a1"].error == "SystemExit: enough"
    assert reports["a1"].pid == reports["a2"].pid


async def test_of_many_words_on_its_progress_few_are_sent_and_the_last_one_is(serving: Serving) -> None:
    serving.stream.send(assignments=[handler("a1", "chatty")])
    told = [await serving.stream.wait_for("progress")]
    while told[-1].message != "at 19999":
        told.append(await serving.stream.wait_for("progress"))
    assert len(told) < 500
    assert [one.percent for one in told] == sorted(one.percent for one in told)
    assert told[-1].percent == 19_999 / 200


async def test_a_payload_that_does_not_fit_the_parameters_fails_with_one_line(serving: Serving) -> None:
    reports = await serving.reports(
        handler("a1", "polite", b"[1]"), handler("a2", "polite", b"{}"), handler("a3", "polite", b"no json")
    )
    assert reports["a1"].error.startswith("TypeError: the payload must be a JSON object")
    assert "missing 1 required positional argument: 'witness'" in reports["a2"].error
    assert reports["a3"].error.startswith("JSONDecodeError: ")


def _usage(pid: int) -> tuple[int, int]:
    """Descriptors, and bytes of memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), pages * os.sysconf("SC_PAGESIZE")


async def test_five_thousand_tasks_leave_their_host_as_large_as_it_was(serving: Serving) -> None:
    async def run(first: int, count: int) -> set[int]:
        pids: set[int] = set()
        for start in range(first, first + count, 100):
            batch = [handler(f"{number:x}", "tally-host") for number in range(start, start + 100)]
            pids |= {int(one.result.data) for one in (await serving.reports(*batch)).values()}
        return pids

    pids = await run(1, 500)
    before = {pid: _usage(pid) for pid in pids}
    began_s = time.monotonic()
    stayed = pids & await run(501, 5000)
    assert stayed, "a host stays as long as it can be used"
    for pid, (files, size_bytes) in ((pid, before[pid]) for pid in stayed):
        files_after, size_after_bytes = _usage(pid)
        rate = 5000 / (time.monotonic() - began_s)
        print(f"\n  {rate:.0f} tasks/s; {size_bytes:,} to {size_after_bytes:,} bytes")
        assert files_after == files
        assert size_after_bytes - size_bytes < 1 << 20
