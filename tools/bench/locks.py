"""Row 10: path locks, in the core, over gRPC, and under agents at work."""

from __future__ import annotations

from tools.bench.figures import Figure
from tools.bench.lock_agents import measure_agents
from tools.bench.lock_calls import measure_pairs
from tools.bench.lock_checks import measure_checks
from tools.bench.sizes import Sizes


def measure_locks(sizes: Sizes) -> list[Figure]:
    return [*measure_checks(sizes), *measure_pairs(sizes), *measure_agents(sizes)]
