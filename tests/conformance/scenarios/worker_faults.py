"""Workers: the coordinator dies, the network lies, a lease ends, all is lost."""

from __future__ import annotations

import contextlib
import signal

import psutil

from buildrunner_parallel.v1 import types_pb2 as types

from ..specs import expect, holds, shell, until
from ..stage import Stage, outcome_word
from . import scenario

WAITS = "echo $BR_ATTEMPT >>{0}/began; until [ -e {0}/go ]; do sleep 0.05; done; echo $BR_ATTEMPT >>{0}/done"
QUICK_LEASE = ("--lease", "6s", "--lock-delay", "2s", "--heartbeat-interval", "500ms")


@scenario("worker", "--heartbeat-interval", "500ms", "--lease", "120s", needs="slots")
def coordinator_killed(stage: Stage) -> None:
    """The coordinator is killed with -9: what runs goes on under the same attempt, and is run once."""
    _, record = stage.worker("--slots", "2")
    session = stage.observer.begin("killed")
    stage.observer.submit(
        session,
        shell("runs", WAITS.format(stage.folder)),
        shell(
            "ends", f"until [ -e {stage.path('away')} ]; do sleep 0.05; done; echo ran >>{stage.path('ran')}"
        ),
    )
    until(lambda: stage.lines("began"), "the task runs")
    stage.becomes(session, "ends", "running")
    before = stage.task(session, "runs").attempts[-1]
    stage.coordinator.kill()
    stage.path("away").touch()
    until(lambda: stage.lines("ran"), "the other ends while the coordinator is away")
    stage.coordinator.start()
    stage.over(session, "ends")
    stage.path("go").touch()
    task = stage.over(session, "runs")
    expect([one.attempt_id for one in task.attempts], [before.attempt_id], "attempts")
    expect(stage.lines("done"), ["1"], "how often it ran")
    expect(stage.lines("ran"), ["ran"], "how often the other ran")
    expect(stage.observer.kinds(session, "runs").count("ended"), 1, "how often it ended")
    expect([one.worker_id for one in stage.observer.all_workers()], [record.worker_id], "workers")


@scenario("worker", "--heartbeat-interval", "500ms", "--lease", "120s")
def coordinator_restarted_in_order(stage: Stage) -> None:
    """The coordinator ends in order and comes back: the worker does too, by its id, and says what it runs."""
    between = stage.interposer()
    streams, registrations = between.heard("WorkerService.Connect"), between.heard("WorkerService.Register")
    _, record = stage.worker(through=between)
    session = stage.observer.begin("restarted")
    stage.observer.submit(session, shell("runs", WAITS.format(stage.folder)))
    until(lambda: stage.lines("began"), "the task runs")
    store = stage.observer.info()
    stage.coordinator.stop()
    stage.coordinator.start()
    until(lambda: any(one.connected for one in stage.observer.all_workers()), "the worker is back")
    hello = [one.hello for one in (*streams, *registrations) if one.HasField("hello")][-1]
    expect(hello.worker_id, record.worker_id, "the id that it comes back with")
    expect((hello.store_id, hello.epoch), (store.store_id, store.epoch), "the store and epoch that it knows")
    (attempt,) = stage.task(session, "runs").attempts
    held = [(one.attempt_id, one.fence, one.started, one.ended) for one in hello.held]
    expect(held, [(attempt.attempt_id, attempt.fence, True, False)], "what it holds, as it says")
    stage.path("go").touch()
    expect(len(stage.over(session, "runs").attempts), 1, "attempts")
    stage.observer.submit(session, stage.any_task("after"))
    stage.over(session, "after")
    expect(stage.lines("done"), ["1"], "how often it ran")


@scenario("worker", "--heartbeat-interval", "500ms", "--lease", "240s")
def half_open_connection(stage: Stage) -> None:
    """A connection that goes silent without an end is noticed; the worker comes back by another one."""
    proxy = stage.proxy()
    stage.worker(through=proxy)
    session = stage.observer.begin("silent")
    stage.observer.submit(session, shell("runs", WAITS.format(stage.folder)))
    until(lambda: stage.lines("began"), "the task runs")
    proxy.go_silent()
    stage.path("go").touch()
    until(lambda: stage.lines("done"), "the task ends")
    task = until(lambda: _ended(stage, session, "runs"), "its report arrives by another connection", 150)
    expect(len(task.attempts) if task else 0, 1, "attempts")
    stage.observer.submit(session, stage.any_task("after"))
    stage.over(session, "after")


@scenario("worker", *QUICK_LEASE)
def cut_off_beyond_its_lease(stage: Stage) -> None:
    """A worker that is cut off ends what it runs before another may run it, comes back, and goes on."""
    proxy = stage.proxy()
    process, _ = stage.worker(through=proxy)
    session = stage.observer.begin("cut off")
    stays = "test $BR_ATTEMPT -gt 1 || while :; do sleep 0.1; done"
    line = f"trap '' TERM; echo $BR_ATTEMPT >>{stage.path('began')}; {stays}"
    stage.observer.submit(session, stage.marked(shell("stops", line, grace_s=60)))
    until(lambda: stage.lines("began"), "the task runs")
    proxy.go_silent(for_new_ones_too=True)
    until(lambda: not stage.processes_of("stops"), "what it runs is killed, though it ignores SIGTERM")
    holds(process.is_alive, "the worker itself goes on")
    stage.becomes(session, "stops", "queued")
    proxy.heal()
    until(lambda: stage.lines("began") == ["1", "2"], "it comes back, and the task runs again", 120)
    task = stage.over(session, "stops")
    expect([outcome_word(one.outcome) for one in task.attempts], ["lost", "succeeded"], "outcomes")


@scenario("worker", *QUICK_LEASE)
def frozen_and_overtaken(stage: Stage) -> None:
    """A worker frozen until its attempt was another's stops it, reports nothing that counts, and goes on."""
    slow, first = stage.worker("--label", "any")
    session = stage.observer.begin("frozen")
    stage.observer.submit(session, stage.marked(shell("moves", WAITS.format(stage.folder), labels=["any"])))
    until(lambda: stage.lines("began"), "the task runs")
    slow.send(signal.SIGSTOP)
    _, second = stage.worker("--label", "any")
    until(lambda: stage.lines("began") == ["1", "2"], "another worker runs it")
    slow.send(signal.SIGCONT)
    mine = f"BR_WORKER_ID={first.worker_id}"
    until(lambda: not _running_for(stage, "moves", first.worker_id), f"what has {mine} is gone")
    stage.path("go").touch()
    task = stage.over(session, "moves")
    expect([one.worker_id for one in task.attempts], [first.worker_id, second.worker_id], "who ran it")
    expect(stage.lines("done"), ["2"], "which attempts came to their end")
    expect(stage.observer.kinds(session, "moves").count("ended"), 1, "how often it ended")
    until(lambda: len([w for w in stage.observer.all_workers() if w.connected]) == 2, "both are connected")


@scenario("worker", "--heartbeat-interval", "500ms")
def another_store(stage: Stage) -> None:
    """A coordinator with another store answers: the worker stops everything, forgets it, and serves anew."""
    _, before = stage.worker()
    session = stage.observer.begin("lost")
    stage.observer.submit(session, stage.marked(shell("lost", WAITS.format(stage.folder), grace_s=5)))
    until(lambda: stage.lines("began"), "the task runs")
    stage.coordinator.lose_everything()
    until(lambda: not stage.processes_of("lost"), "what the lost store had running is stopped")
    fresh = until(
        lambda: [one for one in stage.observer.all_workers() if one.connected], "the worker registers", 90
    )
    holds(fresh[0].worker_id != before.worker_id, "it registers as a new one")
    session = stage.observer.begin("anew")
    stage.observer.submit(session, stage.any_task("after"))
    stage.over(session, "after")
    expect(stage.lines("done"), [], "what was lost must not come to its end")


def _ended(stage: Stage, session: str, task_id: str) -> types.Task | None:
    task = stage.task(session, task_id)
    return task if task.summary.status == types.TASK_STATUS_SUCCEEDED else None


def _running_for(stage: Stage, task_id: str, worker_id: str) -> list[int]:
    """Pids of a task's processes that this worker started."""
    found = []
    for one in stage.processes_of(task_id):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if one.environ().get("BR_WORKER_ID") == worker_id:
                found.append(one.pid)
    return found
