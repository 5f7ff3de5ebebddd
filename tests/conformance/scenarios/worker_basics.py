"""Workers: who they say they are, and what becomes of a task that goes well."""

from __future__ import annotations

import json

from ..specs import OVER, call, expect, holds, program, shell, until
from ..stage import Stage
from . import scenario

HANDLERS = {f"conformance.{name}" for name in ("echo", "busy", "wait", "progress", "fail")}


@scenario("worker")
def hello(stage: Stage) -> None:
    """The worker registers with its slots, labels and kinds, and stays."""
    slots = stage.slots(3)
    process, record = stage.worker("--slots", str(slots), "--label", "blue", "--label", "large")
    expect(record.slots, slots, "slots")
    expect(sorted(record.labels), ["blue", "large"], "labels")
    holds(record.kinds.commands, "it must declare that it runs commands")
    if "handlers" not in stage.programs.lacks:
        holds(set(record.kinds.handlers) >= HANDLERS, f"handlers declared: {sorted(record.kinds.handlers)}")
    holds(record.host, "the hello must name the host")
    holds(record.pid > 0, "the hello must name the process")
    holds(record.version, "the hello must name the version")
    holds(process.is_alive, "the worker must go on")


@scenario("worker", "--heartbeat-interval", "200ms", needs="handlers")
def heartbeats_under_a_busy_handler(stage: Stage) -> None:
    """Heartbeats go on while a handler computes without ever yielding."""
    _, record = stage.worker()
    session = stage.observer.begin("busy")
    stage.observer.submit(session, call("busy", "busy", {"ms": 5000}))
    seen = set()
    while stage.task(session, "busy").summary.status not in OVER:
        known = stage.worker_record(record.worker_id)
        if known is not None:
            seen.add(known.last_heartbeat_at.ToMicroseconds())
    (attempt,) = stage.over(session, "busy").attempts
    began_us, ended_us = attempt.started_at.ToMicroseconds(), attempt.ended_at.ToMicroseconds()
    count = sum(began_us < one < ended_us for one in seen)
    # 25 are due. Of a worker whose heartbeats wait for the handler there is one or two, from before it began.
    holds(count >= 8, f"the coordinator saw {count} heartbeats in 5 s, one is due every 0.2 s")


@scenario("worker")
def assignment(stage: Stage) -> None:
    """A command is assigned, started with its pid, and ended, each once and in this order."""
    _, record = stage.worker()
    session = stage.observer.begin("one")
    stage.observer.submit(session, program("one", "sh", "-c", "exit 0"))
    task = stage.over(session, "one")
    expect(stage.observer.kinds(session, "one"), ["submitted", "assigned", "started", "ended"], "history")
    (attempt,) = task.attempts
    expect(attempt.worker_id, record.worker_id, "the worker of the attempt")
    expect((attempt.exit_code, attempt.signal), (0, 0), "exit code and signal")
    holds(attempt.pid > 0, "the start must name the process")


@scenario("worker", needs="handlers")
def result_byte_for_byte(stage: Stage) -> None:
    """A handler's result is kept as it is, small, large and not ASCII."""
    stage.worker("--slots", "2")
    payloads = {
        "small": b'{"a": [1, 2.5, null, "x"],   "b":{} }',
        "accents": '{"text": "Zo\u00eb \u2713 \U0001f680 \\u0000"}'.encode(),
        "large": json.dumps({"text": "abcdefghij" * 60_000}).encode(),
    }
    session = stage.observer.begin("echoes")
    stage.observer.submit(session, *(call(name, "echo", data) for name, data in payloads.items()))
    for name, data in payloads.items():
        expect(stage.over(session, name).attempts[-1].result.data, data, f"the result of {name}")


@scenario("worker")
def failure_of_a_command(stage: Stage) -> None:
    """A command's exit code or signal fails the task, and is recorded."""
    stage.worker()
    session = stage.observer.begin("failures")
    stage.observer.submit(
        session, shell("code", "echo the last word >&2; exit 37"), shell("signal", "kill -KILL $$")
    )
    code = stage.over(session, "code", "failed").attempts[-1]
    expect((code.exit_code, code.signal), (37, 0), "exit code and signal")
    holds(code.error, "a failed attempt has an error in one line")
    expect(stage.over(session, "signal", "failed").attempts[-1].signal, 9, "the signal")


@scenario("worker", needs="handlers")
def failure_of_a_handler(stage: Stage) -> None:
    """A handler's error becomes the attempt's, on one line."""
    stage.worker()
    session = stage.observer.begin("failures")
    stage.observer.submit(session, call("fails", "fail", {"message": "no more widgets"}))
    attempt = stage.over(session, "fails", "failed").attempts[-1]
    holds("no more widgets" in attempt.error, f"the error is {attempt.error!r}")
    expect(len(attempt.error.splitlines()), 1, "lines of the error")


@scenario("worker", needs="handlers")
def progress(stage: Stage) -> None:
    """A handler's progress reaches those who watch."""
    stage.worker()
    session = stage.observer.begin("progress")
    feed = stage.observer.feed(session_ids=[session])
    stage.observer.submit(session, call("steps", "progress", {"steps": 20}))
    told: list[tuple[float, str]] = []
    for answer in feed:
        for change in answer.changes:
            if change.task.progress_message:
                told.append((round(change.task.progress_percent, 3), change.task.progress_message))
        if any(change.task.status == 5 for change in answer.changes):
            break
    feed.cancel()  # type: ignore[attr-defined]
    holds(told, "nobody heard of any progress")
    steps = {(5.0 * step, f"step {step}") for step in range(1, 21)}
    holds(set(told) <= steps, f"each of 20 steps is 5 percent, found {told}")
    expect(told, sorted(told), "progress only grows")


@scenario("worker", needs="slots")
def slots(stage: Stage) -> None:
    """Two slots run two tasks at the same time, and a third one after them."""
    stage.worker("--slots", "2")
    session = stage.observer.begin("slots")
    meet = (
        "touch {0}/{1}; until [ -e {0}/{2} ]; do sleep 0.05; done; until [ -e {0}/go ]; do sleep 0.05; done"
    )
    stage.observer.submit(
        session,
        shell("a", meet.format(stage.folder, "a", "b")),
        shell("b", meet.format(stage.folder, "b", "a")),
        shell("c", f"touch {stage.folder}/c"),
    )
    until(lambda: stage.path("a").exists() and stage.path("b").exists(), "a and b run at the same time")
    stage.becomes(session, "a", "running")
    holds(stage.status(session, "c") in ("queued", "assigned"), "c must wait for a slot")
    holds(not stage.path("c").exists(), "c must wait for a slot")
    stage.path("go").touch()
    for name in "abc":
        stage.over(session, name)


@scenario("worker")
def labels(stage: Stage) -> None:
    """A task with a label goes to the worker that carries it."""
    _, plain = stage.worker()
    _, blue = stage.worker("--label", "blue")
    session = stage.observer.begin("labels")
    stage.observer.submit(session, *(stage.any_task(f"t{n}", labels=["blue"]) for n in range(4)))
    took = {stage.over(session, f"t{n}").attempts[-1].worker_id for n in range(4)}
    expect(took, {blue.worker_id}, f"the workers that ran them (the plain one is {plain.worker_id})")


@scenario("worker")
def one_session(stage: Stage) -> None:
    """A worker of one session serves this one and no other."""
    mine = stage.observer.begin("mine")
    other = stage.observer.begin("other")
    _, record = stage.worker("--session", mine)
    expect(record.session_id, mine, "the session that it serves")
    stage.observer.submit(other, stage.any_task("other"))
    stage.observer.submit(mine, stage.any_task("mine"))
    stage.over(mine, "mine")
    expect(stage.status(other, "other"), "queued", "the other session's task")


@scenario("worker")
def needs_and_retries(stage: Stage) -> None:
    """Tasks run behind those that they need; a failed attempt is followed by one that knows its number."""
    stage.worker("--slots", str(stage.slots(2)))
    session = stage.observer.begin("order")
    order = stage.path("order")
    stage.observer.submit(
        session,
        shell("first", f'echo "first $BR_ATTEMPT" >>{order}; test $BR_ATTEMPT -ge 3', retries=3),
        shell("second", f"echo second >>{order}", needs=["first"]),
    )
    stage.over(session, "second")
    expect(stage.lines("order"), ["first 1", "first 2", "first 3", "second"], "what ran, in order")
    expect(len(stage.task(session, "first").attempts), 3, "attempts")
