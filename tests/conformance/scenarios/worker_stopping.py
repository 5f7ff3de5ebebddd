"""Workers: tasks that are stopped: timeout, cancel, the grace, pause, and that nothing of them is left."""

from __future__ import annotations

from ..specs import call, expect, holds, shell, until
from ..stage import Stage, outcome_word
from . import scenario

# Two generations in the task's group; the first says when all is there.
FAMILY = "(sleep 600 & sleep 600) & sleep 600 & echo ready >>{0}; wait"
DEAF = "trap '' TERM; " + FAMILY + "; while :; do sleep 600; done"


@scenario("worker")
def timeout(stage: Stage) -> None:
    """A task that outlives its timeout is stopped with all that it started, and ends as timed out."""
    stage.worker()
    session = stage.observer.begin("late")
    ready = stage.path("ready")
    stage.observer.submit(session, stage.marked(shell("late", FAMILY.format(ready), timeout_s=2, grace_s=5)))
    task = stage.over(session, "late", "failed")
    expect(outcome_word(task.attempts[-1].outcome), "timed_out", "the outcome")
    expect(stage.lines("ready"), ["ready"], "what it wrote")
    until(lambda: not stage.processes_of("late"), "its processes are gone")


@scenario("worker", needs="handlers")
def timeout_of_a_handler(stage: Stage) -> None:
    """A handler that waits beyond its timeout is told to end, and ends as timed out."""
    stage.worker()
    session = stage.observer.begin("late")
    stage.observer.submit(session, call("late", "wait", {"ms": 600_000}, timeout_s=1, grace_s=20))
    task = stage.over(session, "late", "failed")
    expect(outcome_word(task.attempts[-1].outcome), "timed_out", "the outcome")


@scenario("worker")
def cancel_within_the_grace(stage: Stage) -> None:
    """A cancelled command gets SIGTERM and time to clean up; it ends as cancelled, with its whole group."""
    stage.worker()
    session = stage.observer.begin("cancelled")
    ready, told = stage.path("ready"), stage.path("told")
    line = f"trap 'echo told >>{told}; sleep 0.5; echo clean >>{told}; exit 3' TERM; {FAMILY.format(ready)}"
    stage.observer.submit(session, stage.marked(shell("tidy", line, grace_s=60)))
    until(lambda: stage.lines("ready"), "the task runs")
    stage.observer.cancel(session, "tidy")
    task = stage.over(session, "tidy", "cancelled")
    expect(stage.lines("told"), ["told", "clean"], "what it did when it was told")
    expect(outcome_word(task.attempts[-1].outcome), "cancelled", "the outcome")
    until(lambda: not stage.processes_of("tidy"), "its processes are gone")


@scenario("worker")
def cancel_behind_the_grace(stage: Stage) -> None:
    """What ignores SIGTERM is killed once its grace is over, not before, and its whole group with it."""
    stage.worker()
    session = stage.observer.begin("cancelled")
    ready = stage.path("ready")
    stage.observer.submit(session, stage.marked(shell("deaf", DEAF.format(ready), grace_s=2)))
    until(lambda: stage.lines("ready"), "the task runs")
    stage.observer.cancel(session, "deaf")
    task = stage.over(session, "deaf", "cancelled")
    (attempt,) = task.attempts
    expect(attempt.signal, 9, "the signal that ended it")
    asked = next(e for e in stage.observer.history(session, "deaf") if e.kind == "cancel_requested")
    took_ms = attempt.ended_at.ToMilliseconds() - asked.at.ToMilliseconds()
    holds(took_ms >= 1900, f"it had {took_ms} ms of a grace of 2000 ms")
    until(lambda: not stage.processes_of("deaf"), "its processes are gone")


@scenario("worker", needs="handlers")
def cancel_of_a_handler(stage: Stage) -> None:
    """A handler that waits hears of its cancel, and the task ends as cancelled long before its time."""
    stage.worker()
    session = stage.observer.begin("cancelled")
    stage.observer.submit(
        session, call("waits", "wait", {"ms": 600_000}, grace_s=60), stage.any_task("after")
    )
    stage.becomes(session, "waits", "running")
    stage.observer.cancel(session, "waits")
    task = stage.over(session, "waits", "cancelled")
    expect(outcome_word(task.attempts[-1].outcome), "cancelled", "the outcome")
    stage.over(session, "after")


@scenario("worker")
def cancel_before_the_start(stage: Stage) -> None:
    """What was cancelled while it waited for a slot never runs."""
    stage.worker("--slots", "1")
    session = stage.observer.begin("cancelled")
    go, ran = stage.path("go"), stage.path("ran")
    stage.observer.submit(session, shell("first", f"until [ -e {go} ]; do sleep 0.05; done"))
    stage.becomes(session, "first", "running")
    stage.observer.submit(session, *(shell(f"w{n}", f"echo w{n} >>{ran}") for n in range(3)))
    stage.observer.cancel(session, "w1")
    go.touch()
    for name in ("w0", "w2"):
        stage.over(session, name)
    stage.over(session, "w1", "cancelled")
    expect(sorted(stage.lines("ran")), ["w0", "w2"], "what ran")


@scenario("worker")
def cancel_of_a_session(stage: Stage) -> None:
    """Cancelling a session stops what runs and what waits; the worker serves the next one."""
    slots = stage.slots(2)
    stage.worker("--slots", str(slots))
    session, after = stage.observer.begin("cancelled"), stage.observer.begin("after")
    ready = stage.path("ready")
    specs = [stage.marked(shell(f"t{n}", FAMILY.format(ready), grace_s=20)) for n in range(4)]
    stage.observer.submit(session, *specs)
    until(lambda: len(stage.lines("ready")) >= slots, "its slots are full")
    stage.observer.cancel_session(session)
    for n in range(4):
        stage.over(session, f"t{n}", "cancelled")
    until(lambda: not any(stage.processes_of(f"t{n}") for n in range(4)), "their processes are gone")
    stage.observer.submit(after, stage.any_task("after"))
    stage.over(after, "after")


@scenario("worker")
def pause(stage: Stage) -> None:
    """While a session is paused what runs may finish, and nothing of it begins; afterwards all runs, once."""
    stage.worker("--slots", "1")
    session, other = stage.observer.begin("paused"), stage.observer.begin("other")
    go, ran = stage.path("go"), stage.path("ran")
    stage.observer.submit(session, shell("t0", f"until [ -e {go} ]; do sleep 0.05; done; echo t0 >>{ran}"))
    stage.becomes(session, "t0", "running")
    stage.observer.submit(session, *(shell(f"t{n}", f"echo t{n} >>{ran}") for n in range(1, 4)))
    stage.observer.pause(session)
    go.touch()
    stage.over(session, "t0")
    stage.observer.submit(other, stage.any_task("other"))
    stage.over(other, "other")
    expect(stage.lines("ran"), ["t0"], "what ran while it was paused")
    stage.observer.resume(session)
    for n in range(1, 4):
        stage.over(session, f"t{n}")
    expect(sorted(stage.lines("ran")), ["t0", "t1", "t2", "t3"], "what ran in all")


@scenario("worker")
def pause_now(stage: Stage) -> None:
    """Pausing at once stops what runs at no cost, and it runs again afterwards."""
    stage.worker()
    session = stage.observer.begin("paused")
    began, go = stage.path("began"), stage.path("go")
    line = f"echo began >>{began}; until [ -e {go} ]; do sleep 0.05; done"
    stage.observer.submit(session, stage.marked(shell("again", line, grace_s=20)))
    until(lambda: stage.lines("began"), "the task runs")
    stage.observer.pause(session, now=True)
    stage.becomes(session, "again", "queued")
    until(lambda: not stage.processes_of("again"), "its processes are gone")
    go.touch()
    stage.observer.resume(session)
    task = stage.over(session, "again")
    expect(stage.lines("began"), ["began", "began"], "how often it began")
    expect((task.failures, task.crashes), (0, 0), "failures and crashes that it cost")
    expect([outcome_word(one.outcome) for one in task.attempts], ["revoked", "succeeded"], "outcomes")
