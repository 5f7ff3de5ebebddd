"""Reading /proc: who is whose child, which group and environment a process has; and killing safely.

Facts only. Who owns a process, and when it must die, is decided by the callers.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable


def children_of(pid: int) -> list[int]:
    """The direct children of `pid`, those of all its threads; empty when it is gone."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                found.extend(map(int, file.read(1 << 20).split()))
        except FileNotFoundError:
            if os.path.exists(f"/proc/{pid}/task/{thread}"):
                return _children_by_scan(pid)
        except OSError:
            continue
    return found


def _children_by_scan(parent: int) -> list[int]:
    """For kernels built without the `children` file."""
    return [pid for pid in all_pids() if (fields := stat_of(pid)) is not None and fields[0] == parent]


def all_pids() -> list[int]:
    """Every process that /proc shows."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def stat_of(pid: int) -> tuple[int, int, int] | None:
    """Parent, process group and session of `pid`; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read(4096).rpartition(b")")[2].split()
    except OSError:
        return None
    return (int(fields[1]), int(fields[2]), int(fields[3])) if len(fields) > 3 else None


def environment_of(pid: int) -> frozenset[bytes]:
    """The NAME=value entries `pid` was started with; empty when it is gone or not ours to read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return frozenset(file.read().split(b"\0"))
    except OSError:
        return frozenset()


def tree_of(roots: Iterable[int]) -> list[int]:
    """`roots` and everything below them, parents first."""
    order: list[int] = []
    seen: set[int] = set()
    pending = list(roots)
    while pending:
        pid = pending.pop()
        if pid not in seen:
            seen.add(pid)
            order.append(pid)
            pending.extend(children_of(pid))
    return order


def signal_process(pid: int, number: signal.Signals) -> bool:
    """Sends a signal; False when there is no such process (any more)."""
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def signal_group(group: int, number: signal.Signals) -> None:
    """Sends a signal to a process group, and wakes it first when it is to end in an orderly way."""
    with contextlib.suppress(OSError):
        os.killpg(group, number)
        if number == signal.SIGTERM:
            os.killpg(group, signal.SIGCONT)


def group_exists(group: int) -> bool:
    """Whether any process, zombies included, is in the group."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
