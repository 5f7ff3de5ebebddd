"""Rows 1 and 2: tasks that do nothing, durable, two workers, with the usual credit and a credit of one."""

from __future__ import annotations

from collections.abc import Mapping

from tools.bench.figures import Figure, median
from tools.bench.ledger import check_counts, read_counts
from tools.bench.load import noop_tasks, run_session
from tools.bench.rig import Rig
from tools.bench.sampled import sampling
from tools.bench.sizes import Sizes


def measure_throughput(sizes: Sizes) -> list[Figure]:
    return [measure(sizes, sizes.noop, 0, "no-op tasks, 2 workers, usual credit", (25_000, 40_000))]


def measure_credit_one(sizes: Sizes) -> list[Figure]:
    return [measure(sizes, sizes.credit_one, 1, "no-op tasks, 2 workers, credit 1", (2_500, 4_000))]


def measure(sizes: Sizes, count: int, credit: int, what: str, aims: tuple[float, float]) -> Figure:
    """Tasks a second. What is counted is what the database holds after its coordinator has ended."""
    with Rig(credit=credit, profile=sizes.profile) as rig:
        # Imports, first connections and the gauge of the workers' credit are no part of the figure.
        warm_up = max(20, count // 20)
        run_session(rig.client, "warm-up", noop_tasks(warm_up))
        tasks = noop_tasks(count)
        before = rig.processor_seconds()
        with sampling(sizes.profile == "client"):
            seconds = [run_session(rig.client, "noop", tasks).seconds for _ in range(sizes.rounds)]
        note = costs(before, rig.processor_seconds(), count * sizes.rounds)
        rig.end()
        check_counts(read_counts(rig.database), warm_up + count * sizes.rounds)
    return Figure(what, count / median(seconds), "/s", *aims, note=note)


def costs(before: Mapping[str, float], after: Mapping[str, float], tasks: int) -> str:
    """Whose processor time a task takes; this hardly depends on who else uses the machine."""
    spent = (f"{who} {1e6 * (after[who] - before[who]) / tasks:.0f}" for who in after)
    return "processor time a task, us: " + ", ".join(spent)
