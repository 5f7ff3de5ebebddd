"""Clients: the coordinator dies, answers are lost, connections go silent; every change is made once."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from ..asking import ClientProgram, Refused
from ..interposer import AnswerLost, Interposer
from ..specs import call, expect, holds, until
from ..stage import Stage
from . import scenario


@scenario("client")
def lost_answers(stage: Stage) -> None:
    """A call whose answer was lost is sent again under the same request id, and takes effect once."""
    between = stage.interposer()
    heard = {
        name: _losing_first(between, name)
        for name in ("SessionService.CreateSession", "TaskService.SubmitTasks", "LockService.AcquireLocks")
    }
    client = stage.client(through=between)
    session = client.ask("create_session", name="once")["session_id"]
    client.ask("start_session", session_id=session)
    tasks = [{"task_id": "a", "argv": ["true"], "labels": ["nobody"]}]
    expect(client.ask("submit", session_id=session, tasks=tasks)["task_ids"], ["a"], "tasks told")
    grant = client.ask("lock", session_id=session, paths=["a.py"], lease_s=60)
    for name, messages in heard.items():
        holds(len(messages) >= 2, f"{name} must be sent again")
        ids = {one.request_id for one in messages}
        expect(len(ids), 1, f"request ids of {name}")
        holds(ids != {""}, f"{name} must carry a request id")
    expect([one.session_id for one in stage.observer.all_sessions()], [session], "sessions")
    expect([one.task_id for one in stage.observer.all_tasks(session)], ["a"], "tasks")
    expect([one.grant_id for one in stage.observer.held().locks], [grant["grant_id"]], "locks")


@scenario("client")
def every_change_has_a_request_id(stage: Stage) -> None:
    """Each call that changes something carries a request id of its own."""
    between = stage.interposer()
    names = {
        "SessionService": (
            "CreateSession",
            "StartSession",
            "PauseSession",
            "ResumeSession",
            "CloseSession",
            "CancelSession",
        ),
        "TaskService": ("SubmitTasks", "CancelTask"),
        "LockService": ("AcquireLocks", "ReleaseLocks"),
    }
    heard = {f"{s}.{m}": between.heard(f"{s}.{m}") for s, methods in names.items() for m in methods}
    client = stage.client(through=between)
    for _ in range(2):
        session = client.ask("create_session", name="s")["session_id"]
        client.ask("submit", session_id=session, tasks=[{"task_id": "a", "argv": ["true"]}])
        client.ask("lock", session_id=session, paths=["a.py"])
        client.ask("unlock", session_id=session)
        client.ask("start_session", session_id=session)
        client.ask("cancel_task", session_id=session, task_id="a")
        for operation in ("pause_session", "resume_session", "close_session", "cancel_session"):
            _whatever_comes(client, operation, session)
    ids = [one.request_id for messages in heard.values() for one in messages]
    expect([name for name, messages in heard.items() if len(messages) < 2], [], "calls that were not made")
    holds(all(ids), "none is empty")
    expect(len(set(ids)), len(ids), "different ids")


@scenario("client")
def every_call_has_a_deadline(stage: Stage) -> None:
    """A coordinator that accepts and never answers is given up: an error, not a program that hangs."""
    proxy = stage.proxy()
    client = stage.client(through=proxy)
    client.ask("info")
    proxy.go_silent(for_new_ones_too=True)
    error = client.refusal("info", within_s=240)
    holds(error.kind in ("unavailable", "timeout"), f"the kind of the error is {error.kind}")
    proxy.heal()
    proxy.cut()
    # The first may have been sent into the silence still.
    until(lambda: _answers(client), "it is of use once the connection works", 240)


@scenario("client")
def calls_while_it_is_away(stage: Stage) -> None:
    """A call that is made while the coordinator is being started again succeeds once it is there."""
    client = stage.client()
    session = client.ask("create_session", name="before")["session_id"]
    stage.coordinator.kill()
    ticket = client.send("create_session", name="during")
    stage.coordinator.start()
    during = client.answer(ticket)["session_id"]
    found = {one.session_id: one.name for one in stage.observer.all_sessions()}
    expect(found, {session: "before", during: "during"}, "sessions")


@scenario("client")
def waits_through_a_crash(stage: Stage) -> None:
    """Waiting for a session outlives the coordinator's kill -9."""
    stage.helper()
    client = stage.client()
    session = stage.observer.begin("waited for")
    ticket = client.send("wait_session", session_id=session, timeout_s=600)
    stage.coordinator.restart()
    stage.observer.submit(session, call("a", "echo"))
    stage.observer.seal(session)
    told = client.answer(ticket)
    expect((told["status"], told["succeeded"], told["failed"]), ("completed", 1, 0), "what it tells")


@scenario("client", "--lock-delay", "60s")
def keeps_its_place_through_a_crash(stage: Stage) -> None:
    """Who waits for a lock keeps its place in the queue through the coordinator's kill -9."""
    holder = stage.observer.begin("holder")
    stage.observer.take(holder, "hot.py")
    sessions = [stage.observer.begin(name) for name in ("first", "second")]
    clients = [stage.client() for _ in sessions]
    tickets = []
    for place, (client, session) in enumerate(zip(clients, sessions, strict=True), 1):
        tickets.append(client.send("lock", session_id=session, paths=["hot.py"], wait_s=600))
        until(lambda wanted=place: len(stage.observer.held().waiters) == wanted, "it waits")  # type: ignore[misc]
    stage.coordinator.restart()
    until(lambda: len(stage.observer.held().waiters) == 2, "both wait again")
    stage.observer.release(holder)
    for client, ticket, session in zip(clients, tickets, sessions, strict=True):
        grant = client.answer(ticket)
        expect([one.holder.session_id for one in stage.observer.held().locks], [session], "who holds it")
        client.ask("unlock", session_id=session, grant_id=grant["grant_id"], fence=grant["fence"])


def _losing_first(between: Interposer, name: str) -> list[Any]:
    """The requests of a method whose first answer is lost."""
    heard = between.heard(name)
    lost: list[Message] = []

    def lose(answer: Message) -> Message:
        if not lost:
            lost.append(answer)
            raise AnswerLost
        return answer

    between.on_answer(name, lose)
    return heard


def _answers(client: ClientProgram) -> bool:
    try:
        return bool(client.ask("info", within_s=240))
    except Refused:
        return False


def _whatever_comes(client: ClientProgram, operation: str, session: str) -> None:
    """A session that is over by then may refuse; it is the request that counts."""
    try:
        client.ask(operation, session_id=session)
    except Refused:
        return
