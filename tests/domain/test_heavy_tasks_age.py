"""Tasks of several slots against a stream of light ones: room is kept in time, and no longer than needed."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.replies import Revoke
from tests.domain.loads import Load, has_queued, many


def begins(load, session, name):
    return load.begun.get((session, name))


def pass_over(stage, session, heavy, *, last=False):
    """The heavy task is passed over by a light one, long enough ago. Returns the two that run now."""
    running = stage.assigned()
    stage.submit(session, heavy)
    stage.finish(running.pop(1 if last else 0))
    other = stage.one()
    stage.wait(3)
    return other, running[0]


@pytest.mark.parametrize("seed", range(5))
def test_a_heavy_task_comes_through_a_steady_stream_of_light_ones(stage, task, seed):
    light, heavy = stage.session("light"), stage.session("heavy")
    stage.worker(slots=4, credit=4)
    stage.submit(light, *many(task, 150))
    load = Load(stage, seconds=(1, 5), seed=seed)
    for _ in range(10):
        load.second()
    submitted = load.clock
    stage.submit(heavy, task("whole", slots=4), seal=True)
    load.until(heavy)
    waited = begins(load, heavy, "whole") - submitted
    assert waited <= 5 + 2 + 5, "until it is passed over, the bound, and the longest light task"
    assert has_queued(stage, light)


def test_without_ageing_it_would_never_run(stage_with, task):
    """Shows that the stream of the test above does starve who is not helped."""
    stage = stage_with(slot_age_ms=10**9)
    light, heavy = stage.session("light"), stage.session("heavy")
    stage.worker(slots=4, credit=4)
    stage.submit(light, *many(task, 80))
    load = Load(stage, seconds=(1, 5))
    load.second()
    stage.submit(heavy, task("whole", slots=4), seal=True)
    while has_queued(stage, light):
        load.second()
    assert begins(load, heavy, "whole") is None


def test_a_heavy_task_of_the_same_session_is_not_passed_for_ever(stage, task):
    session = stage.session()
    stage.worker(slots=4, credit=5)
    stage.submit(session, *many(task, 20, "before"), task("whole", slots=4), *many(task, 120, "after"))
    load = Load(stage, seconds=(1, 4), seed=3)
    while begins(load, session, "whole") is None:
        assert load.clock < 40
        load.second()
    assert has_queued(stage, session)


def test_room_is_kept_on_one_worker_only(stage, task):
    light, heavy = stage.session("light"), stage.session("heavy")
    for _ in range(3):
        stage.worker(slots=4, credit=4)
    stage.submit(light, *many(task, 150))
    load = Load(stage, seconds=(3, 6))
    for _ in range(5):
        load.second()
    stage.submit(heavy, task("whole", slots=4), seal=True)
    kept = set()
    while begins(load, heavy, "whole") is None:
        load.second()
        kept |= stage.core.queue.kept.keys()
        busy = [one.slots_taken for one in stage.core.workers.values()
                if one.worker_id not in stage.core.queue.kept]  # fmt: skip
        assert all(taken >= 4 for taken in busy), "a slot idles that nothing is kept for"
    assert len(kept) == 1
    load.until(heavy)
    assert stage.core.queue.kept == {}


def test_another_worker_is_tried_when_one_never_comes_free(stage, task):
    """Three hour-long tasks hold the worker that seems nearest; the other one's tasks are short."""
    light, heavy = stage.session("light"), stage.session("heavy")
    hours, short = stage.worker(slots=4, credit=4), stage.worker(slots=4, credit=4)
    stage.submit(light, *many(task, 1, "hours", wanted_worker_id=hours))
    stage.take()
    stage.submit(light, *many(task, 160, "short"))
    load = Load(stage, seconds=(1, 2))
    load.second()
    stage.submit(heavy, task("whole", slots=4), seal=True)
    while begins(load, heavy, "whole") is None:
        assert load.clock < 60, stage.core.queue.kept
        load.second()
    assert begins(load, heavy, "whole") < 30
    assert stage.core.workers[short].succeeded > stage.core.workers[hours].succeeded


def test_what_ranks_higher_still_gets_the_slots_that_are_kept(stage, task):
    light, heavy, urgent = stage.session("light"), stage.session("heavy"), stage.session("urgent")
    worker = stage.worker(slots=2, credit=2)
    stage.submit(light, *many(task, 50))
    first, second = pass_over(stage, heavy, task("whole", slots=2))
    stage.finish(first)
    stage.nothing_is_sent()
    assert stage.core.queue.kept == {worker: (heavy, "whole")}
    stage.submit(urgent, task("now", priority=1))
    now = stage.one()
    assert now.session_id == urgent
    stage.finish(second)
    stage.nothing_is_sent()
    stage.finish(now)
    assert stage.one().spec == b"whole"


def test_a_heavy_task_that_is_cancelled_gives_the_room_back_at_once(stage, task):
    light, heavy = stage.session("light"), stage.session("heavy")
    stage.worker(slots=2, credit=2)
    stage.submit(light, *many(task, 50))
    first, _ = pass_over(stage, heavy, task("whole", slots=2))
    stage.finish(first)
    stage.nothing_is_sent()
    stage.do(c.CancelTask(heavy, "whole"))
    assert stage.one().session_id == light
    assert stage.core.queue.kept == {}


def test_no_room_is_kept_while_its_paths_are_taken(stage, task):
    light, heavy = stage.session("light"), stage.session("heavy")
    stage.worker(slots=2, credit=2)
    stage.submit(light, task("holder", files=("out",)), *many(task, 50))
    other, holder = pass_over(stage, heavy, task("whole", slots=2, files=("out",)), last=True)
    stage.finish(other)
    free = stage.one()
    assert free.session_id == light
    stage.finish(holder)
    stage.nothing_is_sent()
    stage.submit(light, task("thief", files=("out",)))
    stage.finish(free)
    assert stage.one().spec == b"whole"


def test_what_was_sent_ahead_is_asked_back_where_room_is_kept(stage, task):
    light, heavy = stage.session("light"), stage.session("heavy")
    stage.worker(slots=2, credit=4)
    stage.submit(light, *many(task, 50))
    sent = stage.assigned()
    assert len(sent) == 4
    for one in sent[:3]:
        stage.start(one)
    stage.submit(heavy, task("whole", slots=2))
    stage.finish(sent[0])
    stage.nothing_is_sent()
    stage.wait(3)
    asked = [send for _, send in stage.take() if isinstance(send, Revoke)]
    assert [one.attempt_id for one in asked] == [sent[3].attempt_id]
    stage.do(c.Revoked(stage.worker_of(sent[3]), asked[0].attempt_id, asked[0].fence, False))
    stage.nothing_is_sent()
    stage.finish(sent[1])
    stage.nothing_is_sent()
    stage.finish(sent[2])
    assert stage.one().spec == b"whole"


def test_two_heavy_sessions_take_turns_and_light_work_goes_on(stage, task):
    sessions = [stage.session(name) for name in ("one", "two", "light")]
    stage.worker(slots=4, credit=4)
    stage.worker(slots=4, credit=4)
    stage.submit(sessions[2], *many(task, 250))
    stage.submit(sessions[0], *many(task, 6, slots=4), seal=True)
    stage.submit(sessions[1], *many(task, 6, slots=3), seal=True)
    load = Load(stage, seconds=(1, 3))
    load.until(sessions[0], most=200)
    load.until(sessions[1], most=200)
    lights = [name for session, name in load.order if session == sessions[2]]
    assert len(lights) >= 2 * load.clock, "the rest of the slots was not left idle"
