"""Requests for many paths, or whole trees, against a stream of requests for one: nobody is passed."""

from __future__ import annotations

import random

from buildrunner_coordinator.domain import commands as c
from tests.domain.loads import Load, many


def test_a_tree_comes_through_a_stream_of_files_below_it(stage, task):
    narrow, wide = stage.session("narrow"), stage.session("wide")
    stage.worker(slots=4, credit=4)
    rng = random.Random(5)
    stage.submit(narrow, *(task(f"n{i}", files=(f"src/f{rng.randrange(9)}",)) for i in range(150)))
    load = Load(stage, seconds=(1, 4))
    for _ in range(5):
        load.second()
    asked = load.clock
    stage.submit(wide, task("tree", files=("src/",)), seal=True)
    load.until(wide)
    assert load.begun[wide, "tree"] - asked <= 4 + 1, "what ran then, and nothing that came later"
    assert any(session == narrow and at > load.begun[wide, "tree"] for (session, _), at in load.begun.items())


def test_many_paths_come_through_a_stream_of_single_ones(stage, task):
    narrow, wide = stage.session("narrow"), stage.session("wide")
    stage.worker(slots=8, credit=8)
    stage.submit(narrow, *(task(f"n{i}", files=(f"p{i % 20}",)) for i in range(250)))
    load = Load(stage, seconds=(1, 3), seed=2)
    for _ in range(5):
        load.second()
    asked = load.clock
    # Those of the stream that were in the queue for a path before it are served before it: bounded by
    # what had asked by then, one after the other for each path.
    before = len(stage.core.queue.waiters.waiting)
    stage.submit(wide, task("all", files=tuple(f"p{i}" for i in range(20))), seal=True)
    load.until(wide)
    assert load.begun[wide, "all"] - asked <= (before // 20 + 2) * 3 + 3


def test_an_aged_waiter_goes_before_higher_priorities(stage, task):
    """Else who waits for paths behind it would wait for its priority too."""
    low, high = stage.session("low"), stage.session("high")
    stage.worker(slots=1, credit=1)
    spare = stage.worker(slots=1, credit=1)
    stage.submit(low, task("holder", files=("a",)))
    holder = stage.one()
    stage.start(holder)
    stage.submit(low, task("waiter", files=("a",)))
    stage.submit(high, *many(task, 5, priority=9))
    (running,) = stage.assigned()
    beats = [(stage.worker_of(holder), holder), (spare, running)]
    for _ in range(4):
        stage.wait(9)
        for worker, one in beats:
            stage.do(c.Heartbeat(worker, 1, (c.Held(one.attempt_id, one.fence, True),)))
    stage.take()
    stage.finish(holder)
    assert stage.one().spec == b"waiter"


def test_a_young_waiter_waits_for_its_turn(stage, task):
    low, high = stage.session("low"), stage.session("high")
    stage.worker(slots=2, credit=2)
    stage.submit(low, task("holder", files=("a",)), task("waiter", files=("a",)))
    holder = stage.one()
    stage.submit(high, *many(task, 3, priority=9))
    stage.one()
    stage.finish(holder)
    assert stage.one().spec == b"t1"


def test_ten_thousand_tasks_for_one_path_are_parked_without_a_stall(stage, task):
    """In slices, and in order; the first pass must not look at all of them."""
    session = stage.session()
    stage.worker(slots=4, credit=4)
    tasks = tuple(task(f"t{i:05}", files=("res:db",)) for i in range(10_000))
    stage.core.apply(c.SubmitTasks(session, (*tasks, task("free")), summaries=False), stage.now)
    stage.core.place(stage.now)
    assert 0 < len(stage.core.queue.waiters.waiting) <= 2_001
    assert stage.core.next_deadline_us() <= stage.now.us, "the next pass follows at once"
    for _ in range(6):
        stage.core.tick(stage.now)
        stage.core.place(stage.now)
    stage.core.collect()
    sent = [send.spec for _, send in stage.core.take_sends()]
    assert sent == [b"t00000", b"free"]
    assert len(stage.core.queue.waiters.waiting) == 9_999
