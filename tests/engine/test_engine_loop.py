"""The asyncio shell: nothing leaves before the commit, one commit at a time, errors end it."""

from __future__ import annotations

import asyncio

import pytest

from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.engine.clock import CoreClock
from buildrunner_coordinator.engine.engine import MAX_BACKLOG, Engine, EngineStoppedError
from buildrunner_coordinator.engine.outbox import Outbox
from buildrunner_coordinator.store.base import CommitError


async def test_nothing_is_told_before_the_commit_has_returned(house):
    house.store.open.clear()
    house.start()
    outbox = Outbox("a", 1)
    house.engine.outboxes.attach(outbox)
    watcher = house.feed.attach()
    answer = asyncio.ensure_future(house.engine.execute("a"))
    await house.settle()
    assert house.store.commits_begun == 1
    assert not answer.done() and not outbox.take() and not watcher.take(9)
    house.store.open.set()
    assert await answer == "did a"
    assert len(outbox.take()) == 1 and len(watcher.take(9)) == 1


async def test_a_failed_commit_releases_nothing_and_ends_the_engine(house):
    house.store.fails = True
    house.start()
    outbox = Outbox("a", 1)
    house.engine.outboxes.attach(outbox)
    watcher = house.feed.attach()
    posted: list[object] = []
    house.engine.post(["a"], lambda replies, _: posted.append(replies), posted.append)
    with pytest.raises(EngineStoppedError):
        await house.engine.execute("a")
    with pytest.raises(CommitError):
        await house.run
    assert not outbox.take() and not watcher.take(9)
    assert [type(one) for one in posted] == [EngineStoppedError]
    with pytest.raises(EngineStoppedError):
        await house.engine.execute("b")
    with pytest.raises(EngineStoppedError):
        await house.engine.read(lambda store: store.names)


async def test_what_comes_during_a_commit_is_one_batch_after_it(house):
    house.store.open.clear()
    house.start()
    first = asyncio.ensure_future(house.engine.execute("a"))
    await house.settle()
    later = [asyncio.ensure_future(house.engine.execute(name)) for name in "bcd"]
    await house.settle()
    assert house.store.commits_begun == 1
    house.store.open.set()
    await asyncio.gather(first, *later)
    assert [len(changes.sessions) for changes in house.store.committed] == [1, 3]


async def test_a_read_sees_what_was_asked_for_before_it_and_nothing_uncommitted(house):
    house.store.open.clear()
    house.engine.post(["a"])

    async def names(store):
        return list(store.names)

    read = asyncio.ensure_future(house.engine.read(names))
    await asyncio.sleep(0)
    house.start()
    await house.settle()
    house.engine.post(["b"])
    assert not read.done()
    house.store.open.set()
    assert await read == ["a"]


async def test_an_error_of_a_read_is_the_readers_alone(house):
    house.start()

    async def fail(store):
        raise ValueError("no such row")

    with pytest.raises(ValueError, match="no such row"):
        await house.engine.read(fail)
    assert await house.engine.execute("a") == "did a"


async def test_a_refusal_is_raised_for_one_command_and_returned_among_many(house):
    house.start()
    refusal = Refusal(Reason.INVALID, "no")
    with pytest.raises(Refusal):
        await house.engine.execute(lambda: refusal)
    assert await house.engine.execute_all([lambda: refusal, 3]) == [refusal, 3]


async def test_a_caller_that_has_gone_holds_up_nobody(house):
    house.store.open.clear()
    house.start()
    gone = asyncio.ensure_future(house.engine.execute("a"))
    await house.settle()
    gone.cancel()
    house.store.open.set()
    assert await house.engine.execute("b") == "did b"
    assert house.store.names == ["a", "b"]


async def test_a_fault_of_the_core_ends_the_engine_before_anything_is_committed(house):
    house.start()

    def fault():
        raise AssertionError("a bug")

    with pytest.raises(EngineStoppedError):
        await house.engine.execute_all(["a", fault])
    with pytest.raises(AssertionError, match="a bug"):
        await house.run
    assert not house.store.commits_begun


async def test_the_check_runs_before_the_commit(house):
    def check(core):
        raise AssertionError("slots are miscounted")

    engine = Engine(house.core, house.store, house.clock, feed=house.feed, check=check)
    run = asyncio.ensure_future(engine.run())
    with pytest.raises(EngineStoppedError):
        await engine.execute("a")
    with pytest.raises(AssertionError, match="miscounted"):
        await run
    assert not house.store.commits_begun


async def test_stopping_does_what_is_in_the_inbox_first(house):
    house.engine.post(["a"])
    house.start()
    house.engine.stop()
    await house.run
    assert house.store.names == ["a"]
    with pytest.raises(EngineStoppedError):
        await house.engine.execute("b")


async def test_a_standstill_extends_leases_by_its_length(house):
    house.start()
    await house.engine.execute(1)
    house.clock.us += 400_000
    await house.engine.execute(2)
    assert not [one for one in house.core.story if isinstance(one, tuple)]
    house.clock.us += 5_000_000
    await house.engine.execute(3)
    assert ("extend", 5_000_000) in house.core.story


async def test_a_deadline_of_the_core_brings_a_tick_without_a_command(house):
    house.core.deadline_us = house.clock.us + 10
    house.start()
    await house.settle()
    assert "tick" not in house.core.story
    house.clock.us += 10
    for _ in range(5000):
        if house.core.deadline_us is None:
            break
        await asyncio.sleep(0.001)
    assert house.core.story == ["tick", "place"]


async def test_lazy_commands_ride_with_the_next_batch_in_their_order(house):
    house.start()
    await house.settle()
    house.engine.post_lazily(["a"])
    await house.settle()
    assert not house.store.commits_begun
    await house.engine.execute("b")
    assert house.store.names == ["a", "b"] and house.store.commits_begun == 1


async def test_lazy_commands_go_alone_when_nothing_comes(house):
    house.start()
    house.engine.post_lazily(["a"])
    for _ in range(5000):
        if house.store.names:
            break
        await asyncio.sleep(0.001)
    assert house.store.names == ["a"]


async def test_room_is_given_once_an_overfull_inbox_has_been_emptied(house):
    for _ in range(MAX_BACKLOG + 1):
        house.engine.post([1])
    waiting = asyncio.ensure_future(house.engine.room())
    await house.settle()
    assert not waiting.done()
    house.start()
    await asyncio.wait_for(waiting, 5)


def test_core_time_starts_behind_the_last_stored_stamp_and_ignores_the_wall_clock():
    monotonic = iter([100, 150, 250])
    wall = iter([1000, 5, 9_999_999])
    clock = CoreClock(5000, wall=lambda: next(wall), monotonic=lambda: next(monotonic))
    assert clock.now() == (5050, 5)
    assert clock.now() == (5150, 9_999_999)
