"""Boards for pictures: a busy afternoon, nothing at all, a huge one, one full of hostile names."""

from __future__ import annotations

from buildrunner_parallel.records import (
    Attempt,
    LockConflict,
    LockHolder,
    LockWaiter,
    PathLock,
    SessionStatus,
    Task,
    TaskCounts,
    TaskExplanation,
    TaskRef,
    TaskSpec,
    TaskStatus,
    Wait,
    WaitKind,
    Worker,
    WorkerStatus,
)

from .conftest import NOW_S, at, board, change, session, task

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07[red]bold[/red]",
    "\x1b]8;;http://evil\x1b\\link\x1b]52;c;AAAA\x07",
    "\u202egnp.exe\u2066\u200f\u200b",
    "two\nlines\r\tand\x00more\x9b31m",
    "漢字" * 40,
    "e" + "\u0301" * 300,
    "👩\u200d👩\u200d👧\u200d👦🏽❤\ufe0f",
    "שלום عالم",
    "\ud800\udfff\ufffe\U000e0041",
    "x" * 10_000,
)


def worker(worker_id, status="idle", slots=1, taken=0, tasks=(), beat_s=-4.0, host="box", **changes):
    return Worker(
        worker_id,
        WorkerStatus(status),
        host=host,
        slots=slots,
        slots_taken=taken,
        tasks=tasks,
        last_heartbeat_at=at(beat_s),
        **changes,
    )


BUILD, DOCS, AGENTS = "a3f2e1d9", "b7c8d9e0", "c0ffee01"
HOLDER = LockHolder(BUILD, "Build v3.1", "index-idna", "at1", "d4e5f6a7", "box", "")
BY_HAND = LockHolder(AGENTS, "Agents", grant_id="g1")


def afternoon():
    """Three sessions at work, locks waited for by tasks and by hand, failures, a silent worker."""
    made = board(
        *_sessions(),
        *_crew(),
        PathLock("l1", path="build/index.html", holder=HOLDER, acquired_at=at(-12)),
        PathLock("l2", path="src/app.py", holder=BY_HAND, acquired_at=at(-130)),
    )
    counts = TaskCounts(running=2, queued=14, blocked=3, succeeded=42, failed=1)
    made.fold(change(*_tasks(), _build(counts)), NOW_S - 0.5)
    conflict = LockConflict("src/app.py", "src/app.py", holder=BY_HAND, held_ms=130_000)
    waiter = LockWaiter(LockHolder(DOCS, "Docs", grant_id="g2"), conflicts=(conflict,))
    made.take_lock_waiters([waiter], at(-1))
    made.take_explained(BUILD, _reasons())
    return made


def _build(counts):
    return session(BUILD, name="Build v3.1", counts=counts, started_at=at(-95), created_at=at(-99))


def _sessions():
    yield _build(TaskCounts(running=2, queued=14, blocked=3, succeeded=30, failed=1))
    yield session(
        DOCS,
        name="Docs for the customer with a long name",
        status=SessionStatus.PAUSED,
        counts=TaskCounts(queued=4, succeeded=8),
        created_at=at(-50),
    )
    yield session(AGENTS, name="Agents", counts=TaskCounts(running=1), open=True, created_at=at(-40))
    yield session(
        "dead0000",
        name="Nightly",
        status=SessionStatus.FAILED,
        counts=TaskCounts(succeeded=7, failed=2),
        created_at=at(-9000),
        started_at=at(-9000),
        ended_at=at(-7200),
    )


def _crew():
    two = (TaskRef(BUILD, "test-rich", 3), TaskRef(BUILD, "next", 1))
    yield worker("d4e5f6a7", "busy", 2, 1, (TaskRef(BUILD, "index-idna", 1),), tasks_succeeded=21)
    yield worker("e5f6a7b8", "busy", 1, 2, two, tasks_failed=1)
    yield worker("f6a7b8c9", "idle", beat_s=-8, host="a-machine-far-away.example.org")
    yield worker("0a1b2c3d", "busy", 1, 1, (TaskRef(AGENTS, "refactor", 1),), draining=True)
    yield worker("9f8e7d6c", "offline", 1, 0, beat_s=-75)


def _tasks():
    wait = Wait(WaitKind.LOCKS, names=("build/index.html",), holders=(HOLDER,))
    yield task(
        "index-idna", "running", attempt=1, worker_id="d4e5f6a7", started_at=at(-75), title="make index"
    )
    yield task(
        "test-rich",
        "running",
        attempt=3,
        worker_id="e5f6a7b8",
        started_at=at(-3),
        progress_percent=40.0,
        progress_message="shard 2 of 5",
    )
    yield task(
        "refactor",
        "running",
        AGENTS,
        attempt=1,
        worker_id="0a1b2c3d",
        started_at=at(-31),
        title="agent --task 'split the module'",
    )
    yield task("index-rich", wait=wait, attempt=0)
    yield task("index-attrs", wait=wait)
    yield task(
        "unpack-toolz",
        "failed",
        attempt=2,
        worker_id="e5f6a7b8",
        ended_at=at(-20),
        started_at=at(-22),
        error="exit code 2: tar: no such archive",
    )


def _reasons():
    needs = Wait(WaitKind.NEEDS, names=("index-idna", "test-rich"))
    label = Wait(WaitKind.NO_WORKER, "no connected worker has label gpu", ("gpu",))
    yield TaskExplanation("pack", TaskStatus.BLOCKED, (needs,))
    yield TaskExplanation("gpu", TaskStatus.QUEUED, (label,))
    yield TaskExplanation("more", TaskStatus.QUEUED, (Wait(WaitKind.NO_SLOT, "3 slots of 4 are taken"),))


def huge(sessions=50, workers=1_000):
    """As many sessions and workers as the target names, most of them at work."""
    crew, refs = [], []
    for number in range(workers):
        session_id = f"{number % sessions:08x}"
        ref = TaskRef(session_id, f"compile-{number}", 1)
        busy = number % 5 > 0
        refs += [ref] if busy else []
        crew.append(
            worker(
                f"{number:08x}",
                "busy" if busy else "idle",
                1,
                int(busy),
                (ref,) if busy else (),
                -(number % 10),
            )
        )
    made = board(
        *(
            session(
                f"{number:08x}",
                name=f"Session {number}",
                created_at=at(number - 99),
                counts=TaskCounts(running=16, queued=4_000, succeeded=2_000, failed=number % 3),
            )
            for number in range(sessions)
        ),
        *crew,
    )
    made.fold(
        change(
            *(
                task(
                    ref.task_id,
                    "running",
                    ref.session_id,
                    attempt=1,
                    worker_id=one.worker_id,
                    started_at=at(-9),
                    title="cc -c file.c",
                )
                for ref, one in zip(refs, crew, strict=False)
            ),
            *(
                task(
                    f"broken-{number}",
                    "failed",
                    f"{number % sessions:08x}",
                    attempt=1,
                    ended_at=at(-number),
                    error="exit code 1: error: expected ';'",
                )
                for number in range(150)
            ),
        ),
        NOW_S,
    )
    return made


def hostile(names=HOSTILE):
    """Every text that somebody else may choose is one of `names`."""
    some = lambda index: names[index % len(names)]  # noqa: E731
    changes = []
    for index, name in enumerate(names):
        session_id = f"{index:08x}"
        holder = LockHolder(
            session_id, some(index + 1), some(index + 2), "a", some(index + 3), some(index), ""
        )
        changes += [
            session(session_id, name=name, reason=some(index + 1), created_at=at(index)),
            worker(
                some(index) or "w",
                "busy",
                1,
                1,
                (TaskRef(session_id, some(index + 1), 1),),
                host=some(index + 2),
            ),
            PathLock(f"l{index}", path=name, holder=holder, acquired_at=at(-9)),
            task(
                name,
                "running",
                session_id,
                title=some(index + 1),
                worker_id=some(index),
                attempt=2,
                started_at=at(-5),
                progress_message=some(index + 2),
            ),
            task(f"w{index}", session_id=session_id, wait=Wait(WaitKind.LOCKS, name, (name,), (holder,))),
            task(f"f{index}", "failed", session_id, error=name, reason=some(index + 1), attempt=1),
        ]
    made = board(*[one for one in changes if not hasattr(one, "task_id")])
    made.fold(change(*[one for one in changes if hasattr(one, "task_id")]), NOW_S)
    for index, name in enumerate(names):
        waits = (Wait(WaitKind.NEEDS, name, (name, some(index + 1))), Wait(WaitKind.NO_WORKER, name))
        made.take_explained(f"{index:08x}", [TaskExplanation(name + "q", TaskStatus.QUEUED, waits)])
    return made


def full_task(session_id, task_id, error="", needs=()):
    """A task as GetTask gives it."""
    summary = task(
        task_id,
        "failed" if error else "running",
        session_id,
        attempt=2,
        error=error,
        title="pytest -q",
        worker_id="e5f6a7b8",
        started_at=at(-70),
        ended_at=at(-2) if error else None,
        files=("build/index.html",),
    )
    attempt = Attempt("at2", 2, 7, "e5f6a7b8", "box", 4711, exit_code=1 if error else None)
    return Task(summary, TaskSpec(task_id=task_id, argv=("pytest", "-q"), needs=needs, slots=2), (attempt,))
