"""Clients: finding the coordinator, saying who it is, sessions, and errors by their names."""

from __future__ import annotations

import json

from buildrunner_parallel.v1 import types_pb2 as types

from ..specs import expect, holds, until
from ..stage import Stage
from . import scenario


@scenario("client")
def info(stage: Stage) -> None:
    """The client tells the coordinator's version, store, epoch and capabilities."""
    told = stage.client().ask("info")
    known = stage.observer.info()
    wanted = (known.version, known.store_id, known.epoch, sorted(known.capabilities))
    found = (told["version"], told["store_id"], told["epoch"], sorted(told["capabilities"]))
    expect(found, wanted, "version, store, epoch, capabilities")


@scenario("client")
def finds_the_state_directory(stage: Stage) -> None:
    """Without an address the client finds the coordinator and its token in BR_STATE_DIR."""
    client = stage.client(env={"BR_STATE_DIR": str(stage.coordinator.data)})
    expect(client.ask("info")["store_id"], stage.observer.info().store_id, "the store")


@scenario("client")
def finds_the_workspace(stage: Stage) -> None:
    """Without any variable the client finds the coordinator of the repository that it is started in."""
    (stage.workspace / ".buildrunner").symlink_to(stage.coordinator.data)
    expect(stage.client(env={}).ask("info")["store_id"], stage.observer.info().store_id, "the store")


@scenario("client")
def speaks_tcp(stage: Stage) -> None:
    """The client reaches a coordinator by HOST:PORT too."""
    proxy = stage.proxy()
    expect(stage.client(through=proxy).ask("info")["store_id"], stage.observer.info().store_id, "the store")
    holds(proxy.accepted, "it must have come through TCP")


@scenario("client")
def nobody_there(stage: Stage) -> None:
    """Where nothing was ever started the client says so as unavailable, and what to do."""
    error = stage.client(env={}).refusal("info")
    expect(error.kind, "unavailable", "the kind of the error")
    holds(error.message, "it must say what to do")


@scenario("client")
def wrong_token(stage: Stage) -> None:
    """A token that is refused is an error of its own, and nothing is changed."""
    client = stage.client(token="not-the-token")
    for operation, fields in (
        ("create_session", {"name": "no"}),
        ("start_session", {"session_id": "abcd1234"}),
    ):
        expect(client.refusal(operation, **fields).kind, "unauthenticated", f"the error of {operation}")
    expect(stage.observer.all_sessions(), [], "sessions")


@scenario("client")
def a_sessions_life(stage: Stage) -> None:
    """Created with metadata, started, paused, resumed, closed, cancelled: as the coordinator records it."""
    client = stage.client()
    metadata = {"branch": "main", "Zo\u00eb": [1, True, None]}
    one = client.ask("create_session", name="Docs \u2713", metadata=metadata)["session_id"]
    known = stage.observer.session(one)
    expect((known.name, json.loads(known.metadata_json)), ("Docs \u2713", metadata), "name and metadata")
    for operation, status in (
        ("start_session", "running"), ("pause_session", "paused"), ("resume_session", "running"),
        ("close_session", "completed"),
    ):  # fmt: skip
        told = client.ask(operation, session_id=one)["status"]
        holds(told in (status, "running"), f"{operation} told {told}")
        until(lambda wanted=status: _status(stage, one) == wanted, f"the session is {status}")  # type: ignore[misc]
    other = client.ask("create_session", name="other")["session_id"]
    client.ask("start_session", session_id=other)
    client.ask("cancel_session", session_id=other)
    until(lambda: _status(stage, other) == "cancelled", "the other is cancelled")
    expect(len(stage.observer.all_sessions()), 2, "sessions")


@scenario("client")
def refusals_have_names(stage: Stage) -> None:
    """What is not found, not allowed, or makes no sense has its kind and reason, and does no harm."""
    client = stage.client()
    session = client.ask("create_session", name="s")["session_id"]
    over = client.ask("create_session", name="over")["session_id"]
    client.ask("cancel_session", session_id=over)
    task = {"task_id": "a", "run": "true"}
    circle = [
        {"task_id": "x", "run": "true", "needs": ["y"]},
        {"task_id": "y", "run": "true", "needs": ["x"]},
    ]
    cases = (
        ("get_task", {"session_id": session, "task_id": "none"}, "not_found", "TASK_NOT_FOUND"),
        ("start_session", {"session_id": "ffffffffffff"}, "not_found", "SESSION_NOT_FOUND"),
        ("start_session", {"session_id": over}, "wrong_state", "WRONG_STATE"),
        ("submit", {"session_id": session, "tasks": circle}, "invalid", "CYCLE"),
        ("submit", {"session_id": session, "tasks": [task | {"needs": ["none"]}]}, "invalid", "UNKNOWN_NEED"),
        ("submit", {"session_id": session, "tasks": [task | {"priority": 5000}]}, "invalid", "INVALID"),
    )
    for operation, fields, kind, reason in cases:
        error = client.refusal(operation, **fields)
        expect((error.kind, error.reason), (kind, reason), f"the error of {operation} {fields}")
        holds(error.message, f"the error of {operation} has a sentence")
    expect(
        client.ask("submit", session_id=session, tasks=[task])["task_ids"], ["a"], "the tasks of a good one"
    )
    expect([one.task_id for one in stage.observer.all_tasks(session)], ["a"], "tasks")


@scenario("client")
def lines_that_are_not_understood(stage: Stage) -> None:
    """A line that is no request is answered with invalid, and the input's end is the program's, with 0."""
    client = stage.client()
    for line in ("not json", "[1, 2]", '{"id": 5, "op": "no-such-operation"}'):
        client.say(line)
        answer = client.line()
        expect((answer.get("error") or {}).get("kind"), "invalid", f"the answer to {line}")
    client.ask("info")
    expect(client.close(), 0, "the exit code")


def _status(stage: Stage, session_id: str) -> str:

    name = types.SessionStatus.Name(stage.observer.session(session_id).status)
    return name.removeprefix("SESSION_STATUS_").lower()
