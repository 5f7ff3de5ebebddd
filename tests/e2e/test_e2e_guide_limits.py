"""The guide's limits at once: 20 sessions, each with 10 workers, 1,000 tasks and hundreds of locked files.

The workers are light: real streams with heartbeats and reports, in a few processes, that run nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buildrunner_parallel.client import Client
from buildrunner_parallel.specs import PathRequest, TaskSpec

from .conftest import Town, eventually

# Half a minute on two cores of their own; other work beside it may make it several.
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]

SESSIONS = 20
WORKERS_A_SESSION = 10
PROCESSES = 4
WIDE_TASKS, FILES_A_WIDE_TASK = WORKERS_A_SESSION, 30
LOCKS_AT_THE_PEAK = SESSIONS * WIDE_TASKS * FILES_A_WIDE_TASK
PLAIN_TASKS, EDITS, EDITED_FILES, COMMON_TASKS, COMMON_FILES = 860, 100, 25, 20, 5
TASKS_A_SESSION = WIDE_TASKS + PLAIN_TASKS + EDITS + 2 * COMMON_TASKS
WORKERS = Path(__file__).with_name("guide_limits_workers.py")


def tasks_of(session: int) -> Iterator[TaskSpec]:
    """Every kind of lock: many at once, contended within the session, and between all sessions."""

    def one(task_id: str, files: list[str], mode: str = "exclusive", priority: int = 0) -> TaskSpec:
        wanted = [PathRequest(path, mode=mode, kind="file") for path in files]
        return TaskSpec(task_id=task_id, argv=["true"], files=wanted, priority=priority)

    for number in range(WIDE_TASKS):
        own = [f"s{session}/wide{number}/file{file}" for file in range(FILES_A_WIDE_TASK)]
        yield one(f"wide{number}", own, priority=100)
    for number in range(PLAIN_TASKS):
        yield one(f"plain{number}", [])
    for number in range(EDITS):
        yield one(f"edit{number}", [f"s{session}/edited{number % EDITED_FILES}"])
    for number in range(COMMON_TASKS):
        yield one(f"common{number}", [f"common/file{number % COMMON_FILES}"])
        yield one(f"read{number}", [f"common/file{number % COMMON_FILES}"], mode="shared")


class Limits:
    """The town, its sessions, and the processes of their workers."""

    def __init__(self, town: Town, client: Client) -> None:
        self.town, self.client = town, client
        self.sessions = [client.create_session(f"limits {number}") for number in range(SESSIONS)]
        self._workers: list[subprocess.Popen[bytes]] = []

    def connect_workers(self) -> None:
        ids = [one.session_id for one in self.sessions]
        for number in range(PROCESSES):
            arguments = (self.client.address, self.town.state / "token", self.town.folder / "go")
            self._workers.append(self._start(*arguments, self._journal(number), *ids[number::PROCESSES]))
        wanted = SESSIONS * WORKERS_A_SESSION
        eventually(lambda: self.client.summary().workers_total == wanted, f"{wanted} workers are connected")

    def _start(self, *arguments: object) -> subprocess.Popen[bytes]:
        with (self.town.folder / "workers.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, str(WORKERS), *map(str, arguments)],
                env=self.town.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def end(self) -> None:
        for process in self._workers:
            process.kill()
            process.wait()

    def _journal(self, number: int) -> Path:
        return self.town.folder / f"journal{number}.json"

    def submit_all(self) -> None:
        for number, session in enumerate(self.sessions):
            self.client.submit_plan(tasks_of(number), session_id=session.session_id, start=True)

    def journal(self) -> list[dict[str, Any]]:
        """What all workers did, once they have left."""
        entries: list[dict[str, Any]] = []
        for number, process in enumerate(self._workers):
            assert process.wait(60) == 0, (self.town.folder / "workers.log").read_text()
            entries += json.loads(self._journal(number).read_text())
        return entries


def measure(what: str, look: Callable[[], object], times: int = 5) -> None:
    """Prints how long it takes, the median and the longest of some; the machine decides, so no bound."""
    taken_ms = []
    for _ in range(times):
        began_s = time.monotonic()
        look()
        taken_ms.append(1000 * (time.monotonic() - began_s))
    print(f"  {what:<42} {sorted(taken_ms)[times // 2]:7.1f} ms, at most {max(taken_ms):7.1f} ms")


def look_around(client: Client, session_id: str) -> None:
    measure("summary", client.summary)
    measure("20 sessions", client.list_sessions)
    measure("200 workers", client.list_workers)
    measure("100 tasks of a session", lambda: client.list_tasks(session_id, limit=100))
    measure("all 1,010 tasks of a session", lambda: client.list_tasks(session_id))
    measure("one task", lambda: client.get_task(session_id, "plain0"))


def the_records_are_right(client: Client, session_id: str) -> None:
    found = client.list_tasks(session_id)
    assert len(found) == TASKS_A_SESSION
    assert Counter((str(one.status), one.attempt) for one in found) == {("succeeded", 1): TASKS_A_SESSION}


def the_database_has_each_attempt_once(town: Town) -> None:
    town.br("parallel", "stop")
    eventually(lambda: not town.coordinator_pid(), "the coordinator has ended")
    counts = "count(*), count(DISTINCT session_id || task_id), count(DISTINCT fence), max(number)"
    every = SESSIONS * TASKS_A_SESSION
    assert town.rows(f"SELECT {counts} FROM attempts") == [(every, every, every, 1)]
    assert len(town.rows("SELECT DISTINCT outcome FROM attempts")) == 1


def files_were_never_shared(journal: list[dict[str, Any]]) -> None:
    """From the hands of the workers: nobody had a file while another had it for itself."""
    spans: dict[str, list[tuple[int, int, bool]]] = defaultdict(list)
    for entry in journal:
        kind = entry["task"].rstrip("0123456789")
        number = int(entry["task"].removeprefix(kind))
        name = {"edit": f"{entry['session']} {number % EDITED_FILES}"}.get(kind, str(number % COMMON_FILES))
        if kind in ("edit", "common", "read"):
            spans[name].append((entry["taken_ns"], entry["over_ns"], kind == "read"))
    assert len(spans) == SESSIONS * EDITED_FILES + COMMON_FILES
    for found in spans.values():
        last_ns = last_exclusive_ns = 0
        for taken_ns, over_ns, is_shared in sorted(found):
            assert taken_ns >= (last_exclusive_ns if is_shared else last_ns)
            last_ns = max(last_ns, over_ns)
            last_exclusive_ns = last_exclusive_ns if is_shared else max(last_exclusive_ns, over_ns)


@pytest.fixture
def limits(town: Town) -> Iterator[Limits]:
    town.coordinator()
    with town.client() as client:
        here = Limits(town, client)
        yield here
        here.end()


def test_twenty_sessions_of_ten_workers_and_a_thousand_tasks_each_run_at_once(limits: Limits) -> None:
    town, client = limits.town, limits.client
    limits.connect_workers()
    began_s = time.monotonic()
    limits.submit_all()
    print(f"\n  submitted {SESSIONS * TASKS_A_SESSION:,} tasks in {time.monotonic() - began_s:.1f} s")
    eventually(lambda: client.summary().locks_held == LOCKS_AT_THE_PEAK, "every wide task has its files")
    peak = client.summary()
    assert (peak.sessions_running, peak.workers_busy) == (SESSIONS, SESSIONS * WORKERS_A_SESSION)
    one_id = limits.sessions[0].session_id
    look_around(client, one_id)
    for command in (("list",), ("status",), ("tasks", one_id)):
        measure(f"br parallel {command[0]}", lambda c=command: town.br("parallel", *c), 1)  # type: ignore[misc]
    town.write("go", "")
    began_s = time.monotonic()
    print("  while all of it runs:")
    look_around(client, one_id)
    for session in limits.sessions:
        assert str(client.wait_session(session.session_id, timeout_s=100).status) == "completed"
    rate = SESSIONS * TASKS_A_SESSION / (time.monotonic() - began_s)
    print(f"  ran all of them at {rate:,.0f} tasks/s")
    journal = limits.journal()
    for session in limits.sessions:
        the_records_are_right(client, session.session_id)
    end = client.summary()
    assert (end.locks_held, end.lock_waiters, end.workers_total) == (0, 0, 0)
    assert Counter(entry["answer"] for entry in journal) == {
        "DISPOSITION_ACCEPTED": SESSIONS * TASKS_A_SESSION
    }
    assert len({(entry["session"], entry["task"]) for entry in journal}) == len(journal)
    the_database_has_each_attempt_once(town)
    files_were_never_shared(journal)
