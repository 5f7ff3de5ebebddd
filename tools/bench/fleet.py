"""Row 8: what thousands of connected, idle workers cost the coordinator in memory and processor time."""

from __future__ import annotations

import subprocess
import sys
import time

from tools.bench.figures import Figure, RowError
from tools.bench.rig import PROJECT, Rig, environment
from tools.bench.sizes import Sizes

FULL = 5_000
TARGET_MIB, TARGET_PERCENT = 250.0, 15.0


def measure_fleet(sizes: Sizes) -> list[Figure]:
    """The targets are those of 5,000 workers, taken down to the number here."""
    count = sizes.fleet
    with Rig(workers=0) as rig:
        before = rig.coordinator_rss_bytes()
        fleet = start_fleet(rig, count)
        try:
            await_ready(fleet)
            connected = sum(one.connected for one in rig.client.list_workers())
            if connected != count:
                raise RowError(f"{connected} of {count} workers are connected")
            grown = rig.coordinator_rss_bytes() - before
            percent = coordinator_percent(rig, sizes.fleet_seconds)
        finally:
            end_fleet(fleet)
    scale = count / FULL
    note = f"{grown / count / 1024:.0f} KiB a worker; a heartbeat every 10 s each"
    return [
        Figure(
            f"memory of {count:,} connected workers",
            grown / (1 << 20),
            "MiB",
            TARGET_MIB * scale,
            lower=True,
            note=note,
        ),
        Figure(f"processor time for {count:,} idle ones", percent, "%", TARGET_PERCENT * scale, lower=True),
    ]


def start_fleet(rig: Rig, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tools.bench.idle_workers", rig.target.address]
    return subprocess.Popen(
        [*command, str(rig.state / "token"), str(count)],
        cwd=PROJECT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def await_ready(fleet: subprocess.Popen[bytes]) -> None:
    """Raises RowError when the workers' process ends first."""
    assert fleet.stdout is not None
    line = fleet.stdout.readline()
    if line.strip() != b"ready":
        raise RowError(f"the workers were not all welcomed; their process said {line!r}")


def coordinator_percent(rig: Rig, seconds: float) -> float:
    """Share of one processor that coordinator and store use."""
    time.sleep(1.0)
    used, start = rig.processor_seconds(), time.perf_counter()
    time.sleep(seconds)
    now, elapsed = rig.processor_seconds(), time.perf_counter() - start
    grown = sum(now[name] - used[name] for name in ("coordinator", "store") if name in now)
    return 100 * grown / elapsed


def end_fleet(fleet: subprocess.Popen[bytes]) -> None:
    assert fleet.stdin is not None and fleet.stdout is not None
    fleet.stdin.close()
    try:
        fleet.wait(10)
    except subprocess.TimeoutExpired:
        fleet.kill()
        fleet.wait()
    fleet.stdout.close()
