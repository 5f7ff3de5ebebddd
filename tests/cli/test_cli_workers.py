"""workers: what is at work of a worker's slots, and what was sent ahead."""

from __future__ import annotations

from buildrunner_parallel.records import TaskRef, Worker, WorkerStatus


def test_slots_of_tasks_that_were_sent_ahead_stand_beside_those_at_work(fake, br, br_json):
    refs = tuple(TaskRef("a3f2e1d9", name, 1) for name in ("one", "ahead"))
    fake.workers = [
        Worker("d4e5f6a7", WorkerStatus.BUSY, slots=1, slots_taken=2, tasks=refs),
        Worker("e5f6a7b8", WorkerStatus.BUSY, slots=2, slots_taken=2, tasks=refs),
    ]
    rows = [line.split("\t") for line in br("workers").stdout.splitlines()]
    slots = rows[0].index("SLOTS")
    assert [row[slots] for row in rows[1:3]] == ["1/1 +1", "2/2"]
    assert [one["slots_taken"] for one in br_json("workers")["workers"]] == [2, 2]
