"""Row 4: one task on an idle system, from its submission to its completion known by Watch."""

from __future__ import annotations

import time

from buildrunner_parallel.records import TaskSummary
from buildrunner_parallel.specs import TaskSpec
from buildrunner_parallel.watch import Watcher
from tools.bench.figures import Figure, RowError, share
from tools.bench.load import await_snapshot, next_event
from tools.bench.rig import Rig
from tools.bench.sampled import sampling
from tools.bench.sizes import Sizes

WARM_UP = 20
PAUSE_S = 0.01
"""Between two tasks, so that everything has come to rest."""


def measure_latency(sizes: Sizes) -> list[Figure]:
    with Rig(profile=sizes.profile) as rig, sampling(sizes.profile == "client"):
        noop = run_singly(rig, TaskSpec(handler="br.noop"), sizes.latency)
        true = run_singly(rig, TaskSpec(argv=["true"]), sizes.latency)
        calls = call_singly(rig, sizes.latency)
    note = f"one GetInfo call in the same run: p50 {share(calls, 0.5):.2f}, p99 {share(calls, 0.99):.2f} ms"
    return [
        Figure("one no-op on an idle system, p50", share(noop, 0.5), "ms", 4, 2.5, lower=True, note=note),
        Figure("one no-op on an idle system, p99", share(noop, 0.99), "ms", 8, 5, lower=True),
        Figure("one `true` on an idle system, p50", share(true, 0.5), "ms"),
        Figure("one `true` on an idle system, p99", share(true, 0.99), "ms"),
    ]


def run_singly(rig: Rig, task: TaskSpec, count: int) -> list[float]:
    """Milliseconds of each."""
    session_id = rig.client.create_session("one at a time").session_id
    rig.client.start_session(session_id)
    milliseconds = []
    with rig.client.watch(session_ids=[session_id], kinds=["task"]) as watcher:
        await_snapshot(watcher)
        for _ in range(WARM_UP + count):
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            summary = rig.client.submit_tasks(session_id, [task])[0]
            await_end(watcher, summary.task_id)
            milliseconds.append((time.perf_counter() - start) * 1000)
    rig.client.close_session(session_id)
    return milliseconds[WARM_UP:]


def call_singly(rig: Rig, count: int) -> list[float]:
    """Milliseconds of calls that do nearly nothing: what the machine and gRPC take at least."""
    milliseconds = []
    for _ in range(count):
        time.sleep(PAUSE_S)
        start = time.perf_counter()
        rig.client.info()
        milliseconds.append((time.perf_counter() - start) * 1000)
    return milliseconds


def await_end(watcher: Watcher, task_id: str) -> None:
    while True:
        for change in next_event(watcher).changes:
            if isinstance(change, TaskSummary) and change.task_id == task_id and change.is_over:
                if change.status != "succeeded":
                    raise RowError(f"task {task_id} {change.status}")
                return
