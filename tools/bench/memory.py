"""Row 5: what many queued tasks cost in memory, and how long they take to load after a restart."""

from __future__ import annotations

from tools.bench.figures import Figure, RowError
from tools.bench.load import CHUNK, argv_tasks
from tools.bench.rig import Rig
from tools.bench.sizes import Sizes

MILLION = 1_000_000
TARGET_BYTES, STRETCH_BYTES = (1 << 30) / MILLION, 0.6 * (1 << 30) / MILLION
TARGET_S, STRETCH_S = 30.0, 10.0


def measure_memory(sizes: Sizes) -> list[Figure]:
    """The targets are those of a million, taken down to the number here."""
    count = sizes.queued
    with Rig(workers=0) as rig:
        before = rig.coordinator_rss_bytes()
        session_id = submit(rig, count)
        queued = rig.coordinator_rss_bytes()
        seconds = rig.restart_coordinator()
        counts = rig.client.get_session(session_id).counts
        if counts.queued != count:
            raise RowError(f"{counts.queued} of {count} tasks are queued after the restart")
        loaded = rig.coordinator_rss_bytes()
    note = f"{count:,} tasks: {before >> 20} MiB before, {queued >> 20} submitted, {loaded >> 20} loaded"
    scale = count / MILLION
    return [
        Figure(
            "memory of a queued task",
            (queued - before) / count,
            "bytes",
            TARGET_BYTES,
            STRETCH_BYTES,
            lower=True,
            note=note,
        ),
        Figure(
            f"start with {count:,} queued",
            seconds,
            "s",
            TARGET_S * scale,
            STRETCH_S * scale,
            lower=True,
        ),
    ]


def submit(rig: Rig, count: int) -> str:
    session_id = rig.client.create_session("queued").session_id
    rig.client.start_session(session_id)
    tasks = argv_tasks(count, ["make", "all"])
    for first in range(0, count, CHUNK):
        rig.client.submit_tasks(session_id, tasks[first : first + CHUNK], omit_tasks=True)
    return session_id
