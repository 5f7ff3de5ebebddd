"""Who gets the slots: equal shares within a priority, counted in slots, at every moment and over time."""

from __future__ import annotations

from collections import Counter

import pytest

from buildrunner_coordinator.domain import commands as c
from tests.domain.loads import Load, has_queued, many


@pytest.mark.parametrize("slots", [2, 3, 6, 7])
def test_three_unequal_sessions_have_equal_shares_at_every_moment(stage, task, slots):
    sessions = [stage.session(name) for name in ("small", "middle", "large")]
    for worker in range(slots // 2):
        stage.worker(slots=2 + (worker == 0 and slots % 2), credit=2 + (worker == 0 and slots % 2))
    stage.submit(sessions[2], *many(task, 120), seal=True)
    load = Load(stage, seconds=(1, 4))
    for _ in range(6):
        load.second()
    stage.submit(sessions[0], *many(task, 10), seal=True)
    stage.submit(sessions[1], *many(task, 60), seal=True)
    for _ in range(5):
        load.second()
    while has_queued(stage, sessions[0]):
        load.second()
        shares = [stage.core.sessions[one].slots_taken for one in sessions]
        if has_queued(stage, sessions[0]):
            assert sum(shares) == slots
            assert max(shares) - min(shares) <= 1, shares
    while has_queued(stage, sessions[1]) and has_queued(stage, sessions[2]):
        load.second()
    for one in sessions:
        load.until(one)
    assert Counter(session for session, _ in load.order) == dict(zip(sessions, (10, 60, 120), strict=True))


def test_shares_over_a_window_are_equal_within_one_task(stage, task):
    """10, 100 and 1000 tasks of a second each on 3 slots: served in turns, to the end of the shortest."""
    large, middle, small = (stage.session(name) for name in ("large", "middle", "small"))
    stage.worker(slots=3, credit=3)
    stage.submit(large, *many(task, 1000), seal=True)
    stage.submit(middle, *many(task, 100), seal=True)
    stage.submit(small, *many(task, 10), seal=True)
    load = Load(stage)
    while has_queued(stage, small):
        load.second()
        counts = Counter(session for session, _ in load.order)
        if load.clock > 1 and has_queued(stage, small):
            assert max(counts.values()) - min(counts[one] for one in (large, middle, small)) <= 3
    assert load.clock <= 13


def test_a_late_short_session_ends_in_bounded_time(stage, task):
    long, late = stage.session("long"), stage.session("late")
    stage.worker(slots=4, credit=4)
    stage.submit(long, *many(task, 300))
    load = Load(stage, seconds=(2, 2))
    for _ in range(10):
        load.second()
    began = load.clock
    stage.submit(late, *many(task, 6), seal=True)
    load.until(late)
    assert load.clock - began <= 2 + 2 * 3 + 1
    assert has_queued(stage, long)


def test_slots_are_counted_not_tasks(stage, task):
    """Tasks of two slots do not double the share of their session."""
    light, heavy = stage.session("light"), stage.session("heavy")
    stage.worker(slots=8, credit=8)
    stage.submit(heavy, *many(task, 40, slots=2))
    stage.submit(light, *many(task, 80))
    load = Load(stage)
    for _ in range(8):
        load.second()
    assert all((step[light], step[heavy]) == (4, 4) for step in load.history[1:]), load.history


def test_higher_priority_goes_first_across_sessions(stage, task):
    low, high = stage.session("low"), stage.session("high")
    stage.worker(slots=2, credit=2)
    stage.submit(low, *many(task, 10))
    stage.submit(high, *many(task, 4, priority=5))
    load = Load(stage)
    for _ in range(3):
        load.second()
    assert [session for session, _ in load.order[:8]] == [low, low, high, high, high, high, low, low]


def test_within_a_session_the_order_of_submission_holds(stage, task):
    session = stage.session()
    stage.worker(slots=3, credit=3, labels=("x",))
    tasks = [task(f"t{i:02}", labels=("x",) if i % 3 else (), max_retries=i % 2) for i in range(30)]
    stage.submit(session, *tasks, seal=True)
    load = Load(stage)
    load.until(session)
    assert [name for _, name in load.order] == sorted(name for _, name in load.order)


def test_a_capped_session_leaves_the_rest_to_the_others(stage, task):
    capped, free = stage.session("capped", max_parallel=1), stage.session("free")
    stage.worker(slots=6, credit=6)
    stage.submit(capped, *many(task, 50))
    stage.submit(free, *many(task, 50))
    load = Load(stage)
    for _ in range(6):
        load.second()
    assert all((step[capped], step[free]) == (1, 5) for step in load.history[1:])


def test_who_wants_a_worker_gets_it_in_turn(stage, task):
    """The wanted one is also wanted by everybody else."""
    crowd, picky = stage.session("crowd"), stage.session("picky")
    wanted = stage.worker(slots=1, credit=1)
    stage.worker(slots=3, credit=3)
    stage.submit(crowd, *many(task, 100))
    stage.submit(picky, *many(task, 3, wanted_worker_id=wanted), seal=True)
    load = Load(stage)
    load.until(picky, most=8)
    assert stage.core.sessions[picky].status.value == "completed"


def test_shares_survive_a_restart(stage, task):
    one, two = stage.session("one"), stage.session("two")
    stage.worker(slots=4, credit=4)
    stage.submit(one, *many(task, 20))
    taken = stage.assigned()
    stage.restart()
    assert stage.core.sessions[one].slots_taken == 4
    stage.submit(two, *many(task, 20))
    worker = next(iter(stage.core.workers))
    held = tuple(c.Held(a.attempt_id, a.fence, True) for a in taken)
    stage.do(c.Register(1, worker_id=worker, slots=4, credit=4, held=held,
                        kinds=stage.core.workers[worker].kinds))  # fmt: skip
    stage.take()
    for assign in taken[:2]:
        stage.finish(assign)
    assert [a.session_id for a in stage.assigned()] == [two, two]
