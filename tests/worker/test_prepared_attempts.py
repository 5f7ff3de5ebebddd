"""Attempts that are prepared before their start and looked at after their end."""

from __future__ import annotations

import pytest

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2
from buildrunner_parallel.worker import spawning
from buildrunner_parallel.worker import supervisor_messages as say

from .attempt_bench import Bench


def test_one_is_prepared_before_it_starts_and_reported_when_it_was_looked_at() -> None:
    bench = Bench(room=1)
    bench.assign("a1", audited=True)
    assert (bench.prepared_told(), bench.told()) == ([("prepare", "a1")], [])
    bench.prepared("a1")
    assert bench.told() == [("start", "a1")]
    bench.started("a1")
    bench.ended("a1")
    assert bench.prepared_told() == [("close", "a1")]
    assert bench.said() == [("started", "a1")]
    assert bench.book.held()[0].ended
    bench.closed("a1")
    assert bench.said() == [("report", "a1", "SUCCEEDED")]
    bench.acknowledge("a1", worker_service_pb2.DISPOSITION_ACCEPTED)
    assert (len(bench.book), bench.prepared_told()) == (0, [])


def test_it_is_prepared_only_when_it_could_start() -> None:
    bench = Bench(room=1)
    bench.assign("a1", "a2", audited=True)
    assert bench.prepared_told() == [("prepare", "a1")]
    bench.prepared("a1")
    bench.started("a1")
    assert bench.prepared_told() == []
    bench.ended("a1")
    assert bench.prepared_told() == [("close", "a1"), ("prepare", "a2")]


def test_one_that_cannot_be_prepared_is_reported_as_not_started() -> None:
    bench = Bench(room=1)
    bench.assign("a1", "a2", audited=True)
    bench.prepared("a1", failure="no worktree of its own: no commit yet")
    assert bench.said() == [("report", "a1", "NOT_STARTED")]
    assert bench.prepared_told() == [("prepare", "a1"), ("prepare", "a2")]


def test_one_that_is_asked_back_while_it_is_prepared_goes_back_when_that_is_done() -> None:
    bench = Bench()
    bench.assign("a1", audited=True)
    bench.revoke("a1")
    assert bench.said() == []
    bench.prepared("a1")
    assert bench.said() == [("answer", "a1", "False")]
    assert (bench.told(), bench.prepared_told()) == ([], [("prepare", "a1"), ("abandon", "a1")])
    assert bench.executor.reserved == set()


def test_one_that_is_cancelled_while_it_is_prepared_is_reported_and_cleared_up() -> None:
    bench = Bench()
    bench.assign("a1", audited=True)
    bench.cancel("a1", outcome=types_pb2.OUTCOME_CANCELLED)
    bench.prepared("a1")
    assert bench.said() == [("report", "a1", "CANCELLED")]
    assert (bench.told(), bench.prepared_told()) == ([], [("prepare", "a1"), ("abandon", "a1")])


@pytest.mark.parametrize("moment", ["while it is prepared", "when it is prepared", "while it runs"])
def test_one_that_nobody_wants_any_more_is_cleared_up(moment: str) -> None:
    bench = Bench(room=0 if moment == "when it is prepared" else 1)
    bench.executor.room = 1
    bench.assign("a1", audited=True)
    if moment == "while it is prepared":
        bench.book.disown_all()
        bench.prepared("a1")
    elif moment == "when it is prepared":
        bench.executor.room = 0
        bench.prepared("a1")
        bench.book.disown_all()
    else:
        bench.prepared("a1")
        bench.started("a1")
        bench.book.disown_all()
        bench.ended("a1", cause=say.CAUSE_CANCEL)
    assert bench.prepared_told() == [("prepare", "a1"), ("abandon", "a1")]
    assert len(bench.book) == 0


def test_while_it_is_looked_at_its_preparer_learns_that_nobody_wants_it() -> None:
    bench = Bench()
    bench.assign("a1", audited=True)
    bench.prepared("a1")
    bench.started("a1")
    bench.ended("a1")
    assert bench.preparer.is_wanted()
    bench.book.disown_all()
    assert not bench.preparer.is_wanted()
    bench.said()
    bench.closed("a1")
    assert bench.said() == []


def test_a_start_that_waits_for_the_lease_keeps_what_was_prepared() -> None:
    bench = Bench()
    bench.assign("a1", audited=True)
    bench.prepared("a1")
    bench.book.on_event((say.REFUSED, "a1", spawning.LEASE, "no lease"), 1.0)
    bench.book.lease_renewed()
    bench.book.dispatch()
    assert bench.told() == [("start", "a1"), ("start", "a1")]
    assert bench.prepared_told() == [("prepare", "a1")]


def test_a_program_that_is_not_there_is_reported_at_once() -> None:
    bench = Bench()
    bench.assign("a1", audited=True)
    bench.prepared("a1")
    bench.book.on_event((say.REFUSED, "a1", spawning.NOT_FOUND, "program not found"), 1.0)
    assert bench.said() == [("report", "a1", "NOT_STARTED")]
    assert bench.prepared_told() == [("prepare", "a1"), ("abandon", "a1")]


def test_a_worker_that_leaves_gives_back_what_is_being_prepared() -> None:
    bench = Bench()
    bench.assign("a1", audited=True)
    bench.book.drain()
    bench.prepared("a1")
    assert bench.said() == [("answer", "a1", "False")]
