"""What a dead worker left behind: waits for its supervisor to end its tasks, then kills whatever is left.

May take some seconds; runs on a thread of the keeper that is not its loop.
"""

from __future__ import annotations

import time

from ..worker import reaper
from .registry import MARK_VARIABLE

# A supervisor gives tasks half a second and is done after two and a half.
SUPERVISOR_PATIENCE_S = 2.0
_LOOK_INTERVAL_S = 0.1


def clean_up(mark: str, worker_id: str, patience_s: float = SUPERVISOR_PATIENCE_S) -> bool:
    """Whether nothing is left of the worker with this mark and id, neither of its own nor of its tasks.

    Without a worker id its tasks cannot be told; then it is True only when its supervisor, which ends
    them, has ended by itself.
    """
    own = f"{MARK_VARIABLE}={mark}"
    deadline_s = time.monotonic() + patience_s
    while reaper.find_marked(own) and time.monotonic() < deadline_s:
        time.sleep(_LOOK_INTERVAL_S)
    ended_by_itself = not reaper.find_marked(own)
    if not ended_by_itself:
        reaper.kill_marked(own)
    if not worker_id:
        return ended_by_itself
    reaper.kill_worker(worker_id)
    return not reaper.find_marked(own) and not reaper.find_marked(f"BR_WORKER_ID={worker_id}")
