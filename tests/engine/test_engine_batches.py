"""One batch, without a loop: order, request ids, what counts as a change."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.engine.batch import Item, RequestInfo, run_batch


class Sink:
    def __init__(self) -> None:
        self.told: list[object] = []

    def deliver(self, sends) -> None:
        self.told.append(("sends", [worker for worker, _ in sends]))

    def publish(self, revision, events) -> None:
        self.told.append(("events", revision, len(events)))


def request(request_id: str, digest: bytes = b"d", client: str = "c") -> RequestInfo:
    return RequestInfo(client, request_id, digest, lambda reply: str(reply).encode(), lambda kept: kept)


def test_a_batch_ticks_applies_places_and_collects_in_this_order(house):
    batch = run_batch(house.core, [Item(["a"]), Item(["b"])], house.clock.now(), stalled_us=5)
    assert house.core.story == [("extend", 5), "tick", "a", "b", "place"]
    assert batch.replies == [["did a"], ["did b"]]
    assert [row.session_id for row in batch.changes.sessions] == ["a", "b"]
    assert batch.has_changes and batch.revision == 1


def test_a_reply_that_is_a_function_is_called_after_placement(house):
    item = Item([lambda: lambda: list(house.core.story)])
    batch = run_batch(house.core, [item], house.clock.now())
    assert batch.replies == [[["tick", "place"]]]


def test_a_batch_that_changes_nothing_has_nothing_to_commit(house):
    assert not run_batch(house.core, [Item([17])], house.clock.now()).has_changes


def test_release_publishes_before_replies_and_replies_before_sends(house):
    sink = Sink()
    item = Item(["a"], done=lambda replies, revision: sink.told.append((replies, revision)))
    run_batch(house.core, [item], house.clock.now()).release(sink, sink)
    assert sink.told == [("events", 1, 1), (["did a"], 1), ("sends", ["a"])]


def test_the_same_request_id_is_answered_as_the_first_time_and_done_once(house):
    first = run_batch(house.core, [Item(["a"], request=request("r"))], house.clock.now())
    again = run_batch(house.core, [Item(["a"], request=request("r"))], house.clock.now())
    assert first.replies == [["did a"]] and again.replies == [[b"did a"]]
    assert house.core.story.count("a") == 1
    assert len(first.changes.requests) == 1 and not again.has_changes


def test_a_request_repeated_within_one_batch_is_done_once(house):
    items = [Item(["a"], request=request("r")), Item(["a"], request=request("r"))]
    batch = run_batch(house.core, items, house.clock.now())
    assert batch.replies == [["did a"], [b"did a"]] and house.core.story.count("a") == 1


@pytest.mark.parametrize("batches", [1, 2])
def test_a_request_id_with_another_content_is_refused(house, batches):
    items = [Item(["a"], request=request("r")), Item(["b"], request=request("r", b"other"))]
    if batches == 2:
        run_batch(house.core, items[:1], house.clock.now())
        items = items[1:]
    (refusal,) = run_batch(house.core, items, house.clock.now()).replies[-1]
    assert isinstance(refusal, Refusal) and refusal.reason is Reason.REQUEST_ID_REUSED
    assert "b" not in house.core.story


def test_request_ids_of_two_clients_do_not_meet(house):
    items = [Item(["a"], request=request("r")), Item(["a"], request=request("r", client="d"))]
    assert run_batch(house.core, items, house.clock.now()).replies == [["did a"], ["did a"]]


def test_a_refusal_is_not_kept_so_that_the_request_can_be_made_again(house):
    refusal = Refusal(Reason.WRONG_STATE, "not now")
    items = [Item([lambda: refusal], request=request("r")), Item([lambda: refusal], request=request("r"))]
    batch = run_batch(house.core, items, house.clock.now())
    assert batch.replies == [[refusal], [refusal]] and not batch.has_changes
    assert run_batch(house.core, [Item(["a"], request=request("r"))], house.clock.now()).replies == [
        ["did a"]
    ]
