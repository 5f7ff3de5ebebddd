"""Workers: messages that are lost or come twice, and coordinators that are newer or older than they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message

from buildrunner_parallel.v1 import worker_service_pb2 as wire

from ..interposer import AnswerLost
from ..peers import from_the_future, from_the_past
from ..specs import call, expect, holds, shell, until
from ..stage import Stage, outcome_word
from . import scenario


@scenario("worker")
def duplicate_assignment(stage: Stage) -> None:
    """An assignment that arrives twice runs once."""
    between = stage.interposer()
    twice: list[wire.Assignment] = []

    def again(answer: Any) -> Iterable[Message]:
        answer.assignments.extend(twice)
        twice[:] = [one for one in answer.assignments if one not in twice]
        return [answer]

    between.on_answer(
        "WorkerService.Connect", lambda answer: [answer, answer] if answer.assignments else answer
    )
    between.on_answer("WorkerService.ClaimTasks", again)
    stage.worker("--slots", str(stage.slots(2)), through=between)
    session = stage.observer.begin("twice")
    ran = stage.path("ran")
    stage.observer.submit(session, *(shell(f"t{n}", f"sleep 0.3; echo t{n} >>{ran}") for n in range(4)))
    for n in range(4):
        expect(len(stage.over(session, f"t{n}").attempts), 1, f"attempts of t{n}")
    stage.observer.submit(session, stage.any_task("after"))
    stage.over(session, "after")
    expect(sorted(stage.lines("ran")), ["t0", "t1", "t2", "t3"], "what ran")


@scenario("worker")
def lost_acknowledgement(stage: Stage) -> None:
    """A report that is not acknowledged is sent again, unchanged, until it is; the task ends once."""
    between = stage.interposer()
    heard: list[bytes] = []
    lost: set[str] = set()

    def note(request: Any) -> Message:
        heard.extend(one.SerializeToString(deterministic=True) for one in request.reports)
        return request

    def lose(answer: Any, *, unary: bool) -> Message:
        news = {one.attempt_id for one in answer.acknowledgements} - lost
        if news and unary:
            lost.update(news)
            raise AnswerLost
        kept = [one for one in answer.acknowledgements if one.attempt_id not in news]
        lost.update(news)
        del answer.acknowledgements[:]
        answer.acknowledgements.extend(kept)
        return answer

    between.on_request("WorkerService.Connect", note)
    between.on_request("WorkerService.ReportTasks", note)
    between.on_answer("WorkerService.Connect", lambda answer: lose(answer, unary=False))
    between.on_answer("WorkerService.ReportTasks", lambda answer: lose(answer, unary=True))
    _, record = stage.worker(through=between)
    session = stage.observer.begin("again")
    stage.observer.submit(session, shell("once", f"echo ran >>{stage.path('ran')}"))
    stage.over(session, "once")
    until(lambda: len(heard) >= 2, "the report is sent again")
    expect(len(set(heard)), 1, "different reports on one attempt")
    expect(stage.observer.kinds(session, "once").count("ended"), 1, "how often it ended")
    expect(stage.lines("ran"), ["ran"], "how often it ran")
    until(lambda: _rests(stage, record.worker_id), "the worker holds nothing any more")
    stage.observer.submit(session, stage.any_task("after"))
    stage.over(session, "after")


@scenario("worker")
def newer_coordinator(stage: Stage) -> None:
    """Fields, enum values and capabilities of a later version change nothing."""
    between = stage.interposer()
    between.on_every_answer(from_the_future)
    stage.worker("--slots", str(stage.slots(2)), through=between)
    session = stage.observer.begin("future")
    tasks = [stage.any_task("echo"), shell("line", "echo hello")]
    if "handlers" not in stage.programs.lacks:
        tasks.append(call("steps", "progress", {"steps": 3}))
    stage.observer.submit(session, *tasks)
    for task in tasks:
        expect(len(stage.over(session, task.task_id).attempts), 1, f"attempts of {task.task_id}")
    stage.observer.submit(session, shell("stops", "sleep 600", grace_s=20))
    stage.becomes(session, "stops", "running")
    stage.observer.cancel(session, "stops")
    stage.over(session, "stops", "cancelled")
    expect(stage.observer.output(session, "line")["stdout"], b"hello\n", "the output")


@scenario("worker")
def work_of_an_unknown_kind(stage: Stage) -> None:
    """A task whose kind the worker does not know is refused as not started, and harms nothing."""
    between = stage.interposer()

    def unknown(answer: Any) -> Message:
        for one in answer.assignments:
            if one.spec.task_id == "unknown":
                one.spec.ClearField("command")
                from_the_future(one.spec)
        return answer

    between.on_answer("WorkerService.Connect", unknown)
    between.on_answer("WorkerService.ClaimTasks", unknown)
    _, record = stage.worker(through=between)
    session = stage.observer.begin("unknown")
    stage.observer.submit(session, shell("unknown", "true"), stage.any_task("after"))
    attempt = stage.over(session, "unknown", "failed").attempts[-1]
    expect(outcome_word(attempt.outcome), "not_started", "the outcome")
    stage.over(session, "after")
    expect([one.worker_id for one in stage.observer.all_workers()], [record.worker_id], "workers")


@scenario("worker")
def older_coordinator(stage: Stage) -> None:
    """A coordinator without capabilities, later fields and later calls is served all the same."""
    between = stage.interposer()
    from_the_past(between)
    process, _ = stage.worker(through=between)
    session = stage.observer.begin("past")
    stage.observer.submit(
        session,
        stage.any_task("echo"),
        shell("line", "echo hello"),
        shell("stops", "sleep 600", grace_s=20),
    )
    for name in ("echo", "line"):
        expect(len(stage.over(session, name).attempts), 1, f"attempts of {name}")
    stage.becomes(session, "stops", "running")
    stage.observer.cancel(session, "stops")
    stage.over(session, "stops", "cancelled")
    expect(stage.observer.output(session, "line")["stdout"], b"hello\n", "the output")
    holds(process.is_alive, "the worker must go on")


def _rests(stage: Stage, worker_id: str) -> bool:
    known = stage.worker_record(worker_id)
    return known is not None and not known.tasks
