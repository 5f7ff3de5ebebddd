"""Row 11: the guide's classes at what the guide gave figures for, over gRPC, on disk when answered.

Its targets are the guide's own figures, which were of calls within one process, with nothing on disk.
"""

from __future__ import annotations

import io
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from rich.console import Console

from buildrunner_parallel.compat import LiveDashboard, SessionManager, WorkerCoordinator
from tools.bench.figures import Figure, RowError, median, share
from tools.bench.rig import Rig
from tools.bench.sizes import Sizes

OTHERS = 20
"""Other sessions with locks: as many as the guide recommends to run at once, with hundreds of files each."""
FILES_EACH = 100
WORKERS = 10
MANY_TASKS = 1_100


def measure_guide(sizes: Sizes) -> list[Figure]:
    count = sizes.guide
    with Rig(workers=0) as rig, _state_of(rig):
        manager = SessionManager()
        figures = [*_sessions(manager, count), *_workers(manager, count), *_rendering(manager, count)]
        figures.append(_many_tasks(manager, max(10, min(MANY_TASKS, 4 * count))))
        figures.append(_session_size(rig, manager, count))
    return figures


@contextmanager
def _state_of(rig: Rig) -> Iterator[None]:
    """The classes find the coordinator as programs do."""
    before = os.environ.get("BR_STATE_DIR")
    os.environ["BR_STATE_DIR"] = str(rig.state)
    try:
        yield
    finally:
        os.environ.pop("BR_STATE_DIR")
        if before is not None:
            os.environ["BR_STATE_DIR"] = before


def _sessions(manager: SessionManager, count: int) -> list[Figure]:
    session_id = manager.create_session("bench", total_tasks=count).session_id
    create = _times(count, lambda n: manager.create_session(f"session {n}", total_tasks=10))
    progress = _times(count, lambda n: manager.update_progress(session_id, n))
    session = manager.get_session(session_id)
    if session is None or session.completed_tasks != count - 1:
        raise RowError("the progress that was said is not what is known")
    kilobyte = "x" * 1000

    def change(number: int) -> None:
        session.metadata["note"] = f"{number} {kilobyte}"

    change(0)
    persist = _times(count, change)
    alone = _locks(manager, session_id, count)
    for number in range(OTHERS):
        other = manager.create_session(f"other {number}").session_id
        manager.lock_files(other, [f"other-{number}/{n}.py" for n in range(FILES_EACH)])
    among = _locks(manager, session_id, count)
    beside = f"no other session; p99 {_p99(alone)}"
    crowd = f"{OTHERS} other sessions hold {FILES_EACH} files each; p99 {_p99(among)}"
    return [
        _figure("create session", create, 1.0),
        _figure("update progress", progress, 1.0),
        _figure("persist a change of 1 KB", persist, 10.0),
        Figure("lock 3 files", median(alone), "ms", note=beside),
        Figure("lock 3 files, 20 sessions", median(among), "ms", note=crowd),
    ]


def _locks(manager: SessionManager, session_id: str, count: int) -> list[float]:
    found = _times(
        count, lambda n: manager.lock_files(session_id, [f"src/{n}.py", f"src/{n}.md", f"tests/{n}.py"])
    )
    manager.unlock_files(session_id)
    return found


def _workers(manager: SessionManager, count: int) -> list[Figure]:
    coordinator = WorkerCoordinator(manager)
    session_id = manager.create_session("tasks").session_id
    ids: list[str] = []
    register = _times(WORKERS, lambda _: ids.append(coordinator.register_worker().worker_id))
    coordinator.assign_task("first", {}, session_id)
    coordinator.complete_task(ids[0], "first")
    given: list[str | None] = []
    names = iter([name for number in range(count) for name in 2 * [f"task-{number}"]])

    def assign_one(_: int) -> None:
        given.append(coordinator.assign_task(next(names), {"n": 1}, session_id))

    def complete_one(_: int) -> None:
        coordinator.complete_task(given[-1] or "", next(names))

    pairs = [(*_times(1, assign_one), *_times(1, complete_one)) for _ in range(count)]
    assign, complete = [one[0] for one in pairs], [one[1] for one in pairs]
    if given != [ids[0]] * count or coordinator.get_load_distribution()["total_completed"] != count + 1:
        raise RowError("a task did not go to the first idle worker, or did not count")
    health = _times(count, lambda _: coordinator.check_worker_health())
    for worker_id in ids:
        coordinator.unregister_worker(worker_id)
    return [
        _figure("register worker", register, 1.0),
        Figure("assign task, 10 workers", median(assign), "ms", note=f"p99 {_p99(assign)}"),
        _figure("complete task", complete, 1.0),
        Figure("health check, 10 workers", median(health), "ms", note=f"p99 {_p99(health)}"),
    ]


def _rendering(manager: SessionManager, count: int) -> list[Figure]:
    coordinator = WorkerCoordinator(manager)
    for number in range(5):
        manager.start_session(manager.create_session(f"shown {number}", total_tasks=10).session_id)
    coordinator.scale_workers(3)
    for _ in range(WORKERS - 3):
        coordinator.register_worker()
    for number in range(WORKERS + 5):
        coordinator.assign_task(f"shown-{number}", {})
    dashboard = LiveDashboard(manager, coordinator)
    dashboard.console = Console(file=io.StringIO(), width=100)
    return [_figure("render snapshot", _times(min(count, 50), lambda _: dashboard.render_snapshot()), 50.0)]


def _many_tasks(manager: SessionManager, count: int) -> Figure:
    """The last of very many tasks of a session against the first."""
    coordinator = WorkerCoordinator(manager)
    session_id = manager.create_session("many", total_tasks=count).session_id
    took = _times(count, lambda n: coordinator.assign_task(f"many-{n}", {"n": n}, session_id))
    if len(coordinator.task_queue) != count:
        raise RowError("not every task that was assigned is queued")
    tenth = max(1, count // 10)
    first, last = median(took[:tenth]), median(took[-tenth:])
    note = f"p50 of the first {tenth} {first:.2f} ms, of the last {tenth} {last:.2f} ms"
    return Figure(f"the last of {count} tasks against the first", last / first, "x", note=note)


def _session_size(rig: Rig, manager: SessionManager, count: int) -> Figure:
    """What one session more adds to the database, with its history."""
    for number in range(count):
        manager.complete_session(manager.create_session(f"size {number}", total_tasks=10).session_id)
    kept = len(manager.sessions)
    manager._home.client.close()
    rig.end()
    with closing(sqlite3.connect(rig.database)) as database:
        tables = {"sessions": "session_id <> ''", "events": "session_id <> ''"}
        size_bytes = 0
        for table, which in tables.items():
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            lengths = " + ".join(f"coalesce(length({name}), 0)" for name in columns)
            size_bytes += database.execute(f"SELECT sum({lengths}) FROM {table} WHERE {which}").fetchone()[0]
        if database.execute("SELECT count(*) FROM sessions").fetchone()[0] < kept:
            raise RowError("the database has fewer sessions than there were")
    return Figure(
        "size of a session", size_bytes / kept / 1000, "KB", 1.0, lower=True, note="with its history"
    )


def _times(count: int, work: Callable[[int], object]) -> list[float]:
    """Milliseconds of each call."""
    found = []
    for number in range(count):
        began = time.perf_counter()
        work(number)
        found.append(1e3 * (time.perf_counter() - began))
    return found


def _figure(what: str, times_ms: list[float], guide_ms: float) -> Figure:
    return Figure(what, median(times_ms), "ms", guide_ms, lower=True, note=f"p99 {_p99(times_ms)}")


def _p99(times_ms: list[float]) -> str:
    return f"{share(times_ms, 0.99):.2f} ms"
