"""Finding and killing what a dead worker or supervisor left behind, by the marks in its environment.

The last resort: it works for processes of any parent, group or session, as long as they kept their
environment.
"""

from __future__ import annotations

import os
import signal
import time

from . import process_tree

_SCAN_INTERVAL_S = 0.02
# How long to wait for processes that might still show a mark: some have no environment at all.
_SETTLE_S = 0.5
_KERNEL_THREAD_FLAG = 0x00200000


def find_marked(mark: str) -> list[int]:
    """Every process, other than this one, whose environment has the entry `mark` (`NAME=value`)."""
    wanted = os.fsencode(mark)
    mine = os.getpid()
    return [
        pid for pid in process_tree.all_pids() if pid != mine and wanted in process_tree.environment_of(pid)
    ]


def kill_worker(worker_id: str, timeout_s: float = 3.0) -> int:
    """Kills every process of the worker's tasks, and looks again until none is left.

    Returns how many processes were killed; stops looking after `timeout_s` seconds.
    """
    return kill_marked(f"BR_WORKER_ID={worker_id}", timeout_s)


def kill_marked(mark: str, timeout_s: float = 3.0) -> int:
    """As `kill_worker`, for any `NAME=value` entry, such as one attempt's `BR_FENCE=17`."""
    killed: set[int] = set()
    started_s = time.monotonic()
    while (passed_s := time.monotonic() - started_s) < timeout_s:
        found = find_marked(mark)
        if not found and (passed_s > _SETTLE_S or not any(map(_is_being_started, process_tree.all_pids()))):
            break
        below = set(process_tree.tree_of(found)) - set(found)
        killed.update(pid for pid in found if _kill_if_still_marked(pid, mark))
        killed.update(pid for pid in below if process_tree.signal_process(pid, signal.SIGKILL))
        time.sleep(_SCAN_INTERVAL_S)
    return len(killed)


def _is_being_started(pid: int) -> bool:
    """Whether its environment cannot be seen yet: for a moment within exec it looks empty."""
    if process_tree.environment_of(pid) != {b""}:
        return False
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read(4096).rpartition(b")")[2].split()
    except OSError:
        return False
    is_kernel_thread = int(fields[6]) & _KERNEL_THREAD_FLAG
    return fields[0] not in (b"Z", b"X") and not is_kernel_thread


def _kill_if_still_marked(pid: int, mark: str) -> bool:
    """Kills through a descriptor of the process, so that a reused number is never hit."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if os.fsencode(mark) not in process_tree.environment_of(pid):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
