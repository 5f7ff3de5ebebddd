"""What the keeper remembers of its workers, and how it learns about pools and ids."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from buildrunner_parallel.keeper import processes, registry
from buildrunner_parallel.keeper.link import PoolBook, worker_of
from buildrunner_parallel.keeper.registry import Entry
from buildrunner_parallel.records import EntityKind, Pool, Removed, Session, Worker
from buildrunner_parallel.watch import WatchEvent


def test_entries_survive_the_file(tmp_path):
    entries = [Entry(1, 10, 100, "1-a", "a3f2e1d9", "b2c4d5e6"), Entry(2, 11, 101, "2-b")]
    registry.save(tmp_path, entries)
    assert registry.load(tmp_path) == entries
    assert (tmp_path / "workers.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"workers": [{"pid": 1}]}', '{"workers": 3}'])
def test_a_file_that_makes_no_sense_is_no_file(tmp_path, text):
    (tmp_path / "workers.json").write_text(text)
    assert registry.load(tmp_path) == []


def test_a_process_is_known_by_its_start_and_not_by_its_number():
    ticks = processes.start_ticks(os.getpid()) or 0
    adopted = processes.WatchedProcess.adopt(os.getpid(), ticks)
    assert adopted is not None and not adopted.has_ended()
    adopted.close()
    assert processes.WatchedProcess.adopt(os.getpid(), ticks + 1) is None


def test_a_child_that_ended_has_its_exit_code():
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    watched = processes.WatchedProcess.of_child(child)
    assert watched.exit_code() == 3
    assert watched.has_ended()
    watched.close()


def test_this_process_is_not_taken_for_a_worker(tmp_path):
    assert registry.scan(tmp_path) == []


def worker(pid: int, age_s: float, worker_id: str) -> Worker:
    return Worker(worker_id, pid=pid, registered_at=datetime.now(UTC) - timedelta(seconds=age_s))


def test_a_record_of_an_earlier_process_with_the_same_number_is_not_mistaken():
    workers = [worker(7, 5000.0, "old"), worker(8, 1.0, "other"), worker(7, 50.0, "this")]
    assert worker_of(workers, 7, lived_s=60.0) == workers[2]
    assert worker_of(workers[:2], 7, lived_s=60.0) is None


def pools(book: PoolBook) -> dict[str, int] | None:
    return None if book.pools is None else {name: pool.wanted for name, pool in book.pools.items()}


def test_pools_count_once_the_snapshot_is_complete():
    book = PoolBook("here")
    book.take(WatchEvent(snapshot=True, reset=True, complete=False, changes=(Pool(wanted=2),)))
    assert pools(book) is None
    changes = (Pool("s", "here", 1), Pool("t", "elsewhere", 5), Session("s"))
    book.take(WatchEvent(9, snapshot=True, changes=changes))
    assert pools(book) == {"": 2, "s": 1}


def test_pools_stay_as_they_were_until_a_new_snapshot_is_complete():
    book = PoolBook("here")
    book.take(WatchEvent(9, snapshot=True, reset=True, changes=(Pool(wanted=2),)))
    book.take(WatchEvent(connection="lost"))
    book.take(WatchEvent(snapshot=True, reset=True, complete=False))
    assert pools(book) == {"": 2}
    book.take(WatchEvent(12, snapshot=True, changes=(Pool(wanted=1),)))
    assert pools(book) == {"": 1}


def test_a_removed_pool_is_gone():
    book = PoolBook("here")
    book.take(WatchEvent(9, snapshot=True, reset=True, changes=(Pool("s", "here", 2), Pool(wanted=1))))
    book.take(WatchEvent(10, changes=(Removed(EntityKind.SESSION, "s"),)))
    book.take(WatchEvent(11, changes=(Removed(EntityKind.POOL, "here", "s"),)))
    assert pools(book) == {"": 1}


def test_a_file_is_replaced_whole(tmp_path):
    registry.write_json(tmp_path / "x.json", {"a": 1})
    registry.write_json(tmp_path / "x.json", {"a": 2})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
