"""The feed: no gap, no repeat, bounded, encoded once."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from buildrunner_coordinator.domain.replies import Event
from buildrunner_coordinator.engine.feed import REST_US, Feed, WatcherEnd


def names(entries) -> list[bytes]:
    return [entry.encoded(index) for entry in entries for index in range(len(entry.events))]


def test_a_watcher_gets_what_is_published_after_it_came(make_feed, make_event):
    feed = make_feed()
    feed.publish(1, [make_event("a")])
    watcher = feed.attach()
    feed.publish(2, [make_event("b"), make_event("c")])
    feed.publish(3, [make_event("d")])
    assert names(watcher.take(100)) == [b"b", b"c", b"d"]
    assert watcher.take(100) == []


def test_resuming_gives_exactly_what_came_after_the_revision(make_feed, make_event):
    feed = make_feed()
    for revision in range(1, 6):
        feed.publish(revision, [make_event(f"r{revision}")])
    watcher = feed.resume(3)
    feed.publish(6, [make_event("r6")])
    assert names(watcher.take(100)) == [b"r4", b"r5", b"r6"]


def test_a_revision_without_events_can_be_resumed_from(make_feed, make_event):
    feed = make_feed()
    feed.publish(1, [])
    feed.publish(2, [make_event("b")])
    assert names(feed.resume(1).take(9)) == [b"b"]
    assert names(feed.resume(2).take(9)) == []


def test_what_fell_out_of_the_ring_or_is_not_there_yet_cannot_be_resumed_from(make_feed, make_event):
    feed = make_feed(ring_events=2)
    for revision in range(1, 6):
        feed.publish(revision, [make_event(f"r{revision}")])
    assert feed.resume(2) is None
    assert names(feed.resume(3).take(9)) == [b"r4", b"r5"]
    assert feed.resume(6) is None


def test_a_batch_larger_than_the_ring_is_not_kept_but_reaches_watchers(make_feed, make_event):
    feed = make_feed(ring_events=2)
    watcher = feed.attach()
    feed.publish(1, [make_event(str(number)) for number in range(5)])
    assert len(names(watcher.take(1))) == 5
    assert feed.resume(0) is None and feed.resume(1) is not None


def test_the_ring_is_bounded_by_bytes_too(make_feed, make_event):
    feed = make_feed(ring_bytes=1500)
    for revision in range(1, 6):
        feed.publish(revision, [make_event("x")])
    assert feed.resume(2) is None and feed.resume(3) is not None


def test_an_event_is_encoded_once_for_all_watchers_and_never_without_one(house, make_event):
    house.feed.publish(1, [make_event("a")])
    assert house.encoded == []
    first, second = house.feed.attach(), house.feed.attach()
    house.feed.publish(2, [make_event("b")])
    assert names(first.take(9)) == names(second.take(9)) == [b"<b>"]
    assert len(house.encoded) == 1


def test_a_watcher_that_does_not_read_is_cut_and_forgotten(make_feed, make_event):
    feed = make_feed(watcher_events=3)
    slow, reading = feed.attach(), feed.attach()
    for revision in range(1, 6):
        feed.publish(revision, [make_event("x")])
        reading.take(100)
    assert slow.ended is WatcherEnd.TOO_SLOW and slow.cut.is_set() and slow.take(9) == []
    assert reading.ended is None and feed.watchers == 1


def test_changes_without_a_revision_of_their_own_reach_watchers_and_no_ring(make_feed, make_event):
    feed = make_feed()
    feed.publish(1, [make_event("a")])
    watcher = feed.attach()
    feed.publish(1, [make_event("progress")])
    assert names(watcher.take(9)) == [b"progress"]
    assert names(feed.resume(0).take(9)) == [b"a"]


async def test_closing_wakes_watchers_who_then_read_what_is_left(make_feed, make_event):
    feed = make_feed()
    watcher, idle = feed.attach(), feed.attach()
    waiting = asyncio.ensure_future(idle.wait())
    feed.publish(1, [make_event("last")])
    await waiting
    feed.close()
    assert watcher.ended is WatcherEnd.CLOSING and names(watcher.take(9)) == [b"last"]
    await watcher.wait()


def test_taking_gives_at_least_one_entry_and_then_as_many_as_fit(make_feed, make_event):
    feed = make_feed()
    watcher = feed.attach()
    for revision, size in enumerate((5, 1, 1, 1), start=1):
        feed.publish(revision, [make_event("x")] * size)
    assert [entry.revision for entry in watcher.take(2)] == [1]
    assert [entry.revision for entry in watcher.take(2)] == [2, 3]


@given(st.lists(st.integers(0, 4), max_size=30), st.integers(0, 30), st.integers(1, 20))
def test_resuming_anywhere_is_gapless_or_refused(sizes, since, ring_events):
    feed = Feed(lambda event: event.session.encode(), 0, ring_events=ring_events)  # type: ignore[union-attr]
    published: list[tuple[int, bytes]] = []
    for revision, size in enumerate(sizes, start=1):
        events = [f"{revision}.{number}" for number in range(size)]
        feed.publish(revision, [Event(session=one) for one in events])  # type: ignore[arg-type]
        published += [(revision, one.encode()) for one in events]
    watcher = feed.resume(since)
    if watcher is not None:
        assert names(watcher.take(1000)) == [one for revision, one in published if revision > since]
    else:
        assert since > len(sizes) or sum(sizes) > ring_events


def test_events_are_wanted_for_a_minute_after_the_last_watcher_has_left(make_feed):
    feed = make_feed()
    assert feed.wants_events(1_000_000)
    watcher = feed.attach()
    assert feed.wants_events(500_000_000)
    feed.detach(watcher)
    assert feed.wants_events(500_000_000 + REST_US)
    assert not feed.wants_events(500_000_001 + REST_US)
    feed.attach()
    assert feed.wants_events(500_000_002 + REST_US)


def test_nobody_resumes_over_what_was_not_kept_at_rest(make_feed, make_event):
    feed = make_feed()
    feed.wants_events(0)
    feed.publish(1, [make_event("a")])
    assert not feed.wants_events(REST_US + 1)
    # A batch is being committed that will bring no events.
    assert feed.resume(1) is None
    feed.publish(2, [])
    watcher = feed.attach()
    assert feed.wants_events(REST_US + 2)
    feed.publish(3, [make_event("c")])
    assert names(watcher.take(9)) == [b"c"]
    assert feed.resume(1) is None
    assert names(feed.resume(2).take(9)) == [b"c"]
