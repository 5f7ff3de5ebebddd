"""Workers: how they leave, and how they are turned away."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import grpc
from google.protobuf.message import Message

from .. import specs
from ..specs import expect, holds, shell, until
from ..stage import Stage
from . import scenario

HEEDS_SIGNALS_S = 3.0
WELCOME_AFTER_S = 0.5
"""Less than a worker that has nothing to do may wait before it leaves without a goodbye."""
WAITS = "echo began >>{0}/began; until [ -e {0}/go ]; do sleep 0.05; done; echo done >>{0}/done"


@scenario("worker")
def drain_on_sigterm(stage: Stage) -> None:
    """SIGTERM: takes nothing new, finishes what runs, reports, says goodbye, exits with 0."""
    process, record = stage.worker("--slots", "1")
    session = stage.observer.begin("drained")
    stage.observer.submit(session, shell("runs", WAITS.format(stage.folder)), shell("waits", "true"))
    until(lambda: stage.lines("began"), "the first task runs")
    process.send(signal.SIGTERM)
    _give_it_time(stage, record.worker_id)
    until(lambda: stage.status(session, "waits") == "queued", "what has not started is given back")
    holds(process.is_alive, "it must not leave while a task runs")
    stage.path("go").touch()
    expect(process.exit_code(), 0, "the exit code")
    task = stage.over(session, "runs")
    expect(len(task.attempts), 1, "attempts")
    expect(stage.status(session, "waits"), "queued", "what it did not take")
    until(lambda: stage.worker_record(record.worker_id) is None, "the worker is not known any more")


@scenario("worker")
def drain_asked_by_the_coordinator(stage: Stage) -> None:
    """A worker that is told to drain finishes what runs, takes nothing new, and leaves with 0."""
    process, record = stage.worker("--slots", "1")
    session = stage.observer.begin("drained")
    stage.observer.submit(session, shell("runs", WAITS.format(stage.folder)))
    until(lambda: stage.lines("began"), "the first task runs")
    stage.observer.drain(record.worker_id)
    stage.observer.submit(session, stage.any_task("waits"))
    stage.path("go").touch()
    expect(process.exit_code(), 0, "the exit code")
    stage.over(session, "runs")
    expect(stage.status(session, "waits"), "queued", "what it did not take")
    until(lambda: stage.worker_record(record.worker_id) is None, "the worker is not known any more")


@scenario("worker")
def drain_of_an_idle_worker(stage: Stage) -> None:
    """SIGTERM ends a worker that has nothing to do at once, with 0 and a goodbye."""
    process, record = stage.worker()
    process.send(signal.SIGTERM)
    expect(process.exit_code(), 0, "the exit code")
    until(lambda: stage.worker_record(record.worker_id) is None, "the worker is not known any more")


@scenario("worker")
def drain_before_the_welcome(stage: Stage) -> None:
    """SIGTERM between hello and welcome: the worker that the coordinator has just met says goodbye too."""
    between = stage.interposer()
    may_answer = threading.Event()

    def withhold(answer: Any) -> Message:
        may_answer.wait(specs.GIVE_UP_S)
        return answer

    between.on_answer("WorkerService.Connect", withhold)
    between.on_answer("WorkerService.Register", withhold)
    process, record = stage.worker(through=between)
    process.send(signal.SIGTERM)
    time.sleep(WELCOME_AFTER_S)
    may_answer.set()
    expect(process.exit_code(), 0, "the exit code")
    until(lambda: stage.worker_record(record.worker_id) is None, "the worker is not known any more")


@scenario("worker")
def drain_with_nobody_there(stage: Stage) -> None:
    """SIGTERM ends a worker that still looks for its coordinator: it has nothing to give back."""
    between = stage.interposer()
    between.refuse("WorkerService.*", grpc.StatusCode.UNAVAILABLE, "nobody is there")
    process = stage.start_worker(through=between)
    calls = ("WorkerService.Connect", "WorkerService.Register")
    until(lambda: any(between.count(one) for one in calls), "it looks for a coordinator")
    process.send(signal.SIGTERM)
    expect(process.exit_code(), 0, "the exit code")


@scenario("worker")
def drain_while_the_coordinator_is_away(stage: Stage) -> None:
    """SIGTERM ends an idle worker whose coordinator has died: there is nothing to report."""
    process, _ = stage.worker()
    stage.coordinator.kill()
    process.send(signal.SIGTERM)
    expect(process.exit_code(), 0, "the exit code")


@scenario("worker")
def wrong_token(stage: Stage) -> None:
    """A token that is refused ends the worker with an exit code that is not 0, and says so."""
    process = stage.start_worker(token="not-the-token")
    code = process.exit_code()
    holds(code > 0, f"the exit code is {code}")
    holds(process.stderr.strip(), "it must say why on standard error")
    expect(list(stage.observer.all_workers()), [], "workers")


@scenario("worker", "--lease", "5s", "--lock-delay", "1s", "--heartbeat-interval", "500ms")
def killed_in_the_middle(stage: Stage) -> None:
    """A worker killed with -9 takes its tasks down, and another one runs them."""
    process, _ = stage.worker()
    session = stage.observer.begin("killed")
    stage.observer.submit(session, stage.marked(shell("survives", WAITS.format(stage.folder))))
    until(lambda: stage.lines("began"), "the task runs")
    process.kill()
    stage.worker()
    until(lambda: len(stage.lines("began")) == 2, "the task runs again")
    stage.path("go").touch()
    task = stage.over(session, "survives")
    expect(len(task.attempts), 2, "attempts")
    expect(stage.observer.kinds(session, "survives").count("ended"), 1, "how often it ended")


def _give_it_time(stage: Stage, worker_id: str) -> None:
    """Until it has told that it drains; a worker need not tell, and then has some seconds to heed it."""
    deadline_s = time.monotonic() + HEEDS_SIGNALS_S
    while time.monotonic() < deadline_s:
        known = stage.worker_record(worker_id)
        if known is None or known.draining:
            return
        time.sleep(0.05)
