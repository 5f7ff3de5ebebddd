"""One session of many tasks, from the first submission to the last completion known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from buildrunner_parallel.client import Client
from buildrunner_parallel.records import Session
from buildrunner_parallel.specs import TaskSpec
from buildrunner_parallel.watch import Watcher, WatchEvent
from tools.bench.figures import RowError

CHUNK = 500
"""Tasks of one request: small enough for workers to start while the rest is still being submitted."""
TIMEOUT_S = 300.0
LEAST_PAUSE_S, MOST_PAUSE_S = 0.002, 0.1


class Outcome(NamedTuple):
    session_id: str
    seconds: float


def noop_tasks(count: int) -> list[TaskSpec]:
    return [TaskSpec(task_id=f"t{number}", handler="br.noop") for number in range(count)]


def argv_tasks(count: int, argv: Sequence[str]) -> list[TaskSpec]:
    return [TaskSpec(task_id=f"t{number}", argv=argv) for number in range(count)]


def shell_tasks(count: int, line: str) -> list[TaskSpec]:
    return [TaskSpec(task_id=f"t{number}", shell_line=line) for number in range(count)]


def run_session(client: Client, name: str, tasks: Sequence[TaskSpec]) -> Outcome:
    """Submits while workers run, and waits for the end. Raises RowError unless every task succeeds."""
    session_id = client.create_session(name).session_id
    client.start_session(session_id)
    start = time.perf_counter()
    for first in range(0, len(tasks), CHUNK):
        piece = tasks[first : first + CHUNK]
        client.submit_tasks(session_id, piece, seal=first + CHUNK >= len(tasks), omit_tasks=True)
    over = await_session(client, session_id, start)
    seconds = time.perf_counter() - start
    if over.counts.succeeded != len(tasks):
        raise RowError(f"{over.counts.succeeded} of {len(tasks)} tasks of {name} succeeded")
    return Outcome(session_id, seconds)


def await_session(client: Client, session_id: str, start: float) -> Session:
    """Looks rarely at first and often near the end: a watcher of every change would share the processors.

    The end is known at most `LEAST_PAUSE_S` and one call late.
    """
    while True:
        session = client.get_session(session_id)
        if session.is_over:
            return session
        now = time.perf_counter()
        if now - start > TIMEOUT_S:
            raise RowError(f"session {session.name} was not over after {TIMEOUT_S:.0f} s: {session.counts}")
        left = session.counts.total - session.counts.done
        left_s = left * (now - start) / (session.counts.done or 1)
        time.sleep(min(max(left_s / 2, LEAST_PAUSE_S), MOST_PAUSE_S))


def await_snapshot(watcher: Watcher) -> None:
    while not (event := next_event(watcher)).complete or not event.snapshot:
        pass


def next_event(watcher: Watcher) -> WatchEvent:
    event = watcher.poll(TIMEOUT_S)
    if event is None:
        raise RowError(f"nothing happened for {TIMEOUT_S:.0f} s")
    if event.connection == "lost":
        raise RowError("the coordinator went away")
    return event
