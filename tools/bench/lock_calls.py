"""Row of locks taken and given back over gRPC by one client, beside calls that do nothing."""

from __future__ import annotations

import time
from typing import NamedTuple

from buildrunner_parallel.client import Client
from tools.bench.figures import Figure, RowError, median
from tools.bench.rig import Rig
from tools.bench.sampled import sampling
from tools.bench.sizes import Sizes
from tools.bench.throughput import costs

FILES = 5


class Round(NamedTuple):
    """Seconds of all pairs, and of as many calls that ask for nothing."""

    pairs: float
    calls: float


def measure_pairs(sizes: Sizes) -> list[Figure]:
    """A pair is AcquireLocks and ReleaseLocks of five files, each on disk before it is answered."""
    count = sizes.lock_pairs
    with Rig(workers=0, profile=sizes.profile) as rig:
        session_id = rig.client.create_session("locks").session_id
        run_pairs(rig.client, session_id, max(1, count // 10))
        before = rig.processor_seconds()
        with sampling(sizes.profile == "client"):
            rounds = [one_round(rig.client, session_id, count) for _ in range(sizes.rounds)]
        note = costs(before, rig.processor_seconds(), count * sizes.rounds).replace(
            "a task", "a pair + 2 calls"
        )
        if rig.client.list_locks().locks:
            raise RowError("locks that were given back are held still")
    ratio = median([one.calls / one.pairs for one in rounds])
    call_ms = 1e3 * median([one.calls for one in rounds]) / count / 2
    return [
        Figure(
            f"lock + unlock of {FILES} files, one client",
            count / median([one.pairs for one in rounds]),
            "/s",
            800,
            1_500,
            note=note,
        ),
        Figure(
            "two empty calls, against lock + unlock", ratio, "x", note=f"a GetInfo call took {call_ms:.2f} ms"
        ),
    ]


def one_round(client: Client, session_id: str, count: int) -> Round:
    """One right after the other, so that the machine is the same for both."""
    began_s = time.perf_counter()
    run_pairs(client, session_id, count)
    between_s = time.perf_counter()
    for _ in range(2 * count):
        client.info()
    return Round(between_s - began_s, time.perf_counter() - between_s)


def run_pairs(client: Client, session_id: str, count: int) -> None:
    """Other files each time. Raises RowError unless all are granted and given back."""
    for number in range(count):
        paths = [f"src/pkg{number % 50}/mod{number}_{one}.py" for one in range(FILES)]
        grant = client.acquire_locks(session_id, paths)
        freed = client.release_locks(session_id, grant_id=grant.grant_id, fence=grant.fence)
        if (len(grant.locks), len(freed)) != (FILES, FILES):
            raise RowError(f"{len(grant.locks)} of {FILES} locks were granted, {len(freed)} given back")
