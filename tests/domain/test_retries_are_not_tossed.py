"""A retry prefers another worker, but does not wait for one while the worker where it failed is idle."""

from __future__ import annotations

from buildrunner_coordinator.domain.model import Outcome


def failed_beside_a_busy_worker(stage, task, **busy):
    """The retry of "flaky" is due; where it failed all is free, the other worker runs a long task."""
    session = stage.session()
    idle = stage.worker(slots=1, credit=3)
    stage.submit(session, task("flaky", max_retries=3, backoff_ms=1000))
    flaky = stage.one()
    stage.start(flaky)
    other = stage.worker(credit=3, **busy)
    stage.submit(session, task("long"))
    stage.start(stage.one())
    stage.finish(flaky, Outcome.FAILED, exit_code=1)
    stage.nothing_is_sent()
    stage.wait(2)
    return idle, other


def test_a_retry_goes_back_to_the_idle_worker_when_the_other_one_is_full(stage, task):
    idle, _ = failed_beside_a_busy_worker(stage, task, slots=1)
    assert stage.worker_of(stage.one()) == idle
    stage.wait(5)
    stage.nothing_is_sent()


def test_a_retry_goes_to_the_other_worker_while_that_has_a_free_slot(stage, task):
    _, other = failed_beside_a_busy_worker(stage, task, slots=2)
    assert stage.worker_of(stage.one()) == other


def test_a_retry_waits_for_the_other_worker_when_both_are_full(stage, task):
    session = stage.session()
    first = stage.worker(slots=1, credit=3)
    stage.submit(session, task("flaky", max_retries=3, backoff_ms=1000))
    flaky = stage.one()
    stage.start(flaky)
    stage.finish(flaky, Outcome.FAILED, exit_code=1)
    stage.submit(session, task("here"))
    stage.start(stage.one())
    second = stage.worker(slots=1, credit=3)
    stage.submit(session, task("there"))
    stage.start(stage.one())
    stage.wait(2)
    assert first != second
    assert stage.worker_of(stage.one()) == second
