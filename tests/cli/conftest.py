"""A coordinator made of lists, and ways to run the command line against it: in a pipe, on a terminal."""

from __future__ import annotations

import functools
import json
import os
import pty
import termios
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from buildrunner_parallel.cli import app as program
from buildrunner_parallel.cli import dashboard, invocation, phrases, render
from buildrunner_parallel.cli.invocation import Settings
from buildrunner_parallel.errors import DeadlineError, NoStateError, NotFoundError
from buildrunner_parallel.records import (
    Attempt,
    CoordinatorInfo,
    LockListing,
    LockReport,
    Outcome,
    Payload,
    PlanPreview,
    Pool,
    ResourceUsage,
    Session,
    SessionStatus,
    Summary,
    Task,
    TaskCounts,
    TaskRef,
    TaskSpec,
    TaskStatus,
    TaskSummary,
    Worker,
    WorkerStatus,
)
from buildrunner_parallel.watch import WatchEvent
from tests.cli.fake_locks import FakeLocks

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """A moment before (negative) or after the tests' present."""
    return NOW + timedelta(seconds=seconds)


def read_all(descriptor: int) -> str:
    """What can be read at present, of a descriptor that does not block."""
    data = b""
    while True:
        try:
            data += os.read(descriptor, 65536)
        except BlockingIOError:
            return data.decode()


@pytest.fixture
def screen(monkeypatch):
    """A pseudo-terminal that the dashboard is drawn on; gives what was written there."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    monkeypatch.setattr(dashboard, "_screen", lambda: theirs)
    monkeypatch.setattr(dashboard, "_keyboard", lambda run: (None, False))
    os.set_blocking(ours, False)
    yield lambda: read_all(ours)
    os.close(ours)
    os.close(theirs)


class FakeFeed:
    """A watcher that gives out prepared events."""

    def __init__(self, events):
        self.events = list(events)
        self.closed = False

    @property
    def ended(self):
        return not self.events

    def poll(self, timeout_s=None):
        item = self.events.pop(0) if self.events else None
        if isinstance(item, BaseException):
            raise item
        return item

    def __iter__(self):
        while (event := self.poll()) is not None:
            yield event

    def close(self):
        self.closed = True


@dataclass
class FakeClient(FakeLocks):
    """Answers from lists; `calls` tells what it was asked to do, and `failing` makes calls raise."""

    sessions: list = field(default_factory=list)
    tasks: list = field(default_factory=list)
    workers: list = field(default_factory=list)
    pools: list = field(default_factory=list)
    full_tasks: dict = field(default_factory=dict)
    patches: dict = field(default_factory=dict)
    outputs: list = field(default_factory=list)
    explanations: list = field(default_factory=list)
    ended_attempts: list = field(default_factory=list)
    history: list = field(default_factory=list)
    events: list = field(default_factory=list)
    totals: Summary = field(default_factory=Summary)
    listing: LockListing = field(default_factory=LockListing)
    report: LockReport = field(default_factory=LockReport)
    preview: PlanPreview = field(default_factory=PlanPreview)
    calls: list = field(default_factory=list)
    failing: dict = field(default_factory=dict)
    has_state: bool = True
    started: bool = False
    workspace: object = None
    address: str = "unix:/run/br.sock"
    watches: int = 0
    settings: Settings = field(default_factory=Settings)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def _call(self, name, *arguments, **options):
        self.calls.append((name, *arguments, {key: value for key, value in options.items() if value}))
        if name in self.failing:
            raise self.failing[name]

    def get_session(self, session_id):
        self._call("get_session", session_id)
        for session in self.sessions:
            if session_id == "last" or session.session_id.startswith(session_id):
                return session
        raise NotFoundError(f"No session {session_id}; `list` shows those there are.")

    def list_sessions(self, *, statuses=(), limit=None):
        self._call("list_sessions", statuses=statuses, limit=limit)
        return [s for s in self.sessions if not statuses or s.status in statuses][:limit]

    def _change(self, session_id, status):
        session = replace(self.get_session(session_id), status=status)
        self.sessions = [session if s.session_id == session.session_id else s for s in self.sessions]
        return session

    def pause_session(self, session_id, *, now=False, release_locks=False):
        self._call("pause_session", session_id, now=now, release_locks=release_locks)
        return self._change(session_id, SessionStatus.PAUSED)

    def resume_session(self, session_id, *, worker_id=""):
        self._call("resume_session", session_id, worker_id=worker_id)
        session = replace(self._change(session_id, SessionStatus.RUNNING), worker_id=worker_id)
        self.sessions = [session if s.session_id == session.session_id else s for s in self.sessions]
        return session

    def cancel_session(self, session_id, *, reason=""):
        self._call("cancel_session", session_id)
        return self._change(session_id, SessionStatus.CANCELLED)

    def close_session(self, session_id):
        self._call("close_session", session_id)
        return self.get_session(session_id)

    def create_session(self, name, **options):
        self._call("create_session", name, **options)
        made = Session(
            "c0ffee01",
            name,
            declared_tasks=options["declared_tasks"],
            open=True,
            wanted_workers=options["wanted_workers"],
        )
        self.sessions.insert(0, made)
        return made

    def start_session(self, session_id):
        self._call("start_session", session_id)
        return self._change(session_id, SessionStatus.RUNNING)

    def submit_plan(self, tasks, *, session_id="", create=None, seal=True, start=True):
        specs = list(tasks)
        self._call("submit_plan", specs, session_id=session_id, create=create, seal=seal, start=start)
        if session_id:
            session = self.get_session(session_id)
            self.tasks += [TaskSummary(session.session_id, spec.task_id) for spec in specs]
            return session, len(specs)
        made = Session(
            "c0ffee01",
            create["name"],
            status=SessionStatus.RUNNING,
            counts=TaskCounts(queued=len(specs)),
            wanted_workers=create["wanted_workers"],
        )
        self.sessions.insert(0, made)
        return made, len(specs)

    def preview_plan(self, tasks, *, session_id=""):
        self._call("preview_plan", list(tasks), session_id=session_id)
        return self.preview

    def submit_tasks(self, session_id, tasks, *, seal=False, omit_tasks=False):
        session, specs = self.get_session(session_id), list(tasks)
        self._call("submit_tasks", session_id, specs, seal=seal, omit_tasks=omit_tasks)
        if omit_tasks:
            counts = replace(session.counts, queued=session.counts.queued + len(specs))
            self.sessions = [replace(s, counts=counts) if s is session else s for s in self.sessions]
            return []
        return [TaskSummary(session.session_id, spec.task_id or "made-up") for spec in specs]

    def iter_tasks(self, session_id, *, statuses=(), limit=None):
        yield from self.list_tasks(session_id, statuses=statuses, limit=limit)

    def close(self):
        self._call("close")

    def list_tasks(self, session_id, *, statuses=(), limit=None):
        self._call("list_tasks", session_id, statuses=statuses, limit=limit)
        return [
            t for t in self.tasks if t.session_id == session_id and (not statuses or t.status in statuses)
        ][:limit]

    def get_task(self, session_id, task_id):
        self._call("get_task", session_id, task_id)
        session = self.get_session(session_id)
        if task_id not in self.full_tasks:
            raise NotFoundError(f"No task {task_id} in session {session.session_id}.")
        return self.full_tasks[task_id]

    def get_patch(self, session_id, task_id, *, attempt=0):
        self._call("get_patch", session_id, task_id, attempt=attempt)
        return self.patches[task_id]

    def cancel_task(self, session_id, task_id, *, reason=""):
        self._call("cancel_task", session_id, task_id)
        return TaskSummary(self.get_session(session_id).session_id, task_id, status=TaskStatus.CANCELLED)

    def wait_session(self, session_id, *, timeout_s=None, on_change=None):
        self._call("wait_session", session_id, timeout_s=timeout_s)
        session = self.get_session(session_id)
        if on_change:
            on_change(session)
        if not session.is_over:
            raise DeadlineError(f"Session {session_id} is still {session.status.value}; it goes on.")
        return session

    def wait_task(self, session_id, task_id, *, timeout_s=None):
        self._call("wait_task", session_id, task_id, timeout_s=timeout_s)
        return self.get_task(session_id, task_id)

    def retry_tasks(self, session_id, task_ids=()):
        self._call("retry_tasks", session_id, tuple(task_ids))
        tally = self.get_session(session_id).counts
        return self._change(session_id, SessionStatus.RUNNING), len(task_ids) or (
            tally.failed + tally.skipped + tally.cancelled
        )

    def delete_sessions(self, *, older_than_s=0, session_ids=(), dry_run=False):
        self._call("delete_sessions", older_than_s=older_than_s, session_ids=session_ids, dry_run=dry_run)
        return [s for s in self.sessions if s.is_over and (not session_ids or s.session_id in session_ids)]

    def iter_attempts(self, session_id, *, with_results=True, with_specs=False):
        self._call("iter_attempts", session_id, with_results=with_results, with_specs=with_specs)
        yield from self.ended_attempts

    def iter_history(self, session_id="", task_id="", *, worker_id="", limit=None):
        self._call("iter_history", session_id, task_id, worker_id=worker_id, limit=limit)
        yield from self.history[:limit]

    def get_worker(self, worker_id):
        self._call("get_worker", worker_id)
        for worker in self.workers:
            if worker.worker_id.startswith(worker_id):
                return worker
        raise NotFoundError(f"No worker {worker_id}.")

    def list_workers(self, *, statuses=(), limit=None):
        self._call("list_workers", statuses=statuses, limit=limit)
        return [w for w in self.workers if not statuses or w.status in statuses][:limit]

    def drain_worker(self, worker_id, *, reason=""):
        self._call("drain_worker", worker_id)
        drained = replace(self.get_worker(worker_id), draining=True)
        self.workers = [drained if w.worker_id == drained.worker_id else w for w in self.workers]
        return drained

    def list_pools(self):
        self._call("list_pools")
        return self.pools

    def set_pool(self, wanted, *, session_id="", slots=1, labels=(), handler_modules=()):
        self._call("set_pool", wanted, session_id=session_id, slots=slots, labels=list(labels),
                   handler_modules=list(handler_modules))  # fmt: skip
        return Pool(session_id, "", wanted, slots, tuple(labels), tuple(handler_modules))

    def explain_tasks(self, session_id, task_id="", *, limit=None):
        self._call("explain_tasks", session_id, task_id, limit=limit)
        return [one for one in self.explanations if task_id in ("", one.task_id)][:limit]

    def read_output(self, session_id, task_id="", **options):
        self._call("read_output", session_id, task_id, **options)
        yield from self.outputs

    def watch(self, **options):
        self._call("watch", **options)
        self.watches += 1
        return FakeFeed(self.events)

    def summary(self):
        self._call("summary")
        return self.totals

    def info(self):
        self._call("info")
        return CoordinatorInfo(
            version="0.1.0",
            address=self.address,
            pid=4711,
            host="box",
            store="sqlite 3.40.1",
            data_directory="/repo/.buildrunner",
            uptime_ms=90_000,
            started_at=at(-90),
            store_id="5afe",
            summary=self.totals,
        )

    def backup(self, path):
        self._call("backup", str(path))
        return 8192


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """The coordinator that the command line will reach; the working directory is an empty one."""
    client = FakeClient()

    def open_client(settings: Settings, *, start: bool):
        client.settings = settings
        if not start and not client.has_state:
            raise NoStateError("nothing here")
        client.started = client.started or start
        return client

    monkeypatch.setattr(invocation, "open_client", open_client)
    monkeypatch.setattr(phrases, "utc_now", lambda: NOW)
    for module in ("sessions", "status", "tasks", "watch", "workers"):
        monkeypatch.setattr(f"buildrunner_parallel.cli.{module}.utc_now", lambda: NOW)
    monkeypatch.setenv("TZ", "UTC")
    for name in ("NO_COLOR", "BR_COORDINATOR", "BR_TOKEN", "BR_DEBUG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return client


# Making the parser takes longer than most commands; it keeps nothing of one call for the next.
_parser = functools.cache(get_command)


@pytest.fixture
def br(fake, monkeypatch):
    """Runs `br parallel ...` with standard output in a pipe."""
    monkeypatch.setattr("typer.testing._get_command", _parser)

    def run(*arguments, input=None):  # noqa: A002
        return CliRunner().invoke(
            program.br_app, ["parallel", *map(str, arguments)], input=input, prog_name="br"
        )

    return run


@pytest.fixture
def terminal(br, monkeypatch):
    """Runs it on a terminal of a given width, without colour."""

    def run(*arguments, columns=80, color=False, input=None, patch=monkeypatch):  # noqa: A002
        patch.setattr(render, "stdout_is_terminal", lambda: True)
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("LINES", "40")
        if not color:
            patch.setenv("NO_COLOR", "1")
        return br(*arguments, input=input)

    return run


@pytest.fixture
def br_json(br):
    """Runs it with --json and gives the document; fails unless it is the only thing on standard output."""

    def run(*arguments):
        result = br(*arguments, "--json")
        assert result.exit_code == 0, result.output
        document = json.loads(result.stdout)
        assert document["schema_version"] == 1
        return document

    return run


@pytest.fixture
def build(fake):
    """A session in the middle of its work, with workers and tasks of all kinds."""
    fake.sessions, fake.tasks, fake.workers = build_sessions(), build_tasks(), build_workers()
    fake.totals = Summary(
        sessions_total=5,
        sessions_active=2,
        workers_total=5,
        workers_idle=2,
        workers_busy=3,
        tasks=TaskCounts(succeeded=127, failed=8, queued=3, blocked=1),
    )
    fake.full_tasks["unit"] = build_failed_task(fake.tasks[1])
    return fake


# fmt: off
def build_sessions():
    counts = TaskCounts(running=2, queued=3, succeeded=6, failed=1)
    return [
        Session("a3f2e1d9", "Build v3.1", status=SessionStatus.RUNNING, counts=counts,
                created_at=at(-130), started_at=at(-120)),
        Session("b7c8d9e0", "Docs", status=SessionStatus.COMPLETED, counts=TaskCounts(succeeded=4),
                created_at=at(-7200), started_at=at(-7190), ended_at=at(-7100)),
    ]


def build_tasks():
    return [
        TaskSummary("a3f2e1d9", "lint", TaskStatus.SUCCEEDED, "ruff check .", 1, "d4e5f6a7",
                    started_at=at(-100), ended_at=at(-96.5), exit_code=0),
        TaskSummary("a3f2e1d9", "unit", TaskStatus.FAILED, "pytest -q", 2, "d4e5f6a7", started_at=at(-90),
                    ended_at=at(-20), error="exit code 1: 3 failed, 40 passed", exit_code=1),
        TaskSummary("a3f2e1d9", "docs", TaskStatus.RUNNING, "make docs", 1, "e5f6a7b8", started_at=at(-15)),
    ]


def build_workers():
    return [
        Worker("d4e5f6a7", WorkerStatus.IDLE, host="box", pid=101, slots=1, tasks_succeeded=5,
               last_heartbeat_at=at(-3), session_id="a3f2e1d9"),
        Worker("e5f6a7b8", WorkerStatus.BUSY, host="box", pid=102, slots=2, slots_taken=1, draining=True,
               tasks=(TaskRef("a3f2e1d9", "docs", 1),), last_heartbeat_at=at(-4)),
    ]


def build_failed_task(summary):
    lost = Attempt("f1f1f1f1", 1, 100, "e5f6a7b8", "box", 4000, Outcome.LOST, error="worker lost",
                   started_at=at(-95), ended_at=at(-91))
    failed = Attempt("f2f2f2f2", 2, 101, "d4e5f6a7", "box", 4001, Outcome.FAILED, 1,
                     error="exit code 1: 3 failed, 40 passed",
                     result=Payload(b'{"failed": 3}', "application/json"),
                     usage=ResourceUsage(61_000_000, 2_000_000, 190_000_000),
                     started_at=at(-90), ended_at=at(-20),
                     warnings=("changed src/x.py, which it did not declare",))
    spec = TaskSpec(task_id="unit", argv=("pytest", "-q", "a b"), worktree="/repo", cwd="sub",
                    timeout_s=300, retries=2)
    return Task(summary, spec, (lost, failed), failures=1, crashes=1)
# fmt: on


def snapshot(*changes, revision=10):
    return WatchEvent(revision=revision, snapshot=True, reset=True, changes=changes)


def change(*changes, revision=11):
    return WatchEvent(revision=revision, changes=changes)


@pytest.fixture
def events():
    """Makers of watch events."""
    return SimpleNamespace(snapshot=snapshot, change=change, at=at, now=NOW, error=RuntimeError)


@pytest.fixture
def fake_class():
    """The class of the coordinator made of lists, to be compared with the real client's."""
    return FakeClient
