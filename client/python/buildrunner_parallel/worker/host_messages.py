"""What the runtime and a handler host say to each other, and the page of memory that they share.

Runtime to host: (TASK, number, name, payload, content_type, identity, directory, environment), where
identity is (session_id, session_name, task_id, attempt, fence, attempt_id) and numbers grow by one.

Host to runtime: (READY, names) or (LOAD_FAILED, error) first; then
    (OUTPUT, number, stream, data), (PROGRESS, number, percent, message),
    (DONE, number, data or None, content_type, error, started_at_us, wall_us, cpu_us, peak_memory_bytes),
    (SKIPPED, number): above the limit, not run.

A host is given several short tasks ahead. The shared page lets the runtime see which one runs, and take
back those behind it: the host writes CURRENT, then reads LIMIT; the runtime writes LIMIT, waits a moment,
then reads CURRENT. So at least one of them sees the other's word, and no task is both taken back and run.
"""

from __future__ import annotations

import mmap

TASK = "task"
READY = "ready"
LOAD_FAILED = "load_failed"
OUTPUT = "output"
PROGRESS = "progress"
DONE = "done"
SKIPPED = "skipped"

# First of a host's arguments, followed by a JSON list that becomes its sys.path.
IMPORT_PATH = "--import-path"

CURRENT = 0
LIMIT = 1
STARTED_NS = 2
NO_LIMIT = (1 << 62) - 1


def map_page(fd: int) -> memoryview:
    """The shared page as 64-bit numbers, indexed by CURRENT, LIMIT and STARTED_NS."""
    return memoryview(mmap.mmap(fd, mmap.PAGESIZE)).cast("Q")
