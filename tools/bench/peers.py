"""Row 0: what other programs make of `true`, in this run where they are installed; and what the known ones
made of the same work on another machine of this kind, to be shown beside our figures."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tools.bench.figures import Figure, median
from tools.bench.plain import xargs_seconds
from tools.bench.sizes import Sizes


class Peer(NamedTuple):
    """Tasks a second that do nothing, `true` a second, and whether what was accepted survives a kill -9."""

    name: str
    noop: str
    true: str
    survives: str


MEASURED_ELSEWHERE = (
    Peer("gearmand 1.1", "15,000-22,000", "2,060-2,200", "no"),
    Peer("beanstalkd 1.12", "16,000", "1,960", "no"),
    Peer("beanstalkd, each write synced", "2,800", "1,450", "yes"),
    Peer("huey 3.5 on Redis", "2,800", "1,000", "no"),
    Peer("huey 3.5 on SQLite, synced", "1,040-1,300", "510-730", "yes"),
    Peer("Ray 2.60", "1,900-2,300", "850-1,200", "no"),
    Peer("Dask 2026.8", "620-690", "450-630", "no"),
    Peer("Celery 5.7 with results", "480-585", "300-450", "no"),
    Peer("Procrastinate on PostgreSQL", "360-460", "320-360", "yes"),
    Peer("RQ 3.0", "355-410", "330", "no"),
    Peer("task-spooler", "-", "820-950", "no"),
    Peer("HyperQueue 0.27", "-", "410-545", "no"),
    Peer("GNU parallel -j2", "-", "370-400", "no"),
)
"""November 2026, client, server and two workers on two processors, where `xargs -P2 true` made 1,900/s."""


def measure_peers(sizes: Sizes) -> list[Figure]:
    """`true` a second by each program that is here, alternating, medians of the rounds."""
    ways = available()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(sizes.rounds):
        for name, run in ways.items():
            seconds[name].append(run(sizes.commands))
    return [Figure(f"true by {name}", sizes.commands / median(seconds[name]), "/s") for name in ways]


def available() -> dict[str, Callable[[int], float]]:
    ways: dict[str, Callable[[int], float]] = {
        "xargs -P2": by_xargs,
        "subprocess.run in 2 threads": by_threads,
    }
    if shutil.which("make"):
        ways["make -j2"] = by_make
    if is_gnu_parallel():
        ways["GNU parallel -j2"] = by_parallel
    return ways


def table() -> list[str]:
    """The peers measured elsewhere, as lines."""
    head = Peer("", "no-op/s", "true/s", "survives kill -9")
    return [
        f"{one.name:32} {one.noop:>14} {one.true:>12}  {one.survives}" for one in (head, *MEASURED_ELSEWHERE)
    ]


def by_xargs(count: int) -> float:
    return xargs_seconds(["true"], [str(number) for number in range(count)])


def by_threads(count: int) -> float:
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: subprocess.run(["true"], check=True), range(count)))
    return time.perf_counter() - start


def by_make(count: int) -> float:
    """Recipes that need no shell, which make starts directly."""
    with tempfile.TemporaryDirectory(prefix="br-bench-") as folder:
        names = " ".join(f"t{number}" for number in range(count))
        Path(folder, "Makefile").write_text(f"all: {names}\n.PHONY: all {names}\n{names}:\n\t@true\n")
        start = time.perf_counter()
        subprocess.run(["make", "-j2", "all"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


def by_parallel(count: int) -> float:
    text = "".join(f"{number}\n" for number in range(count))
    start = time.perf_counter()
    subprocess.run(["parallel", "-j2", "true"], input=text, text=True, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def is_gnu_parallel() -> bool:
    """Another program of that name comes with moreutils."""
    if not shutil.which("parallel"):
        return False
    told = subprocess.run(["parallel", "--version"], capture_output=True, text=True, check=False)
    return "GNU parallel" in told.stdout
