"""Pools whose slots, labels or handlers change, and workers that somebody drained: who goes, who comes."""

from __future__ import annotations

import json

from buildrunner_parallel.keeper import registry
from buildrunner_parallel.keeper.plan import (
    KEPT,
    Held,
    Release,
    Start,
    is_kept,
    plan_workers,
    shape_of,
)
from buildrunner_parallel.records import Pool, Worker

PLAIN = shape_of(1, (), ())


def test_the_order_of_labels_and_no_slots_at_all_make_no_difference():
    assert shape_of(0, ("b", "a"), ()) == shape_of(1, ("a", "b"), ())
    assert shape_of(1, ("a",), ()) != shape_of(1, (), ("a",))


def test_workers_of_another_shape_are_replaced():
    pool = Pool(wanted=2, slots=4)
    held = [Held(1, shape=PLAIN), Held(2, shape=shape_of(4, (), ()))]
    assert plan_workers({"": pool}, held, {}, 0.0) == [Release(1), Start(pool)]


def test_workers_of_unknown_shape_are_left_alone():
    assert plan_workers({"": Pool(wanted=1, slots=4)}, [Held(1)], {}, 0.0) == []


def test_a_shrinking_pool_lets_misfits_go_first():
    pool = Pool(wanted=1, labels=("gpu",))
    held = [Held(1, shape=PLAIN), Held(2, busy=True, shape=PLAIN), Held(3, shape=shape_of(1, ("gpu",), ()))]
    assert plan_workers({"": pool}, held, {}, 0.0) == [Release(1), Release(2)]


def test_what_the_keeper_started_is_known_by_its_metadata():
    assert is_kept(Worker("a", metadata={**KEPT, "more": 1}))
    assert not is_kept(Worker("a", metadata={"started_by": "me"}))
    assert not is_kept(Worker("a"))


def test_a_worker_found_by_its_mark_has_the_shape_of_its_arguments(house, monkeypatch):
    monkeypatch.setattr(registry, "WORKER_MODULE", "fake_worker")
    house.want({"wanted": 1, "slots": 3, "labels": ["gpu", "big"]})
    house.start_keeper()
    house.settle(1)
    (entry,) = registry.scan(house.data)
    assert entry.shape == shape_of(3, ("big", "gpu"), ())
    (noted,) = json.loads((house.data / "workers.json").read_text())["workers"]
    assert noted["shape"] == entry.shape


def test_another_order_replaces_the_workers_and_the_same_again_does_not(house):
    house.want({"wanted": 2})
    house.start_keeper()
    before = {worker["worker_id"] for worker in house.settle(2)}
    house.want({"wanted": 2, "slots": 2})

    def replaced():
        now = house.workers()
        return len(now) == 2 and not before & {worker["worker_id"] for worker in now} and now

    after = house.eventually(replaced, "two others")
    assert {worker["slots"] for worker in after} == {2}
    assert len(house.noted("drains")) == 2
    house.want({"wanted": 3, "slots": 2})
    house.eventually(lambda: len(house.workers()) == 3, "one more")
    assert len(house.noted("drains")) == 2
