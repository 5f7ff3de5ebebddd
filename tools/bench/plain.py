"""What our figures stand beside: a plain loop, and xargs with the same work. Knows nothing of the product."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence

LOOP_ROUNDS = 2_000_000


def loop_millions() -> float:
    """Millions of rounds a second of an empty loop."""
    start = time.perf_counter()
    for _ in range(LOOP_ROUNDS):
        pass
    return LOOP_ROUNDS / (time.perf_counter() - start) / 1e6


def xargs_seconds(command: Sequence[str], arguments: Sequence[str], cwd: str | None = None) -> float:
    """How long `xargs -P2 -n1` takes to run `command` once with each argument."""
    text = "".join(f"{argument}\n" for argument in arguments)
    start = time.perf_counter()
    subprocess.run(
        ["xargs", "-P2", "-n1", *command],
        input=text,
        text=True,
        check=True,
        cwd=cwd,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start
