"""The worker program against a scripted coordinator: every message of the stream, in order."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2
from buildrunner_parallel.worker import process_tree, reaper

_spec = importlib.util.spec_from_file_location(
    "scripted_coordinator", Path(__file__).with_name("scripted_coordinator.py")
)
assert _spec is not None and _spec.loader is not None
script: Any = importlib.util.module_from_spec(_spec)
sys.modules.setdefault("scripted_coordinator", script)
_spec.loader.exec_module(script)

command = script.command
StartWorker = Callable[..., Awaitable[Any]]


@pytest.fixture
async def coordinator(tmp_path: Path) -> AsyncIterator[Any]:
    coordinator = script.ScriptedCoordinator(tmp_path)
    await coordinator.start()
    yield coordinator
    await coordinator.stop()


@pytest.fixture
async def start_worker(coordinator: Any, tmp_path: Path) -> AsyncIterator[StartWorker]:
    started: list[Any] = []

    async def start(*arguments: str) -> Any:
        worker = script.RunningWorker(coordinator, tmp_path, *arguments)
        await worker.start()
        started.append(worker)
        return worker

    yield start
    for worker in started:
        await worker.close()


async def test_the_hello_says_who_the_worker_is(coordinator: Any, start_worker: StartWorker) -> None:
    worker = await start_worker("--slots", "3", "--label", "linux", "--label", "big", "--session", "5e551011")
    stream = await coordinator.accept()
    hello = await stream.expect("hello")
    assert (hello.worker_id, hello.store_id, list(hello.held)) == ("", "", [])
    assert (hello.host, hello.pid, hello.slots) == (socket.gethostname(), worker.pid, 3)
    assert (list(hello.labels), hello.session_id) == (["linux", "big"], "5e551011")
    assert hello.kinds.commands
    assert list(hello.kinds.handlers) == ["br.noop"]
    assert hello.credit >= 3


async def test_heartbeats_count_up_and_name_what_is_held(coordinator: Any, start_worker: StartWorker) -> None:
    await start_worker()
    stream = await coordinator.welcomed()
    stream.send(assignments=[command("a1", "sleep", "60")])
    started = await stream.expect("started")
    seen = len(stream.heartbeats)
    await script.until(lambda: len(stream.heartbeats) >= seen + 3)
    assert [one.sequence for one in stream.heartbeats] == list(range(1, len(stream.heartbeats) + 1))
    (held,) = stream.heartbeats[-1].held
    assert (held.attempt_id, held.fence, held.started, held.ended) == ("a1", 0xA1, True, False)
    assert (held.pid, held.started_at_us) == (started.pid, started.started_at_us)


async def test_a_command_is_reported_with_everything_that_is_known(
    coordinator: Any, start_worker: StartWorker, tmp_path: Path
) -> None:
    await start_worker()
    stream = await coordinator.welcomed()
    line = 'echo out; echo err >&2; printf 42 > "$BR_RESULT_FILE"; echo why > "$BR_ERROR_FILE"; exit 3'
    stream.send(assignments=[command("a1", line)])
    report = await stream.wait_for("reports")
    assert (report.attempt_id, report.fence) == ("a1", 0xA1)
    assert (report.outcome, report.exit_code, report.signal) == (types_pb2.OUTCOME_FAILED, 3, 0)
    assert (report.error, report.result.data, report.output_bytes) == ("why", b"42", 8)
    assert sorted((one.channel, one.data) for one in report.output) == [(1, b"out\n"), (2, b"err\n")]
    assert report.started_at_us <= report.ended_at_us
    assert report.pid > 0
    assert report.usage.max_rss_bytes > 0


async def test_the_environment_is_the_allow_list_and_the_tasks_own(
    coordinator: Any, start_worker: StartWorker, tmp_path: Path
) -> None:
    await start_worker()
    stream = await coordinator.welcomed()
    directory = types_pb2.WorkingDirectory(worktree=str(tmp_path))
    given = {"MINE": "1", "BR_TOKEN": "no"}
    stream.send(assignments=[command("a1", "env; pwd", environment=given, directory=directory)])
    report = await stream.wait_for("reports")
    text = b"".join(one.data for one in report.output).decode()
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert {name: values[name] for name in values if name.startswith("BR_") and "FILE" not in name} == {
        "BR_SESSION_ID": "5e551011", "BR_SESSION_NAME": "a session", "BR_TASK_ID": "task-a1",
        "BR_ATTEMPT": "1", "BR_ATTEMPT_ID": "a1", "BR_FENCE": str(0xA1), "BR_WORKER_ID": "aaaa0001",
        "BR_SLOT": "0", "BR_COORDINATOR": coordinator.address,
    }  # fmt: skip
    assert values["MINE"] == "1"
    assert "SECRET_OF_MINE" not in values
    assert text.splitlines()[-1] == str(tmp_path)


async def test_a_report_is_repeated_until_it_is_acknowledged(
    coordinator: Any, start_worker: StartWorker
) -> None:
    await start_worker()
    stream = await coordinator.welcomed()
    stream.send(assignments=[command("a1", "true")])
    first = await stream.wait_for("reports")
    assert await stream.expect("reports") == first
    stream.acknowledge(first)
    await script.until(lambda: not stream.heartbeats[-1].held)
    while not stream.nothing_is_left():
        assert await stream.expect("reports") == first


async def test_after_a_break_the_worker_comes_back_with_what_it_holds(
    coordinator: Any, start_worker: StartWorker
) -> None:
    await start_worker("--slots", "2")
    stream = await coordinator.welcomed(report_repeat_ms=60_000)
    stream.send(assignments=[command("a1", "sleep", "60"), command("a2", "true")])
    started = await stream.wait_for("started", lambda one: one.attempt_id == "a1")
    report = await stream.wait_for("reports")
    stream.hang_up()
    stream = await coordinator.accept()
    hello = await stream.expect("hello")
    assert (hello.worker_id, hello.store_id, hello.epoch) == ("aaaa0001", "store", 1)
    held = {one.attempt_id: one for one in hello.held}
    assert (held["a1"].started, held["a1"].ended, held["a1"].pid) == (True, False, started.pid)
    assert (held["a2"].started, held["a2"].ended) == (True, True)
    stream.welcome(generation=2)
    assert await stream.wait_for("reports") == report


async def test_a_coordinator_that_restarts_finds_the_same_process_running(
    coordinator: Any, start_worker: StartWorker
) -> None:
    await start_worker()
    stream = await coordinator.welcomed()
    stream.send(assignments=[command("a1", "sleep", "60")])
    started = await stream.expect("started")
    await coordinator.stop()
    await coordinator.start()
    stream = await coordinator.accept()
    hello = await stream.expect("hello")
    assert [(one.attempt_id, one.pid) for one in hello.held] == [("a1", started.pid)]
    os.kill(started.pid, 0)


async def test_a_repeated_assignment_starts_nothing(
    coordinator: Any, start_worker: StartWorker, tmp_path: Path
) -> None:
    await start_worker("--slots", "2")
    stream = await coordinator.welcomed()
    once = command("a1", f"echo x >> {tmp_path}/count; sleep 0.2")
    stream.send(assignments=[once])
    stream.send(assignments=[once])
    report = await stream.wait_for("reports")
    stream.acknowledge(report)
    await script.until(lambda: not stream.heartbeats[-1].held)
    stream.send(assignments=[once])
    stream.send(assignments=[command("a2", "true")])
    assert (await stream.wait_for("reports", lambda one: one.attempt_id != "a1")).attempt_id == "a2"
    assert (tmp_path / "count").read_text() == "x\n"


async def test_an_assignment_of_an_older_stream_is_void(coordinator: Any, start_worker: StartWorker) -> None:
    await start_worker()
    stream = await coordinator.welcomed(generation=5)
    old, new = command("a1", "true"), command("a2", "true")
    old.generation, new.generation = 4, 5
    stream.send(assignments=[old, new])
    assert (await stream.wait_for("reports")).attempt_id == "a2"


async def test_revocations_are_answered_revoked_or_started(
    coordinator: Any, start_worker: StartWorker
) -> None:
    await start_worker("--credit", "4")
    stream = await coordinator.welcomed()
    stream.send(assignments=[command("a1", "sleep", "60"), command("a2", "true")])
    await stream.expect("started")
    stream.send(
        revocations=[
            worker_service_pb2.Revocation(attempt_id="a1", fence=0xA1),
            worker_service_pb2.Revocation(attempt_id="a2", fence=0xA2),
            worker_service_pb2.Revocation(attempt_id="a3", fence=0xA3),
        ]
    )
    answers = [await stream.expect("revocation_answers") for _ in range(3)]
    assert {one.attempt_id: one.started for one in answers} == {"a1": True, "a2": False, "a3": False}


async def test_a_cancelled_task_is_stopped_and_reported_with_the_wanted_outcome(
    coordinator: Any, start_worker: StartWorker
) -> None:
    await start_worker("--credit", "4")
    stream = await coordinator.welcomed(report_repeat_ms=60_000)
    line = "trap '' TERM; echo ready; while :; do sleep 0.02; done"
    stream.send(assignments=[command("a1", line), command("a2", "true")])
    await stream.expect("started")
    await script.until(lambda: bytes(coordinator.output) == b"ready\n")
    stream.send(
        cancellations=[
            worker_service_pb2.Cancellation(
                attempt_id="a1",
                fence=0xA1,
                outcome=types_pb2.OUTCOME_LOCK_LOST,
                grace_ms=100,
                reason="forced",
            ),
            worker_service_pb2.Cancellation(attempt_id="a2", fence=0xA2, outcome=types_pb2.OUTCOME_CANCELLED),
        ]
    )
    reports = {one.attempt_id: one for one in [await stream.wait_for("reports") for _ in range(2)]}
    assert (reports["a1"].outcome, reports["a1"].signal) == (types_pb2.OUTCOME_LOCK_LOST, 9)
    assert reports["a1"].error == "forced"
    assert (reports["a2"].outcome, reports["a2"].started_at_us) == (types_pb2.OUTCOME_CANCELLED, 0)


async def test_a_stale_answer_drops_the_report_and_an_unwanted_attempt_is_stopped_silently(
    coordinator: Any, start_worker: StartWorker
) -> None:
    await start_worker("--slots", "2")
    stream = await coordinator.welcomed()
    stream.send(assignments=[command("a1", "true"), command("a2", "sleep", "60")])
    pid = (await stream.wait_for("started", lambda one: one.attempt_id == "a2")).pid
    report = await stream.wait_for("reports")
    stream.acknowledge(report, worker_service_pb2.DISPOSITION_STALE)
    stream.answers_heartbeats = False
    sequence = stream.heartbeats[-1].sequence
    stream.send(
        heartbeat_reply=worker_service_pb2.HeartbeatReply(sequence=sequence, unknown_attempt_ids=["a2"])
    )
    await script.until(lambda: not stream.heartbeats[-1].held and not script.is_there(pid))
    while not stream.nothing_is_left():
        assert await stream.expect("reports") == report


async def test_what_cannot_start_is_reported_as_not_started(
    coordinator: Any, start_worker: StartWorker
) -> None:
    await start_worker()
    stream = await coordinator.welcomed()
    stream.send(assignments=[command("a1", "no-such-program")])
    report = await stream.expect("reports")
    assert (report.outcome, report.worker_fault) == (types_pb2.OUTCOME_NOT_STARTED, False)
    assert "no-such-program" in report.error


async def test_large_output_is_streamed_and_the_report_waits_for_its_acknowledgement(
    coordinator: Any, start_worker: StartWorker
) -> None:
    await start_worker()
    coordinator.acknowledges_output.clear()
    stream = await coordinator.welcomed()
    stream.send(assignments=[command("a1", "seq 1 200000; echo end >&2")])
    await stream.expect("started")
    async with asyncio.timeout(script.WAIT_S):
        await coordinator.output_received.wait()
    assert stream.nothing_is_left()
    coordinator.acknowledges_output.set()
    report = await stream.expect("reports")
    expected = b"".join(b"%d\n" % number for number in range(1, 200001))
    assert bytes(coordinator.output) == expected + b"end\n"
    assert (report.output_bytes, list(report.output)) == (len(expected) + 4, [])
    assert coordinator.channels[-1] == (2, b"end\n")


async def test_output_of_a_running_task_arrives_while_it_runs(
    coordinator: Any, start_worker: StartWorker
) -> None:
    await start_worker()
    stream = await coordinator.welcomed()
    stream.send(assignments=[command("a1", "echo early; sleep 60")])
    async with asyncio.timeout(script.WAIT_S):
        await coordinator.output_received.wait()
    assert bytes(coordinator.output) == b"early\n"


async def test_only_head_and_tail_of_endless_output_are_sent(
    coordinator: Any, start_worker: StartWorker
) -> None:
    await start_worker()
    stream = await coordinator.welcomed(output_head_bytes=40_000, output_tail_bytes=10_000)
    stream.send(assignments=[command("a1", "seq 1 100000")])
    report = await stream.wait_for("reports")
    whole = b"".join(b"%d\n" % number for number in range(1, 100001))
    # Between them is what was the newest while it ran, as a follower sees it.
    assert coordinator.output.startswith(whole[:40_000]) and coordinator.output.endswith(whole[-10_000:])
    assert (report.output_bytes, report.output_dropped_bytes) == (len(whole), len(whole) - 50_000)


async def test_a_drain_lets_the_running_task_finish_then_says_goodbye(
    coordinator: Any, start_worker: StartWorker
) -> None:
    worker = await start_worker("--credit", "4")
    stream = await coordinator.welcomed()
    stream.send(assignments=[command("a1", "sleep", "0.3"), command("a2", "true")])
    await stream.expect("started")
    stream.send(drain=worker_service_pb2.Drain(reason="test"))
    answer = await stream.expect("revocation_answers")
    assert (answer.attempt_id, answer.started) == ("a2", False)
    report = await stream.expect("reports")
    assert report.outcome == types_pb2.OUTCOME_SUCCEEDED
    stream.acknowledge(report)
    await stream.wait_for("goodbye")
    stream.hang_up()
    assert await worker.exit_code() == 0


async def test_a_term_signal_drains_and_a_second_one_stops(
    coordinator: Any, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    stream = await coordinator.welcomed()
    stream.send(assignments=[command("a1", "sleep", "60")])
    await stream.expect("started")
    worker.signal(signal.SIGTERM)
    await script.until(lambda: bool(coordinator.drained_workers))
    assert coordinator.drained_workers == ["aaaa0001"]
    worker.signal(signal.SIGTERM)
    report = await stream.wait_for("reports")
    assert report.outcome == types_pb2.OUTCOME_REVOKED
    stream.acknowledge(report)
    await stream.wait_for("goodbye")
    stream.hang_up()
    assert await worker.exit_code() == 0


async def test_another_store_means_stopping_everything_and_registering_anew(
    coordinator: Any, start_worker: StartWorker
) -> None:
    await start_worker()
    stream = await coordinator.welcomed()
    stream.send(assignments=[command("a1", "sleep", "60")])
    pid = (await stream.expect("started")).pid
    stream.hang_up()
    stream = await coordinator.welcomed(store_id="another", generation=2)
    while True:
        stream = await coordinator.accept()
        hello = await stream.expect("hello")
        assert (hello.worker_id, hello.store_id, list(hello.held)) == ("", "", [])
        stream.welcome(worker_id="aaaa0002", store_id="another")
        if not script.is_there(pid):
            break
    stream.send(assignments=[command("b1", "sh", "-c", "echo $BR_WORKER_ID")])
    report = await stream.wait_for("reports")
    assert report.output[0].data == b"aaaa0002\n"


async def test_a_lower_epoch_is_an_impostor(coordinator: Any, start_worker: StartWorker) -> None:
    await start_worker()
    stream = await coordinator.welcomed(epoch=7)
    stream.hang_up()
    stream = await coordinator.welcomed(epoch=6, generation=2)
    stream = await coordinator.accept()
    hello = await stream.expect("hello")
    assert (hello.worker_id, hello.epoch) == ("aaaa0001", 7)


async def test_a_refused_worker_says_why_and_ends(coordinator: Any, start_worker: StartWorker) -> None:
    coordinator.refusal = (grpc.StatusCode.PERMISSION_DENIED, "this token may not")
    worker = await start_worker()
    assert await worker.exit_code() == 1
    assert "this token may not" in worker.log


async def test_a_worker_that_cannot_reach_its_coordinator_gives_up_in_bounded_time(
    coordinator: Any, start_worker: StartWorker
) -> None:
    await coordinator.stop()
    worker = await start_worker("--unreachable", "0.5")
    assert await worker.exit_code() == 3
    assert "no coordinator at" in worker.log


async def test_a_silent_coordinator_is_left_and_called_again(
    coordinator: Any, start_worker: StartWorker
) -> None:
    await start_worker()
    stream = await coordinator.welcomed()
    stream.answers_heartbeats = False
    again = await coordinator.accept()
    assert (await again.expect("hello")).worker_id == "aaaa0001"


async def test_a_killed_worker_leaves_no_process_and_no_folder_behind(
    coordinator: Any, start_worker: StartWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    worker = await start_worker()
    stream = await coordinator.welcomed(worker_id="aaaadead")
    stream.send(assignments=[command("a1", "setsid sh -c 'sleep 300 & sleep 300' & sleep 300")])
    await stream.expect("started")
    worker.process.kill()
    await worker.exit_code()
    await script.until(lambda: not reaper.find_marked("BR_WORKER_ID=aaaadead"))
    await script.until(lambda: not list(tmp_path.glob("br-worker-*")))


async def test_a_worker_whose_supervisor_is_killed_kills_its_tasks_and_ends(
    coordinator: Any, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    stream = await coordinator.welcomed(worker_id="aaaabeef")
    stream.send(assignments=[command("a1", "setsid sleep 300 & sleep 300")])
    pid = (await stream.expect("started")).pid
    parent = process_tree.stat_of(pid)
    assert parent is not None
    os.kill(parent[0], signal.SIGKILL)
    assert await worker.exit_code() == 1
    assert reaper.find_marked("BR_WORKER_ID=aaaabeef") == []
    assert "Traceback" not in worker.log


async def test_a_stopped_worker_loses_its_tasks_at_the_leases_end(
    coordinator: Any, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    stream = await coordinator.welcomed(stop_after_ms=800, kill_after_ms=1200, report_repeat_ms=60_000)
    stream.send(assignments=[command("a1", "sleep", "300")])
    pid = (await stream.expect("started")).pid
    worker.signal(signal.SIGSTOP)
    await script.until(lambda: not script.is_there(pid))
    worker.signal(signal.SIGCONT)
    report = await stream.wait_for("reports")
    assert report.outcome == types_pb2.OUTCOME_LOST
