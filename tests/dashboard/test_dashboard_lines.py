"""A line a change, for pipes and log files."""

from __future__ import annotations

from buildrunner_parallel.dashboard.lines import change_line
from buildrunner_parallel.dashboard.phrases import error_of, holder_phrase, holders_phrase, why
from buildrunner_parallel.records import LockHolder, Wait, WaitKind


def test_holders_are_told_by_task_or_session():
    assert holders_phrase(()) == "held by another"
    assert holders_phrase((LockHolder("s1", "Docs"),)) == "held by session Docs"
    two = (LockHolder("s1", task_id="a", worker_id="w"), LockHolder("s2"))
    assert holders_phrase(two) == "held by a on worker w, session s2"
    assert holder_phrase(LockHolder("s1", "Docs", grant_id="g")) == "session Docs by hand"


def test_a_line_a_change_is_plain_and_one_line(make):
    task = make.task(
        "t\n\x1b",
        "failed",
        attempt=2,
        worker_id="w",
        started_at=make.at(-3),
        ended_at=make.now,
        error="first\nsecond",
    )
    line = change_line(task, make.now)
    assert line.endswith("failed      t ␛  3.0s  worker w  attempt 2  first second")
    queued = make.task("q", error="exit code 1", attempt=1)
    assert change_line(queued, make.now).endswith("queued      q  exit code 1")


def test_reasons_are_told_in_few_words():
    assert why(None) == ""
    assert why(Wait(WaitKind.NEEDS, "a long sentence", ("a", "b"))) == "needs a, b"
    assert why(Wait(WaitKind.NO_SLOT, "3 slots of 4")) == "no free slot"
    assert why(Wait(WaitKind.MAX_PARALLEL)) == "max parallel"
    assert why(Wait(WaitKind.BACKOFF, "tries again in 3s")) == "tries again in 3s"
    holder = LockHolder("s1", task_id="a")
    assert why(Wait(WaitKind.LOCKS, "", ("x", "y"), (holder,))) == "x, y, held by a"


def test_of_an_error_the_last_line_is_told(make):
    assert error_of(make.task("a", "failed", error="exit code 1\n\nerror: no\n\n")) == "error: no"
    assert error_of(make.task("a", "failed", reason="LOCK_LOST")) == "lock lost"
    assert error_of(make.task("a", "failed")) == "failed"
