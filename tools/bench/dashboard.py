"""Rows of the dashboard: what a frame costs, and what a session of very many tasks leaves in its memory."""

from __future__ import annotations

import time
import tracemalloc
from datetime import UTC, datetime, timedelta

from buildrunner_parallel.dashboard.fold import Board
from buildrunner_parallel.dashboard.view import Scene, frame
from buildrunner_parallel.feed import WatchEvent
from buildrunner_parallel.records import (
    Session,
    SessionStatus,
    TaskCounts,
    TaskRef,
    TaskStatus,
    TaskSummary,
    Worker,
    WorkerStatus,
)
from tools.bench.figures import Figure, RowError, median, share
from tools.bench.sizes import Sizes

SESSIONS, WORKERS = 50, 1_000
TERMINALS = ((80, 24), (200, 50))
TARGET_MS = 20.0
EVENT_TASKS = 100
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def measure_dashboard(sizes: Sizes) -> list[Figure]:
    """Processor time of frames, all different; and of folding a huge session, with what it leaves behind."""
    board = busy_board()
    figures = [frame_time(board, columns, lines, sizes.frames) for columns, lines in TERMINALS]
    return figures + huge_session(sizes.watched)


def busy_board() -> Board:
    """Fifty sessions on a thousand workers, four in five of which run something."""
    sessions = [
        Session(
            f"{number:08x}",
            f"Session {number}",
            status=SessionStatus.RUNNING,
            created_at=NOW,
            started_at=NOW,
            counts=TaskCounts(running=16, queued=4_000, succeeded=2_000, failed=3),
        )
        for number in range(SESSIONS)
    ]
    crew, tasks = [], []
    for number in range(WORKERS):
        worker_id, session_id = f"{number:08x}", f"{number % SESSIONS:08x}"
        busy = number % 5 > 0
        refs = (TaskRef(session_id, f"compile-{number}", 1),) if busy else ()
        status = WorkerStatus.BUSY if busy else WorkerStatus.IDLE
        crew.append(
            Worker(
                worker_id,
                status,
                host="box",
                slots=1,
                slots_taken=len(refs),
                tasks=refs,
                last_heartbeat_at=NOW,
            )
        )
        for ref in refs:
            tasks.append(running(ref, worker_id))
    board = Board()
    board.fold(WatchEvent(1, snapshot=True, reset=True, changes=(*sessions, *crew)), 0.0)
    board.fold(WatchEvent(2, changes=tuple(tasks)), 0.0)
    if len(board.running) != WORKERS * 4 // 5:
        raise RowError(f"the board has {len(board.running)} running tasks")
    return board


def running(ref: TaskRef, worker_id: str) -> TaskSummary:
    return TaskSummary(
        ref.session_id, ref.task_id, TaskStatus.RUNNING, "cc -c file.c", 1, worker_id, started_at=NOW
    )


def frame_time(board: Board, columns: int, lines: int, count: int) -> Figure:
    """Made and encoded; a second passes from each to the next, so that hardly a line stays as it was."""
    spent = []
    for number in range(count):
        began_s = time.process_time()
        made = frame(Scene(board, NOW + timedelta(seconds=number), float(number), columns, lines)).encoded()
        spent.append(1e3 * (time.process_time() - began_s))
        if len(made) != lines:
            raise RowError(f"a frame has {len(made)} lines instead of {lines}")
    note = f"{SESSIONS} sessions, {WORKERS:,} workers; least {min(spent):.1f}, p99 {share(spent, 0.99):.1f}"
    return Figure(f"a frame of {columns}x{lines}", median(spent), "ms", TARGET_MS, lower=True, note=note)


def huge_session(tasks: int) -> list[Figure]:
    """One session whose tasks all begin and end, as the feed tells of them."""
    board = Board()
    session = Session("00000001", "Huge", status=SessionStatus.RUNNING, counts=TaskCounts(queued=tasks))
    board.fold(WatchEvent(1, snapshot=True, reset=True, changes=(session,)), 0.0)
    tracemalloc.start()
    spent_s = 0.0
    for first in range(0, tasks, EVENT_TASKS):
        event = WatchEvent(2 + first, changes=tuple(life(first, tasks)))
        began_s = time.process_time()
        board.fold(event, first / 1000)
        spent_s += time.process_time() - began_s
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if board.sessions["00000001"].counts.done < tasks - EVENT_TASKS or board.running:
        raise RowError("the huge session is not over")
    return [
        Figure(
            f"memory behind {tasks:,} tasks",
            kept_bytes / (1 << 20),
            "MiB",
            lower=True,
            note="all have run and ended; the coordinator has them, the dashboard the last ones",
        ),
        Figure(
            "folding a change",
            1e6 * spent_s / (2 * tasks),
            "us",
            lower=True,
            note="memory was traced meanwhile",
        ),
    ]


def life(first: int, tasks: int) -> list[Session | TaskSummary]:
    """What a message of the feed tells: some tasks begin, then end, some badly; their session has counts."""
    changes: list[Session | TaskSummary] = []
    for number in range(first, first + EVENT_TASKS):
        ref = TaskRef("00000001", f"task-{number}", 1)
        ended = TaskStatus.FAILED if number % 100 == 0 else TaskStatus.SUCCEEDED
        changes.append(running(ref, "w"))
        changes.append(TaskSummary(ref.session_id, ref.task_id, ended, "cc -c file.c", 1, "w", ended_at=NOW))
    counts = TaskCounts(queued=max(0, tasks - first), succeeded=first + EVENT_TASKS)
    changes.append(Session("00000001", "Huge", status=SessionStatus.RUNNING, counts=counts))
    return changes
