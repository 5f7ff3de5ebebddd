"""The keeper's decisions: what follows from an end, and which workers to start or release."""

from __future__ import annotations

import math

import pytest

from buildrunner_parallel.keeper.plan import (
    Backoff,
    CoordinatorEnd,
    CoordinatorHistory,
    Decision,
    Held,
    Release,
    Start,
    Step,
    next_wake_s,
    plan_workers,
)
from buildrunner_parallel.records import Pool

ALL = Pool(wanted=2)
BOUND = Pool(session_id="a3f2e1d9", wanted=1)


@pytest.mark.parametrize(
    ("end", "step"),
    [
        (CoordinatorEnd(0, 100.0), Step.LEAVE),
        (CoordinatorEnd(0, 0.1), Step.LEAVE),
        (CoordinatorEnd(None, 100.0, announced=True), Step.LEAVE),
        (CoordinatorEnd(None, 100.0), Step.RESTART),
        (CoordinatorEnd(78, 0.1), Step.GIVE_UP),
        (CoordinatorEnd(78, 100.0), Step.GIVE_UP),
        (CoordinatorEnd(1, 100.0), Step.RESTART),
        (CoordinatorEnd(-9, 100.0), Step.RESTART),
        (CoordinatorEnd(-9, 100.0, announced=True), Step.RESTART),
    ],
)
def test_what_follows_from_one_end(end, step):
    _, decision = CoordinatorHistory().after(end)
    assert decision.step == step


def run(*ends: CoordinatorEnd) -> list[Decision]:
    history = CoordinatorHistory()
    decisions = []
    for end in ends:
        history, decision = history.after(end)
        decisions.append(decision)
    return decisions


def test_a_loss_after_a_good_while_is_made_good_at_once():
    assert run(*[CoordinatorEnd(-9, 60.0)] * 10) == [Decision(Step.RESTART, 0.0)] * 10


def test_the_fifth_quick_failure_in_a_row_is_the_last():
    steps = [decision.step for decision in run(*[CoordinatorEnd(1, 0.2)] * 5)]
    assert steps == [Step.RESTART] * 4 + [Step.GIVE_UP]


def test_a_good_while_in_between_starts_the_count_anew():
    quick, long = CoordinatorEnd(1, 0.2), CoordinatorEnd(1, 9.0)
    assert all(decision.step == Step.RESTART for decision in run(*[quick] * 4, long, *[quick] * 4))


def test_being_killed_again_and_again_never_makes_it_give_up_nor_wait_two_seconds():
    decisions = run(*[CoordinatorEnd(-9, 0.2)] * 50)
    assert all(decision.step == Step.RESTART and decision.after_s < 2.0 for decision in decisions)
    assert decisions[0].after_s == 0.0


def test_missing_workers_are_started():
    assert plan_workers({"": ALL}, [], {}, 0.0) == [Start(ALL), Start(ALL)]
    assert plan_workers({"": ALL}, [Held(1)], {}, 0.0) == [Start(ALL)]
    assert plan_workers({"": ALL}, [Held(1), Held(2)], {}, 0.0) == []


def test_each_pool_counts_its_own_workers():
    pools = {"": ALL, "a3f2e1d9": BOUND}
    held = [Held(1, "a3f2e1d9"), Held(2)]
    assert plan_workers(pools, held, {}, 0.0) == [Start(ALL)]


def test_workers_of_a_pool_that_is_gone_are_released():
    assert plan_workers({}, [Held(4, "a3f2e1d9"), Held(5, "a3f2e1d9", leaving=True)], {}, 0.0) == [Release(4)]


def test_idle_ones_go_first_then_the_youngest():
    held = [Held(1), Held(2, busy=True), Held(3), Held(4, busy=True)]
    assert plan_workers({"": Pool(wanted=1)}, held, {}, 0.0) == [Release(3), Release(1), Release(4)]


def test_who_is_leaving_is_replaced_and_not_told_twice():
    assert plan_workers({"": Pool(wanted=1)}, [Held(1, leaving=True)], {}, 0.0) == [Start(Pool(wanted=1))]


def test_a_negative_number_is_none_at_all():
    assert plan_workers({"": Pool(wanted=-3)}, [Held(1)], {}, 0.0) == [Release(1)]


def test_nothing_is_started_before_the_backoff_is_over():
    backoffs = {"": Backoff(3, until_s=10.0)}
    assert plan_workers({"": ALL}, [Held(1)], backoffs, 9.9) == []
    assert plan_workers({"": ALL}, [Held(1)], backoffs, 10.0) == [Start(ALL)]
    assert next_wake_s({"": ALL}, [Held(1)], backoffs, 9.0) == 1.0
    assert next_wake_s({"": ALL}, [Held(1), Held(2)], backoffs, 9.0) == math.inf


def test_deaths_are_made_good_at_once_then_ever_more_slowly():
    backoff = Backoff()
    waits = []
    for _ in range(9):
        backoff = backoff.after(exit_code=-9, lived_s=0.1, now_s=100.0)
        waits.append(backoff.until_s - 100.0)
    assert waits == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_worker_that_lived_for_a_while_is_replaced_at_once():
    backoff = Backoff(8, 0.0).after(exit_code=-9, lived_s=60.0, now_s=100.0)
    assert backoff.until_s == 100.0


def test_a_worker_that_left_by_itself_is_not_replaced_at_once():
    assert Backoff().after(exit_code=0, lived_s=60.0, now_s=100.0).until_s == 100.5
