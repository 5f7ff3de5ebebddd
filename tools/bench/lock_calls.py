"""Row of locks taken and given back over gRPC by one client, beside what no pair can do without.

That is two calls and two commits: on a slow disk they are most of it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from buildrunner_parallel.client import Client
from tools.bench.figures import Figure, RowError, median
from tools.bench.rig import Rig
from tools.bench.sampled import sampling
from tools.bench.sizes import Sizes
from tools.bench.throughput import costs

FILES = 5


class Round(NamedTuple):
    """Seconds of all pairs, and of twice as many calls that ask for nothing and commits of one row."""

    pairs: float
    calls: float
    commits: float


def measure_pairs(sizes: Sizes) -> list[Figure]:
    """A pair is AcquireLocks and ReleaseLocks of five files, each on disk before it is answered."""
    count = sizes.lock_pairs
    with Rig(workers=0, profile=sizes.profile) as rig:
        session_id = rig.client.create_session("locks").session_id
        run_pairs(rig.client, session_id, max(1, count // 10))
        before = rig.processor_seconds()
        with sampling(sizes.profile == "client"):
            rounds = [one_round(rig, session_id, count) for _ in range(sizes.rounds)]
        note = costs(before, rig.processor_seconds(), count * sizes.rounds).replace(
            "a task", "a pair + 2 calls"
        )
        if rig.client.list_locks().locks:
            raise RowError("locks that were given back are held still")
    return figures(count, rounds, note)


def figures(count: int, rounds: list[Round], note: str) -> list[Figure]:
    rate = count / median([one.pairs for one in rounds])
    ratio = median([(one.calls + one.commits) / one.pairs for one in rounds])
    call_ms, commit_ms = (1e3 * median(those) / count / 2 for those in list(zip(*rounds, strict=True))[1:])
    beside = (
        f"a pair took {1e3 / rate:.2f} ms, a GetInfo call {call_ms:.2f}, a commit of one row {commit_ms:.2f}"
    )
    return [
        Figure(f"lock + unlock of {FILES} files, one client", rate, "/s", 800, 1_500, note=note),
        Figure("2 empty calls + 2 commits, against that", ratio, "x", note=beside),
    ]


def one_round(rig: Rig, session_id: str, count: int) -> Round:
    """One right after the other, so that the machine is the same for all."""
    pairs = timed(lambda: run_pairs(rig.client, session_id, count))
    calls = timed(lambda: [rig.client.info() for _ in range(2 * count)])
    return Round(pairs, calls, timed(lambda: run_commits(rig.folder / "plain.db", 2 * count)))


def timed(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def run_commits(database: Path, count: int) -> None:
    """One row each, synced as the coordinator's are, with nothing in between."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS rows (data)")
        for _ in range(count):
            connection.execute("INSERT INTO rows VALUES (zeroblob(1000))")


def run_pairs(client: Client, session_id: str, count: int) -> None:
    """Other files each time. Raises RowError unless all are granted and given back."""
    for number in range(count):
        paths = [f"src/pkg{number % 50}/mod{number}_{one}.py" for one in range(FILES)]
        grant = client.acquire_locks(session_id, paths)
        freed = client.release_locks(session_id, grant_id=grant.grant_id, fence=grant.fence)
        if (len(grant.locks), len(freed)) != (FILES, FILES):
            raise RowError(f"{len(grant.locks)} of {FILES} locks were granted, {len(freed)} given back")
