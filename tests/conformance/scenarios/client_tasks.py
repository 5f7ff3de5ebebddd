"""Clients: submitting tasks, looking at them, stopping them, and waiting for all of them."""

from __future__ import annotations

import time

from buildrunner_parallel.v1 import types_pb2 as types

from ..specs import expect, holds, until
from ..stage import Stage
from . import scenario


@scenario("client")
def submit_with_everything(stage: Stage) -> None:
    """Each condition of a task arrives as it was said, and what was not said is left to the coordinator."""
    client = stage.client()
    session = stage.observer.create("all")
    stated = [
        {"task_id": "argv", "argv": ["printf", "%s", "a b", ""]},
        {"task_id": "run", "run": "echo $HOME | wc"},
        {
            "task_id": "handler", "handler": "conformance.echo", "payload": '{"a":  "\u2713"}',
            "needs": ["argv", "run"], "files": [{"path": "src/a.py"}, {"path": "docs/", "shared": True}],
            "timeout_s": 90.5, "grace_s": 0, "retries": 4, "labels": ["blue", "large"], "priority": -7,
        },
    ]  # fmt: skip
    ids = client.ask("submit", session_id=session, tasks=stated)["task_ids"]
    expect(ids, ["argv", "run", "handler"], "the ids told")
    argv, run, spec = (stage.task(session, name).spec for name in ids)
    expect(list(argv.command.argv), ["printf", "%s", "a b", ""], "argv")
    expect((argv.timeout_ms, argv.HasField("grace_ms"), argv.priority), (0, False, 0), "what was not said")
    expect(run.command.shell_line, "echo $HOME | wc", "the line")
    expect(spec.handler.name, "conformance.echo", "the handler")
    expect(spec.handler.payload.data, '{"a":  "\u2713"}'.encode(), "the payload")
    expect(list(spec.needs), ["argv", "run"], "needs")
    found = {one.path.rstrip("/"): one.mode == types.LOCK_MODE_SHARED for one in spec.files}
    expect(found, {"src/a.py": False, "docs": True}, "files, and which are shared")
    expect((spec.timeout_ms, spec.grace_ms), (90_500, 0), "timeout and grace")
    expect(spec.retry.max_retries, 4, "retries")
    expect((sorted(spec.labels), spec.priority), (["blue", "large"], -7), "labels and priority")


@scenario("client")
def tasks_and_their_ends(stage: Stage) -> None:
    """Status, attempts, exit code, error and result of a task are told as they are."""
    stage.helper("--slots", "4")
    client = stage.client()
    session = stage.observer.begin("ends")
    tasks = [
        {"task_id": "echo", "handler": "conformance.echo", "payload": '{"text": "Zo\u00eb \u2713"}'},
        {"task_id": "code", "run": "echo why >&2; exit 37"},
        {"task_id": "good", "argv": ["true"]},
        {"task_id": "skipped", "argv": ["true"], "needs": ["code"]},
        {"task_id": "waits", "argv": ["true"], "labels": ["nobody"]},
    ]
    client.ask("submit", session_id=session, tasks=tasks)
    for name, status in (
        ("echo", "succeeded"),
        ("code", "failed"),
        ("good", "succeeded"),
        ("skipped", "skipped"),
    ):
        stage.over(session, name, status)
        told = client.ask("get_task", session_id=session, task_id=name)
        expect(told["status"], status, f"the status of {name}")
        expect(told["attempts"], len(stage.task(session, name).attempts), f"attempts of {name}")
        expect(told["error"], stage.task(session, name).summary.error, f"the error of {name}")
    told = {
        name: client.ask("get_task", session_id=session, task_id=name)
        for name in ("echo", "code", "good", "waits")
    }
    expect(told["echo"]["result"], '{"text": "Zo\u00eb \u2713"}', "the result")
    expect((told["code"]["exit_code"], told["good"]["exit_code"]), (37, 0), "exit codes")
    expect((told["waits"]["status"], told["waits"]["exit_code"]), ("queued", None), "what has not run")


@scenario("client")
def cancel_a_task(stage: Stage) -> None:
    """Cancelling a task stops it, and those that need it are skipped."""
    stage.helper()
    client = stage.client()
    session = stage.observer.begin("cancel")
    tasks = [
        {"task_id": "long", "argv": ["sleep", "600"]},
        {"task_id": "after", "argv": ["true"], "needs": ["long"]},
    ]
    client.ask("submit", session_id=session, tasks=tasks)
    stage.becomes(session, "long", "running")
    status = client.ask("cancel_task", session_id=session, task_id="long")["status"]
    holds(status in ("cancelling", "cancelled"), f"the status told is {status}")
    stage.over(session, "long", "cancelled")
    stage.over(session, "after", "skipped")
    again = client.ask("cancel_task", session_id=session, task_id="long")["status"]
    expect(again, "cancelled", "cancelling what is over changes nothing")


@scenario("client")
def logs_in_full(stage: Stage) -> None:
    """The output of a task is read in full, small and large, on both channels."""
    stage.helper("--slots", "2")
    client = stage.client()
    session = stage.observer.begin("logs")
    tasks = [
        {"task_id": "small", "run": "printf 'Zo\u00eb\\n'; echo err >&2"},
        {"task_id": "large", "run": "seq 1 200000; seq 1 100 >&2"},
        {"task_id": "silent", "argv": ["true"]},
    ]
    client.ask("submit", session_id=session, tasks=tasks)
    for name in ("small", "large", "silent"):
        stage.over(session, name)
    numbers = ["".join(f"{n}\n" for n in range(1, count + 1)) for count in (200_000, 100)]
    for name, stdout, stderr in (("small", "Zo\u00eb\n", "err\n"), ("large", *numbers), ("silent", "", "")):
        told = client.ask("logs", session_id=session, task_id=name)
        expect((len(told["stdout"]), len(told["stderr"])), (len(stdout), len(stderr)), f"sizes of {name}")
        holds(
            (told["stdout"], told["stderr"]) == (stdout, stderr),
            f"the output of {name} is not what was written",
        )


@scenario("client")
def waits_for_a_session(stage: Stage) -> None:
    """A session's end is waited for by watching, not by asking again and again, and the counts are told."""
    stage.helper("--slots", "2")
    between = stage.interposer()
    client = stage.client(through=between)
    session = stage.observer.begin("waits")
    go = stage.path("go")
    tasks = [
        {"task_id": f"t{n}", "run": f"until [ -e {go} ]; do sleep 0.05; done; exit {n // 2}"}
        for n in range(3)
    ]
    client.ask("submit", session_id=session, tasks=tasks)
    client.ask("close_session", session_id=session)
    ticket = client.send("wait_session", session_id=session, timeout_s=300)
    until(lambda: between.count("EventService.Watch"), "it watches")
    asked = between.count("SessionService.GetSession") + between.count("SessionService.ListSessions")
    before = between.count("EventService.Watch")
    stage.becomes(session, "t0", "running")
    holds(not client.has_answered(), "it must wait")
    # Each of these is news of the session, to be heard and not asked for.
    for _ in range(5):
        stage.observer.pause(session)
        stage.observer.resume(session)
    # Whoever asks again and again does so within this time.
    time.sleep(1)
    go.touch()
    told = client.answer(ticket)
    expect((told["status"], told["succeeded"], told["failed"]), ("failed", 2, 1), "what it tells")
    again = between.count("SessionService.GetSession") + between.count("SessionService.ListSessions") - asked
    holds(again <= 3, f"it asked for the session {again} times while it waited")
    expect(between.count("EventService.Watch"), before, "watches")


@scenario("client")
def waits_only_so_long(stage: Stage) -> None:
    """A wait that runs out is a timeout of its own kind, and the session goes on."""
    client = stage.client()
    session = stage.observer.begin("long")
    expect(
        client.refusal("wait_session", session_id=session, timeout_s=0.5).kind,
        "timeout",
        "the kind of the error",
    )
    expect(stage.observer.session(session).status, types.SESSION_STATUS_RUNNING, "the session")


@scenario("client")
def a_request_id_makes_it_harmless(stage: Stage) -> None:
    """The same submission under the same request id is kept once; another one under it is refused."""
    client = stage.client()
    session = stage.observer.create("once")
    tasks = [{"task_id": "a", "argv": ["true"]}, {"task_id": "b", "argv": ["true"]}]
    first = client.ask("submit", session_id=session, tasks=tasks, request_id="mine-1")
    again = client.ask("submit", session_id=session, tasks=tasks, request_id="mine-1")
    expect(again, first, "the answer to the second")
    expect([one.task_id for one in stage.observer.all_tasks(session)], ["a", "b"], "tasks")
    other = client.refusal("submit", session_id=session, tasks=tasks[:1], request_id="mine-1")
    expect(other.reason, "REQUEST_ID_REUSED", "the reason")
    twice = client.refusal("submit", session_id=session, tasks=tasks, request_id="mine-2")
    expect(twice.reason, "TASK_EXISTS", "the reason under another id")


@scenario("client")
def oversize_message(stage: Stage) -> None:
    """A message that is too large is refused as a limit, and the client is of use afterwards."""
    client = stage.client()
    session = stage.observer.create("large")
    large = [{"task_id": "large", "handler": "conformance.echo", "payload": "x" * (5 << 20)}]
    expect(client.refusal("submit", session_id=session, tasks=large).kind, "limit", "the kind of the error")
    small = [{"task_id": "small", "handler": "conformance.echo", "payload": "{}"}]
    client.ask("submit", session_id=session, tasks=small)
    expect([one.task_id for one in stage.observer.all_tasks(session)], ["small"], "tasks")
