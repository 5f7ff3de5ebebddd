"""The attempt book: each word from either side, what is said and done about it, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2
from buildrunner_parallel.worker import handler_pool, spawning
from buildrunner_parallel.worker import supervisor_messages as say

from .attempt_bench import Bench


def test_attempts_start_in_the_order_of_their_arrival_as_room_allows() -> None:
    bench = Bench(room=1)
    bench.assign("a1", "a2")
    assert bench.told() == [("start", "a1")]
    bench.started("a1")
    bench.ended("a1")
    assert bench.told() == [("start", "a2")]


def test_a_start_that_was_not_told_yet_is_told_by_the_report_alone() -> None:
    bench = Bench()
    bench.assign("a1")
    bench.started("a1")
    bench.ended("a1")
    assert bench.said() == [("report", "a1", "SUCCEEDED")]


def test_a_start_is_told_once() -> None:
    bench = Bench()
    bench.assign("a1")
    bench.started("a1")
    bench.started("a1")
    assert bench.said() == [("started", "a1")]
    assert bench.said() == []


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [
        ("", "FAILED"),
        (say.CAUSE_TIMEOUT, "TIMED_OUT"),
        (say.CAUSE_LEASE, "LOST"),
        (say.CAUSE_STOP, "REVOKED"),
    ],
)
def test_what_ended_a_run_decides_its_outcome(cause: str, outcome: str) -> None:
    bench = Bench()
    bench.assign("a1")
    bench.started("a1")
    bench.said()
    bench.ended("a1", exit_code=1, cause=cause)
    assert bench.said() == [("report", "a1", outcome)]


def test_an_unacknowledged_report_is_held_and_repeated_and_an_acknowledged_one_forgotten() -> None:
    bench = Bench()
    bench.assign("a1")
    bench.started("a1")
    bench.ended("a1")
    bench.said()
    bench.book.repeat_reports(10.0, 5.0)
    assert bench.said() == []
    bench.book.repeat_reports(15.0, 5.0)
    assert bench.said() == [("report", "a1", "SUCCEEDED")]
    assert [(one.attempt_id, one.ended) for one in bench.book.held()] == [("a1", True)]
    bench.acknowledge("a1", worker_service_pb2.DISPOSITION_ACCEPTED)
    assert len(bench.book) == 0
    bench.book.repeat_reports(30.0, 5.0)
    assert bench.said() == []


@pytest.mark.parametrize(
    "disposition", [worker_service_pb2.DISPOSITION_DUPLICATE, worker_service_pb2.DISPOSITION_STALE]
)
def test_duplicate_and_stale_drop_the_report(disposition: Any) -> None:
    bench = Bench()
    bench.assign("a1")
    bench.ended("a1")
    bench.acknowledge("a1", disposition)
    assert len(bench.book) == 0
    assert bench.said() == []


def test_an_acknowledgement_with_another_fence_changes_nothing() -> None:
    bench = Bench()
    bench.assign("a1")
    bench.ended("a1")
    bench.book.acknowledge(
        worker_service_pb2.Acknowledgement(
            attempt_id="a1", fence=1, disposition=worker_service_pb2.DISPOSITION_STALE
        )
    )
    assert len(bench.book) == 1


def test_stale_for_a_running_attempt_stops_it_and_reports_nothing() -> None:
    bench = Bench()
    bench.assign("a1")
    bench.started("a1")
    bench.said()
    bench.told()
    bench.acknowledge("a1", worker_service_pb2.DISPOSITION_STALE)
    assert [word[:2] for word in bench.told()] == [("stop", "a1")]
    bench.ended("a1", cause=say.CAUSE_CANCEL)
    assert bench.said() == []
    assert len(bench.book) == 0


def test_repeated_and_finished_assignments_start_nothing() -> None:
    bench = Bench(room=3)
    bench.assign("a1", "a1")
    bench.ended("a1")
    bench.acknowledge("a1", worker_service_pb2.DISPOSITION_ACCEPTED)
    bench.assign("a1")
    assert bench.told() == [("start", "a1")]


def test_an_assignment_of_an_older_generation_starts_nothing() -> None:
    bench = Bench()
    bench.book.assign([worker_service_pb2.Assignment(attempt_id="a1", fence=1, generation=1)], 2)
    assert len(bench.book) == 0


def test_a_waiting_attempt_is_given_back_at_once_and_the_answer_is_repeated_if_it_was_lost() -> None:
    bench = Bench(room=0)
    bench.assign("a1")
    bench.revoke("a1")
    assert bench.said() == [("answer", "a1", "False")]
    bench.assign("a1")
    assert bench.said() == [("answer", "a1", "False")]
    assert len(bench.book) == 0


def test_a_handed_attempt_is_answered_when_it_is_known() -> None:
    bench = Bench(room=2)
    bench.assign("a1", "a2")
    bench.told()
    bench.revoke("a1")
    bench.revoke("a2")
    assert bench.said() == []
    assert bench.told() == [("take back", "a1"), ("take back", "a2")]
    bench.started("a1")
    bench.book.on_event((say.REVOKED, "a2"), 1.0)
    assert bench.said() == [("answer", "a1", "True"), ("answer", "a2", "False"), ("started", "a1")]


def test_a_running_attempt_is_too_late_to_revoke() -> None:
    bench = Bench()
    bench.assign("a1")
    bench.started("a1")
    bench.said()
    bench.revoke("a1")
    assert bench.said() == [("answer", "a1", "True")]


def test_a_cancel_before_the_start_is_simply_reported() -> None:
    bench = Bench(room=1)
    bench.assign("a1", "a2")
    bench.cancel("a2", outcome=types_pb2.OUTCOME_CANCELLED)
    assert bench.said() == [("report", "a2", "CANCELLED")]
    bench.cancel("a1", outcome=types_pb2.OUTCOME_REVOKED, grace_ms=5)
    assert bench.told()[-1] == ("stop", "a1", 5_000_000, say.CAUSE_CANCEL)
    bench.book.on_event((say.REVOKED, "a1"), 1.0)
    assert bench.said() == [("report", "a1", "REVOKED")]


def test_a_cancel_of_an_attempt_that_never_arrived_is_reported_and_its_late_assignment_is_void() -> None:
    bench = Bench()
    bench.cancel("a1", outcome=types_pb2.OUTCOME_CANCELLED)
    assert bench.said() == [("report", "a1", "CANCELLED")]
    bench.assign("a1")
    assert bench.told() == []


def test_a_cancel_that_comes_again_because_its_answer_was_lost_is_answered_again() -> None:
    bench = Bench(room=0)
    bench.assign("a1")
    bench.revoke("a1")
    bench.said()
    for _ in range(2):
        bench.cancel("a1", outcome=types_pb2.OUTCOME_CANCELLED)
        assert bench.said() == [("report", "a1", "CANCELLED")]


def test_a_cancel_after_the_end_changes_nothing() -> None:
    bench = Bench()
    bench.assign("a1")
    bench.ended("a1")
    bench.told()
    bench.cancel("a1", outcome=types_pb2.OUTCOME_CANCELLED)
    assert bench.told() == []
    assert bench.said() == [("report", "a1", "SUCCEEDED")]


def test_a_refused_start_is_the_tasks_fault_unless_the_machine_is_out_of_resources() -> None:
    bench = Bench(room=2)
    bench.assign("a1", "a2")
    bench.book.on_event((say.REFUSED, "a1", spawning.NOT_FOUND, "program not found: 'x'"), 1.0)
    bench.book.on_event((say.REFUSED, "a2", spawning.RESOURCES, "cannot fork"), 1.0)
    reports = {one.attempt_id: one for one in bench.outgoing.take().reports}
    assert {one.outcome for one in reports.values()} == {types_pb2.OUTCOME_NOT_STARTED}
    assert (reports["a1"].worker_fault, reports["a2"].worker_fault) == (False, True)


def test_a_handler_host_that_does_not_load_is_the_workers_fault() -> None:
    bench = Bench()
    bench.assign("a1")
    bench.book.on_event((handler_pool.HOST_FAILED, ["a1"], "no module"), 1.0)
    (report,) = bench.outgoing.take().reports
    assert (report.outcome, report.worker_fault, report.error) == (
        types_pb2.OUTCOME_NOT_STARTED,
        True,
        "no module",
    )


def test_without_a_lease_attempts_wait_for_its_renewal() -> None:
    bench = Bench()
    bench.assign("a1")
    bench.told()
    bench.book.on_event((say.REFUSED, "a1", spawning.LEASE, "run out"), 1.0)
    bench.book.dispatch()
    assert bench.told() == []
    bench.book.lease_renewed()
    bench.book.dispatch()
    assert bench.told() == [("start", "a1")]
    assert bench.said() == []


def test_a_report_waits_until_streamed_output_is_durable() -> None:
    bench = Bench()
    bench.assign("a1")
    bench.started("a1")
    bench.printed("a1", b"x" * 40_000)
    bench.said()
    (attempt,) = bench.book.with_output
    assert attempt.output is not None
    attempt.output.take(100_000)
    bench.ended("a1")
    assert bench.said() == []
    bench.book.acknowledge_output("a1", 0xA1, 39_999, stale=False)
    assert bench.said() == []
    bench.book.acknowledge_output("a1", 0xA1, 40_000, stale=False)
    assert bench.said() == [("report", "a1", "SUCCEEDED")]


def test_output_that_the_coordinator_misses_is_sent_again_before_the_report() -> None:
    bench = Bench()
    bench.assign("a1")
    bench.printed("a1", b"x" * 40_000)
    (attempt,) = bench.book.with_output
    assert attempt.output is not None
    attempt.output.take(100_000)
    bench.ended("a1")
    attempt.output.acknowledged_offset = 40_000
    bench.book.acknowledge_output("a1", 0xA1, 0, stale=False)
    assert bench.said() == [("report", "a1", "SUCCEEDED")]
    bench.acknowledge("a1", worker_service_pb2.DISPOSITION_OUTPUT_MISSING, offset=0)
    assert bench.said() == []
    assert sum(len(piece.data) for piece in attempt.output.take(100_000)) == 40_000
    bench.book.acknowledge_output("a1", 0xA1, 40_000, stale=False)
    assert bench.said() == [("report", "a1", "SUCCEEDED")]


def test_a_task_that_prints_faster_than_is_acknowledged_is_paused_and_resumed() -> None:
    bench = Bench()
    bench.assign("a1")
    bench.told()
    for _ in range(40):
        bench.printed("a1", b"x" * 65_536)
    assert bench.told() == [("pause", "a1")]
    (attempt,) = bench.book.with_output
    assert attempt.output is not None
    attempt.output.take(10_000_000)
    bench.book.acknowledge_output("a1", 0xA1, 40 * 65_536, stale=False)
    assert bench.told() == [("resume", "a1")]


def test_a_new_stream_repeats_reports_and_starts() -> None:
    bench = Bench(room=2)
    bench.assign("a1", "a2")
    bench.started("a1")
    bench.ended("a2", exit_code=2)
    first = bench.said()
    bench.book.new_stream(50.0)
    assert bench.said() == first == [("started", "a1"), ("report", "a2", "FAILED")]


def test_a_drain_gives_back_what_has_not_started_and_takes_nothing_more() -> None:
    bench = Bench(room=1)
    bench.assign("a1", "a2")
    bench.started("a1")
    bench.said()
    bench.book.drain()
    bench.assign("a3")
    assert bench.said() == [("answer", "a2", "False"), ("answer", "a3", "False")]
    bench.ended("a1")
    assert bench.said() == [("report", "a1", "SUCCEEDED")]


def test_stopping_shortens_the_grace_and_costs_the_task_nothing() -> None:
    bench = Bench()
    bench.assign("a1")
    bench.started("a1")
    bench.book.stop_all(2000)
    assert bench.told()[-1] == ("stop", "a1", 2_000_000_000, say.CAUSE_STOP)
    bench.ended("a1", exit_code=1, cause=say.CAUSE_STOP)
    assert bench.said()[-1] == ("report", "a1", "REVOKED")


def test_another_store_disowns_everything() -> None:
    bench = Bench(room=1)
    bench.assign("a1", "a2")
    bench.started("a1")
    bench.said()
    bench.book.disown_all()
    assert bench.book.held() == []
    assert bench.book.has_processes
    bench.ended("a1", cause=say.CAUSE_CANCEL)
    assert (len(bench.book), bench.said()) == (0, [])
