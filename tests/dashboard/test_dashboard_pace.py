"""Rate and time to go: sensible at the beginning, for growing, paused and stalled sessions, and for none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildrunner_parallel.dashboard.pace import Pace, Throughput
from buildrunner_parallel.records import SessionStatus, TaskCounts


@pytest.fixture
def at(make):
    """A session at a moment: so many done, running and queued."""

    def build(done=0, running=1, queued=0, **changes):
        counts = TaskCounts(running=running, queued=queued, succeeded=done)
        return make.session(counts=counts, **changes)

    return build


def test_nothing_is_guessed_before_anything_has_ended(at):
    assert Pace(at(0, queued=9), 100.0).phrase(130.0) == ""


def test_rate_and_time_to_go_come_from_what_ended_since_it_is_looked_at(at):
    pace = Pace(at(1000, queued=39), 100.0)
    pace.see(at(1010, queued=29), 105.0)
    assert pace.rate(105.0) == 2.0
    assert pace.phrase(105.0) == "2.0/s, 15s to go"


def test_slow_sessions_are_counted_by_the_minute(at):
    pace = Pace(at(0, queued=9), 0.0)
    pace.see(at(1, queued=8), 20.0)
    assert pace.phrase(20.0) == "3.0/min, 3m00s to go"


def test_the_first_task_does_not_promise_the_moon(at):
    pace = Pace(at(0, queued=99), 0.0)
    pace.see(at(1, queued=98), 0.001)
    assert pace.rate(0.001) == 1.0


def test_only_the_last_half_minute_counts(at):
    pace = Pace(at(0, queued=300), 0.0)
    for second in range(1, 101):
        pace.see(at(second if second <= 50 else 50 + (second - 50) * 3, queued=100), float(second))
    assert pace.rate(100.0) == pytest.approx(3.0)


def test_the_rate_falls_while_nothing_ends(at):
    pace = Pace(at(0, queued=10), 0.0)
    pace.see(at(5, queued=5), 5.0)
    assert pace.rate(5.0) > pace.rate(10.0) > pace.rate(25.0)


def test_a_growing_session_says_so(at):
    pace = Pace(at(0, queued=9, open=True), 0.0)
    pace.see(at(5, queued=4, open=True), 5.0)
    assert pace.amount() == "5/10+"
    assert pace.phrase(5.0) == "1.0/s, at least 5s to go"


def test_a_declared_number_is_the_number(at):
    pace = Pace(at(1, running=1, open=True, declared_tasks=50), 0.0)
    assert pace.amount() == "1/50"


def test_no_task_at_all_is_said(at):
    assert Pace(at(0, running=0, open=True), 0.0).phrase(1.0) == "no tasks yet"


def test_a_paused_session_has_no_time_to_go(at):
    pace = Pace(at(0, queued=9), 0.0)
    pace.see(at(3, running=1, queued=6, status=SessionStatus.PAUSED), 3.0)
    assert pace.phrase(3.0) == "paused, 1 still running"
    pace.see(at(4, running=0, queued=6, status=SessionStatus.PAUSED), 4.0)
    assert pace.phrase(4.0) == "paused"


def test_a_session_where_nothing_runs_says_so_after_a_while(at):
    pace = Pace(at(2, running=0, queued=5), 0.0)
    assert pace.phrase(4.9) == ""
    assert pace.phrase(5.0) == "nothing runs"


def test_a_session_that_nobody_closes_says_so_after_a_while(at):
    pace = Pace(at(2, running=0, open=True), 0.0)
    assert pace.phrase(4.9) == ""
    assert pace.phrase(5.0) == "not closed yet"


def test_a_session_that_is_being_cancelled_says_so(at):
    assert Pace(at(2, cancelling=True), 0.0).phrase(1.0) == "cancelling"


def test_a_retry_begins_the_count_anew(at):
    pace = Pace(at(10, queued=0), 0.0)
    pace.see(replace(at(4, queued=6)), 10.0)
    assert pace.rate(10.0) == 0.0
    pace.see(at(6, queued=4), 12.0)
    assert pace.rate(12.0) == 1.0


def test_a_quick_session_takes_no_more_memory_than_a_slow_one(at):
    pace = Pace(at(0, queued=300_000), 0.0)
    for number in range(1, 20_001):
        pace.see(at(number, queued=300_000 - number), number / 1000)
    assert len(pace._samples) < 200
    assert pace.rate(20.0) == pytest.approx(1000.0)


def test_throughput_is_told_by_the_second():
    ended = Throughput()
    for second, count in ((100, 3), (100, 2), (101, 4), (103, 1), (104, -2), (104, 0)):
        ended.add(count, second + 0.5)
    assert ended.series(104.2, 5) == [0.0, 5.0, 4.0, 0.0, 1.0]
    assert ended.rate(104.0) == 1.0
    assert ended.rate(300.0) == 0.0
