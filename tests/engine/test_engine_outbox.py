"""Outboxes: one a worker, the newest stream's; bounded; and the news for those who follow output."""

from __future__ import annotations

import asyncio

from buildrunner_coordinator.domain.changes import Changes, OutputRow
from buildrunner_coordinator.domain.replies import Assign, Revoke
from buildrunner_coordinator.engine.news import News
from buildrunner_coordinator.engine.outbox import Closed, Outbox, Outboxes


def assign(name: str) -> Assign:
    return Assign(name, 1, "s", "session", 1, b"spec", 1)


async def test_sends_reach_the_workers_outbox_in_order_and_wake_its_writer():
    boxes, box = Outboxes(), Outbox("w", 1)
    boxes.attach(box)
    waiting = asyncio.ensure_future(box.wait())
    await asyncio.sleep(0)
    boxes.deliver([("w", assign("a")), ("other", assign("x")), ("w", Revoke("a", 1))])
    await waiting
    assert box.take() == [assign("a"), Revoke("a", 1)]
    assert box.take() == []


def test_a_second_stream_of_a_worker_ends_the_first_and_survives_its_detaching():
    boxes, old, new = Outboxes(), Outbox("w", 1), Outbox("w", 2)
    boxes.attach(old)
    boxes.attach(new)
    assert old.closed is Closed.SUPERSEDED and new.closed is None
    boxes.detach(old)
    boxes.deliver([("w", assign("a"))])
    assert new.take() == [assign("a")] and old.take() == []


def test_an_outbox_that_nobody_empties_is_closed():
    box = Outbox("w", 1, max_sends=2)
    for name in "abc":
        box.put(assign(name))
    assert box.closed is Closed.OVERFLOW
    box.put(assign("d"))
    assert len(box.take()) == 2


def test_assignments_can_be_taken_apart_from_the_rest():
    box = Outbox("w", 1)
    for entry in (assign("a"), Revoke("z", 1), assign("b"), assign("c")):
        box.put(entry)
    assert box.take_assignments(2) == [assign("a"), assign("b")]
    assert box.take_others() == [Revoke("z", 1)]
    assert box.take() == [assign("c")]


async def test_closing_all_wakes_every_writer():
    boxes, box = Outboxes(), Outbox("w", 1)
    boxes.attach(box)
    waiting = asyncio.ensure_future(box.wait())
    await asyncio.sleep(0)
    boxes.close_all()
    await waiting
    assert box.closed is Closed.ENDED


async def test_news_of_one_task_wake_those_who_follow_it_and_nobody_else():
    news = News()
    changes = Changes(outputs=[OutputRow("s", "a", 1, 0, 1, 0, b"x")])
    with (
        news.subscribe("s", "a") as mine,
        news.subscribe("s", "b") as other,
        news.subscribe("s") as all_of_it,
    ):
        news.announce(changes)
        await asyncio.wait_for(mine.wait(), 1)
        await asyncio.wait_for(all_of_it.wait(), 1)
        assert not other._wake.is_set()
        mine.expect()
        assert not mine._wake.is_set()
    news.announce(changes)
    assert not mine._wake.is_set()
