"""Clients: coordinators that are newer or older than they are."""

from __future__ import annotations

from ..peers import CAPABILITY, from_the_future, from_the_past
from ..specs import call, expect, holds
from ..stage import Stage
from . import scenario


@scenario("client")
def newer_coordinator(stage: Stage) -> None:
    """Fields, enum values, kinds of entities and capabilities of a later version change nothing."""
    stage.helper()
    between = stage.interposer()
    between.on_every_answer(from_the_future)
    client = stage.client(through=between)
    holds(CAPABILITY in client.ask("info")["capabilities"], "unknown capabilities are shown as they are")
    session = client.ask("create_session", name="future")["session_id"]
    client.ask("start_session", session_id=session)
    watch = client.ask("watch", session_id=session)["watch"]
    client.ask(
        "submit", session_id=session, tasks=[{"task_id": "a", "handler": "conformance.echo", "payload": "{}"}]
    )
    told = client.ask("watch_until", watch=watch, task_id="a", status="succeeded", timeout_s=60)
    expect([one[2] for one in told["changes"] if one[1] == "a"][-1], "succeeded", "the last change")
    expect(client.ask("get_task", session_id=session, task_id="a")["result"], "{}", "the result")
    client.ask("lock", session_id=session, paths=["a.py"])
    client.ask("close_session", session_id=session)
    expect(client.ask("wait_session", session_id=session, timeout_s=60)["status"], "completed", "the session")


@scenario("client")
def older_coordinator(stage: Stage) -> None:
    """What an older coordinator does not serve is unsupported, by that name; all else works."""
    stage.helper()
    between = stage.interposer()
    from_the_past(between)
    client = stage.client(through=between)
    told = client.ask("info")
    expect((told["capabilities"], told["version"]), ([], ""), "capabilities and version")
    session = client.ask("create_session", name="past")["session_id"]
    client.ask("start_session", session_id=session)
    expect(
        client.refusal("lock", session_id=session, paths=["a.py"]).kind,
        "unsupported",
        "the kind of the error",
    )
    stage.observer.submit(session, call("a", "echo"))
    client.ask("close_session", session_id=session)
    expect(
        client.ask("wait_session", session_id=session, timeout_s=60)["succeeded"], 1, "tasks that succeeded"
    )
