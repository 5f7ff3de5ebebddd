"""One coordinator made of lists that has something of everything, for tests that go over all commands.

Every text that people may choose goes through `word`, so that the same scene can be set with hostile ones.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from buildrunner_parallel.guard.install import HookState
from buildrunner_parallel.records import (
    Attempt,
    EndedAttempt,
    EntityKind,
    FailurePolicy,
    HistoryEvent,
    LockConflict,
    LockHolder,
    LockKind,
    LockListing,
    LockMode,
    LockPeriodStatistics,
    LockReport,
    LockSessionStatistics,
    LockStatistics,
    LockWaiter,
    LockWaitFigures,
    Outcome,
    OutputChannel,
    OutputChunk,
    Patch,
    PathRequest,
    Payload,
    PlanConflict,
    PlanPreview,
    Pool,
    Removed,
    ResourceUsage,
    Session,
    SessionStatus,
    Summary,
    Task,
    TaskCounts,
    TaskExplanation,
    TaskOutput,
    TaskRef,
    TaskSpec,
    TaskStatus,
    TaskSummary,
    Wait,
    WaitKind,
    Worker,
    WorkerKinds,
    WorkerStatus,
)
from buildrunner_parallel.watch import WatchEvent
from tests.cli.conftest import FakeFeed, at
from tests.cli.fake_locks import lock_of

Word = Callable[[str], str]

BUILD = "a3f2e1d9"
DOCS = "b7c8d9e0"
PLAN = """\
name: Build v3.1
workers: 2
tasks:
  - {id: lint, run: ruff check .}
  - {id: unit, argv: [pytest, -q, "a b"], needs: [lint], files: [src/], pass_env: [CI_*]}
"""


class Scene:
    """Fills a FakeClient. What waits for an end finds one, what was told to leave is gone when looked for."""

    def __init__(self, client, word: Word = str) -> None:
        self._client = client
        self._word = word
        client.sessions = self._sessions()
        client.tasks = self._tasks()
        client.workers = self._workers()
        client.full_tasks = {
            "unit": self._failed_task(),
            "docs": self._running_task(),
            "pack": self._blocked_task(),
        }
        client.patches = {"unit": Patch(2, f"--- a\n+++ b\n+{word('x')}\n".encode(), 7)}
        client.outputs = self._outputs()
        client.explanations = self._explanations()
        client.ended_attempts = self._ended_attempts()
        client.history = self._history()
        client.totals = Summary(
            sessions_total=5, sessions_active=2, sessions_running=1, sessions_paused=1, sessions_failed=1,
            sessions_completed=1, sessions_created=1, workers_total=5, workers_idle=2, workers_busy=3,
            tasks=TaskCounts(succeeded=127, failed=8, queued=3, blocked=1), locks_held=4, lock_waiters=2,
        )  # fmt: skip
        client.listing = self._listing()
        client.report = self._report()
        client.preview = self._preview()
        client.pools = [Pool(BUILD, "box", 2, 1, (word("linux"),), (word("jobs"),))]
        client.events = self._events(BUILD)
        client.wait_session = self._wait_session
        client.wait_task = self._wait_task
        client.drain_worker = self._drain_worker
        client.watch = self._watch

    # ------------------------------------------------------------- what would take time

    def _wait_session(self, session_id, *, timeout_s=None, on_change=None):
        session = self._client.get_session(session_id)
        if on_change:
            on_change(session)
        if session.is_over:
            return session
        counts = replace(session.counts, queued=0, running=0, blocked=0, failed=1)
        return replace(session, status=SessionStatus.FAILED, counts=counts, ended_at=at(0))

    def _wait_task(self, session_id, task_id, *, timeout_s=None):
        return self._client.get_task(session_id, task_id)

    def _drain_worker(self, worker_id, *, reason=""):
        drained = replace(self._client.get_worker(worker_id), draining=True)
        self._client.workers = [one for one in self._client.workers if one.worker_id != drained.worker_id]
        return drained

    def _watch(self, *, session_ids=(), **_):
        return FakeFeed(self._events(*session_ids) if session_ids else self._client.events)

    # ------------------------------------------------------------- sessions, tasks, workers

    def _sessions(self):
        word = self._word
        begun: Any = {"created_at": at(-130), "started_at": at(-120)}
        return [
            Session(BUILD, word("Build v3.1"), status=SessionStatus.RUNNING, open=True,
                    counts=TaskCounts(running=1, queued=2, blocked=1, succeeded=6, failed=1),
                    on_failure=FailurePolicy("finish-running", 3), max_parallel=4, wanted_workers=2,
                    modified_files=(word("src/app.py"),), held_locks=2, metadata={"by": word("me")}, **begun),
            Session(DOCS, word("Docs"), status=SessionStatus.COMPLETED, counts=TaskCounts(succeeded=4),
                    created_at=at(-7200), started_at=at(-7190), ended_at=at(-7100)),
            Session("c9d0e1f2", word("Lint"), status=SessionStatus.PAUSED, locks_released=True,
                    counts=TaskCounts(queued=3), **begun),
            Session("d0e1f2a3", word("Nightly"), status=SessionStatus.FAILED, ended_at=at(-5),
                    reason=word("FAILURE_LIMIT"), counts=TaskCounts(succeeded=1, failed=2, skipped=3),
                    **begun),
            Session("e1f2a3b4", word("Later"), created_at=at(-3), declared_tasks=50),
        ]  # fmt: skip

    def _tasks(self):
        word = self._word
        holder = LockHolder(DOCS, word("Docs"), word("pages"))
        wait = Wait(WaitKind.LOCKS, word("waits for src, held by Docs/pages"), (word("src"),), (holder,))
        return [
            TaskSummary(BUILD, word("lint"), TaskStatus.SUCCEEDED, word("ruff check ."), 1, "d4e5f6a7",
                        started_at=at(-100), ended_at=at(-96.5), exit_code=0),
            TaskSummary(BUILD, word("unit"), TaskStatus.FAILED, word("pytest -q"), 2, "d4e5f6a7",
                        started_at=at(-90), ended_at=at(-20), exit_code=1, outcome=Outcome.FAILED,
                        error=word("exit code 1: 3 failed, 40 passed")),
            TaskSummary(BUILD, word("docs"), TaskStatus.RUNNING, word("make docs"), 1, "e5f6a7b8",
                        started_at=at(-15), progress_percent=40, progress_message=word("chapter 2")),
            TaskSummary(BUILD, word("pack"), TaskStatus.BLOCKED, word("make pack"), wait=wait,
                        files=(word("src"),)),
            TaskSummary(BUILD, word("slow"), TaskStatus.FAILED, word("sleep 99"), 1, "d4e5f6a7",
                        started_at=at(-80), ended_at=at(-10), reason="TIMEOUT", error=word("timed out")),
        ]  # fmt: skip

    def _workers(self):
        word = self._word
        return [
            Worker("d4e5f6a7", WorkerStatus.IDLE, host=word("box"), pid=101, slots=1, tasks_succeeded=5,
                   last_heartbeat_at=at(-3), session_id=BUILD, pool="", labels=(word("linux"),)),
            Worker("e5f6a7b8", WorkerStatus.BUSY, host=word("box"), pid=102, slots=2, slots_taken=1,
                   draining=True, tasks=(TaskRef(BUILD, word("docs"), 1),), last_heartbeat_at=at(-4),
                   kinds=WorkerKinds(True, (word("compile"),)), metadata={"type": word("custom")}),
            Worker("f6a7b8c9", WorkerStatus.OFFLINE, host=word("far"), pid=103, slots=1,
                   last_heartbeat_at=at(-95)),
            Worker("a7b8c9d0", WorkerStatus.ERROR, host=word("box"), pid=104, slots=1, tasks_failed=3,
                   last_heartbeat_at=at(-2)),
        ]  # fmt: skip

    def _attempts(self):
        word = self._word
        lost = Attempt("f1f1f1f1", 1, 100, "e5f6a7b8", word("box"), 4000, Outcome.LOST,
                       error=word("worker lost"), started_at=at(-95), ended_at=at(-91))  # fmt: skip
        failed = Attempt(
            "f2f2f2f2", 2, 101, "d4e5f6a7", word("box"), 4001, Outcome.FAILED, 1,
            error=word("exit code 1: 3 failed, 40 passed"), output_bytes=12_345, output_dropped_bytes=5,
            result=Payload(f'{{"failed": 3}}\n{word("x")}\n'.encode(), word("application/json")),
            usage=ResourceUsage(61_000_000, 2_000_000, 190_000_000), started_at=at(-90), ended_at=at(-20),
            warnings=(word("changed src/x.py, which it did not declare"),),
            modified_files=(word("src/x.py"),), branch=word("br/a3f2e1d9/unit-2"), commit="0123abcd",
            patch_bytes=99,
        )  # fmt: skip
        return lost, failed

    def _failed_task(self):
        word = self._word
        spec = TaskSpec(
            task_id=word("unit"), argv=("pytest", "-q", word("a b")), worktree=word("/repo"), cwd="sub",
            timeout_s=300, retries=2, needs=(word("lint"),), files=(PathRequest(word("src/"), "shared"),),
            labels=(word("linux"),), env={word("KEY"): "secret"}, passed_env={word("CI_TOKEN"): "secret"},
            metadata={"k": word("v")}, isolation="worktree",
        )  # fmt: skip
        return Task(self._tasks()[1], spec, self._attempts(), failures=1, crashes=1)

    def _running_task(self):
        attempt = Attempt("f3f3f3f3", 1, 102, "e5f6a7b8", self._word("box"), 4002, started_at=at(-15))
        spec = TaskSpec(task_id=self._word("docs"), shell_line=self._word("make docs"))
        return Task(self._tasks()[2], spec, (attempt,))

    def _blocked_task(self):
        return Task(self._tasks()[3], TaskSpec(task_id=self._word("pack"), handler=self._word("compile")))

    def _outputs(self):
        line = self._word("3 failed")
        return [
            TaskOutput(self._word("unit"), 2, OutputChunk(0, data=f"collected 43\n{line}\n".encode())),
            TaskOutput(self._word("unit"), 2, OutputChunk(40, OutputChannel.STDERR, b"\xffoops\n", 3)),
            TaskOutput(self._word("unit"), 2, OutputChunk(), attempt_ended=True),
        ]

    # ------------------------------------------------------------- why, and what happened

    def _explanations(self):
        word = self._word
        needs = Wait(WaitKind.NEEDS, word("needs unit"), (word("unit"),))
        nobody = Wait(WaitKind.NO_WORKER, word("no connected worker runs commands and has label gpu"), ())
        held = self._tasks()[3].wait
        return [
            TaskExplanation("pack", TaskStatus.BLOCKED, (held, needs)),
            *(TaskExplanation(word(f"t{number}"), TaskStatus.BLOCKED, (needs,)) for number in range(5)),
            TaskExplanation(word("gpu"), TaskStatus.QUEUED, (nobody,)),
            TaskExplanation("docs", TaskStatus.RUNNING),
        ]

    def _ended_attempts(self):
        lost, failed = self._attempts()
        spec = TaskSpec(argv=("pytest", "-q", self._word("a b")))
        return [EndedAttempt(self._word("unit"), 2, one, spec) for one in (lost, failed)]

    def _history(self):
        def event(seconds, revision, kind, message, **more):
            return HistoryEvent(revision, at(seconds), kind, BUILD, message=self._word(message), **more)

        unit = self._word("unit")
        return [
            event(-130, 40, "created", "Created"),
            event(-100, 41, "submitted", "Submitted", task_id=unit),
            event(-99.75, 43, "assigned", "Attempt 1 was assigned to worker e5f6a7b8", task_id=unit,
                  attempt=1, worker_id="e5f6a7b8"),
            event(-60, 97, "lost", "Attempt 1 was lost: its worker went offline", task_id=unit, attempt=1),
        ]  # fmt: skip

    def _preview(self):
        word = self._word
        return PlanPreview(
            4, 3, (word("lint"), word("unit"), word("pack")), (2, 1, 1),
            (PlanConflict(word("lint"), word("unit"), PathRequest(word("src"), kind="tree"),
                          PathRequest(word("src/a.py"), "shared", "file")),),
            1,
            tuple(TaskExplanation(word(name), TaskStatus.BLOCKED, (self._tasks()[3].wait,))
                  for name in ("lint", "unit")),
        )  # fmt: skip

    def _events(self, session_id):
        session = replace(self._client.sessions[0], session_id=session_id)
        task = replace(self._tasks()[2], session_id=session_id)
        worker = self._workers()[0]
        lock = lock_of(self._word("src/a.py"), session_id=session_id)
        over = replace(session, status=SessionStatus.COMPLETED, ended_at=at(0), open=False)
        queued = replace(task, status=TaskStatus.QUEUED, started_at=None, worker_id="")
        ended = replace(task, status=TaskStatus.SUCCEEDED, ended_at=at(-1))
        return [
            WatchEvent(revision=10, changes=(session, queued), snapshot=True, reset=True),
            WatchEvent(revision=11, changes=(worker,)),
            WatchEvent(revision=12, changes=(task, lock)),
            WatchEvent(
                revision=13, changes=(Removed(EntityKind.LOCK, lock.lock_id, session_id), Pool(wanted=4))
            ),
            WatchEvent(revision=14, changes=(ended, over)),
        ]

    # ------------------------------------------------------------- path locks

    def _listing(self):
        word = self._word
        by_hand = LockHolder(BUILD, word("Build v3.1"), host=word("box"), grant_id="ab12cd34ef56ab78")
        pages = LockHolder(DOCS, word("Docs"), word("pages"), "a1a1a1a1b2b2b2b2", "d4e5f6a7", word("box"))
        src = replace(lock_of(word("src/")), kind=LockKind.TREE, holder=by_hand, acquired_at=at(-300))
        leased = replace(src, lock_id="ab12cd34ef56ab78-1", path=word("lib/engine.py"), kind=LockKind.FILE,
                         acquired_at=at(-12), lease_ends_at=at(23))  # fmt: skip
        of_task = replace(src, lock_id="a1a1a1a1b2b2b2b2-0", path=word("docs/**/*.md"), kind=LockKind.GLOB,
                          mode=LockMode.SHARED, holder=pages, acquired_at=at(-65), grant_id="")  # fmt: skip
        lapsed = replace(of_task, lock_id="dead0000-0", path=word("res:db"), kind=LockKind.RESOURCE,
                         freed_at=at(8))  # fmt: skip
        behind = LockConflict(word("src/app.py"), src.path, holder=by_hand, held_ms=300_000,
                              held_kind=LockKind.TREE, lock_id=src.lock_id)  # fmt: skip
        asked = (PathRequest(word("src/app.py"), "exclusive", "file"),)
        lint = LockHolder("c9d0e1f2", word("Lint"), word("ruff"))
        waits = LockHolder(BUILD, word("Build v3.1"), grant_id="c0c0c0c0d1d1d1d1")
        return LockListing(
            (src, leased, of_task, lapsed),
            (LockWaiter(lint, asked, 9000, 1, (behind,)), LockWaiter(waits, asked, 450, 2, (behind,))),
        )

    def _report(self):
        word = self._word
        figures = LockWaitFigures(40, 3, 1200, 9500, 31_000, 96_000)
        holder = LockHolder(DOCS, word("Docs"), word("pages"))
        return LockReport(
            (LockStatistics(word("src"), figures, 61_000, holder), LockStatistics("", figures)),
            (LockSessionStatistics(BUILD, word("Build v3.1"), figures, 61_000, word("src")),),
            tuple(LockPeriodStatistics(at(-3600 + 60 * n), figures) for n in range(3)),
            figures,
            60_000,
        )


def lay_out(folder) -> None:
    """The files that the calls of shapes.py and the examples of the helps read."""
    for name, text in {
        "plan.yaml": PLAN,
        "more.yaml": "tasks: [{id: more, run: 'true'}]\n",
        "jobs.txt": "echo one\necho two\n",
        "job.json": "{}",
    }.items():
        (folder / name).write_text(text)
    for name in ("black", "gzip", "make", "jq", "ship.sh"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    (folder / "src").mkdir()
    (folder / "src" / "app.py").write_text("")
    (folder / "tests").mkdir()


def set_scene(client, folder, monkeypatch, word: Word = str) -> None:
    """Fills the client and the folder; no command becomes a process or touches a repository."""
    lay_out(folder)
    Scene(client, word)
    for module in ("coordinator", "workers"):
        monkeypatch.setattr(f"buildrunner_parallel.cli.{module}.become_module", lambda *_: None)
    monkeypatch.setattr("buildrunner_parallel.cli.coordinator.stop_coordinator", lambda *_: client.has_state)
    monkeypatch.setattr("buildrunner_parallel.cli.pool_waiting._POLL_S", 0)
    # A minute is over the next time that it is looked at.
    monkeypatch.setattr("buildrunner_parallel.cli.dashboard.monotonic", itertools.count(0, 100).__next__)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    hooks = (
        HookState("pre-commit", Path(word("/repo/.git/hooks/pre-commit")), "installed", strict=True),
        HookState("pre-push", Path(word("/repo/.git/hooks/pre-push")), "changed", chained=True),
    )
    for name, answer in {"install": hooks, "look": hooks, "remove": True, "others_without": ()}.items():
        monkeypatch.setattr(f"buildrunner_parallel.guard.install.{name}", lambda answer=answer, **_: answer)
