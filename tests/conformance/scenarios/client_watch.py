"""Clients: the feed: every change once and in order, through breaks, restarts and compaction."""

from __future__ import annotations

from typing import Any

from ..asking import ClientProgram
from ..specs import call, expect, holds
from ..stage import Stage, status_word
from . import scenario

PATIENTLY_S = 150


@scenario("client")
def watch_tells_everything(stage: Stage) -> None:
    """Every change of every task is told once and in order, exactly as the coordinator tells it."""
    stage.helper("--slots", "2")
    client = stage.client()
    session = stage.observer.begin("watched")
    watch, feed = _both_follow(stage, client, session)
    _submit(stage, session, "t", 30)
    stage.over(session, "last-t")
    told = _until(client, watch, "last-t")
    expect([tuple(one[1:]) for one in told["changes"]], _changes(feed, "last-t"), "the changes")
    revisions = [one[0] for one in told["changes"]]
    expect(revisions, sorted(revisions), "revisions never fall")
    client.ask("watch_close", watch=watch)


@scenario("client")
def watch_resumes_behind_a_break(stage: Stage) -> None:
    """A connection that breaks costs nothing: the feed goes on where it was, nothing lost, nothing twice."""
    stage.helper("--slots", "2")
    proxy = stage.proxy()
    client = stage.client(through=proxy)
    session = stage.observer.begin("watched")
    watch, feed = _both_follow(stage, client, session)
    _submit(stage, session, "a", 5)
    told = _until(client, watch, "last-a")
    changes, resets = told["changes"], told["resets"]
    for part in ("b", "c"):
        proxy.cut()
        _submit(stage, session, part, 5)
        told = _until(client, watch, f"last-{part}")
        changes += told["changes"]
    expect([tuple(one[1:]) for one in changes], _changes(feed, "last-c"), "the changes")
    expect((told["resets"], told["compactions"]), (resets, 0), "resets since the first, and compactions")
    holds(told["reconnects"] >= 1, f"it tells of {told['reconnects']} reconnects")


@scenario("client")
def watch_from_a_revision(stage: Stage) -> None:
    """A watch from a revision tells what came after it, and nothing of before."""
    stage.helper()
    client = stage.client()
    session = stage.observer.begin("watched")
    _submit(stage, session, "a", 2)
    stage.over(session, "last-a")
    known = stage.observer.info()
    watch = client.ask("watch", session_id=session, since=known.revision, store_id=known.store_id)["watch"]
    _submit(stage, session, "b", 2)
    told = _until(client, watch, "last-b")
    expect({one[1] for one in told["changes"]}, {"b0", "b1", "last-b"}, "which tasks it tells of")
    expect((told["resets"], told["compactions"]), (0, 0), "resets and compactions")


@scenario("client")
def watch_behind_compaction(stage: Stage) -> None:
    """A revision that the coordinator no longer has brings a fresh snapshot, and the state is whole again."""
    stage.helper()
    client = stage.client()
    session = stage.observer.begin("watched")
    _submit(stage, session, "a", 2)
    stage.over(session, "last-a")
    stage.coordinator.restart()
    known = stage.observer.info()
    watch = client.ask("watch", session_id=session, since=1, store_id=known.store_id)["watch"]
    told = _until(client, watch, "last-a")
    expect((told["resets"], told["compactions"]), (1, 1), "resets and compactions")
    _submit(stage, session, "b", 2)
    told = _until(client, watch, "last-b")
    expect(told["resets"], 1, "resets in the end")


@scenario("client")
def watch_through_a_crash(stage: Stage) -> None:
    """Changes go by unseen, and the coordinator is killed with -9 and comes back without them: the watch
    goes on by itself, with a snapshot."""
    stage.helper("--slots", "2")
    proxy = stage.proxy()
    client = stage.client(through=proxy)
    session = stage.observer.begin("watched")
    watch = client.ask("watch", session_id=session)["watch"]
    _submit(stage, session, "a", 3)
    _until(client, watch, "last-a")
    proxy.block()
    _submit(stage, session, "b", 3)
    stage.over(session, "last-b")
    stage.coordinator.restart()
    proxy.heal()
    _until(client, watch, "last-b")
    _submit(stage, session, "c", 3)
    told = _until(client, watch, "last-c")
    holds(told["resets"] >= 1, "it begins anew with a snapshot")
    holds(told["compactions"] >= 1, "it tells that its revision was not known any more")
    holds(told["reconnects"] >= 1, "it tells that it came back")


@scenario("client")
def watch_through_an_update(stage: Stage) -> None:
    """The coordinator closes in order and comes back: the watch and a wait for the session go on."""
    stage.helper()
    client, waiting = stage.client(), stage.client()
    session = stage.observer.begin("watched")
    watch = client.ask("watch", session_id=session)["watch"]
    ticket = waiting.send("wait_session", session_id=session, timeout_s=600)
    _submit(stage, session, "a", 1)
    _until(client, watch, "last-a")
    stage.coordinator.stop()
    stage.coordinator.start()
    _submit(stage, session, "b", 1)
    stage.observer.seal(session)
    _until(client, watch, "last-b")
    told = waiting.answer(ticket)
    expect((told["status"], told["succeeded"]), ("completed", 4), "what the wait tells")


@scenario("client")
def watch_of_another_store(stage: Stage) -> None:
    """A revision of another store is no revision of this one: the watch begins with a snapshot."""
    stage.helper()
    client = stage.client()
    session = stage.observer.begin("watched")
    _submit(stage, session, "a", 1)
    stage.over(session, "last-a")
    revision = stage.observer.info().revision
    watch = client.ask("watch", session_id=session, since=revision, store_id="0123456789abcdef")["watch"]
    told = _until(client, watch, "last-a")
    expect(told["resets"], 1, "resets")


@scenario("client")
def watch_of_a_silent_connection(stage: Stage) -> None:
    """A connection that goes silent without an end is noticed, and the watch goes on by another one."""
    stage.helper()
    proxy = stage.proxy()
    client = stage.client(through=proxy)
    session = stage.observer.begin("watched")
    watch = client.ask("watch", session_id=session)["watch"]
    _submit(stage, session, "a", 1)
    _until(client, watch, "last-a")
    proxy.go_silent()
    _submit(stage, session, "b", 1)
    told = _until(client, watch, "last-b")
    expect({one[1] for one in told["changes"]}, {"b0", "last-b"}, "which tasks it tells of")
    expect(told["compactions"], 0, "compactions")
    client.ask("create_session", name="calls work too")


@scenario("client")
def several_watches(stage: Stage) -> None:
    """Several watches of one client stand beside each other and beside calls, and end by themselves."""
    stage.helper()
    client = stage.client()
    one, two = stage.observer.begin("one"), stage.observer.begin("two")
    first, second = (client.ask("watch", session_id=name)["watch"] for name in (one, two))
    holds(first != second, "each has a number of its own")
    _submit(stage, one, "a", 1)
    _submit(stage, two, "b", 1)
    expect(
        {change[1] for change in _until(client, first, "last-a")["changes"]}, {"a0", "last-a"}, "the first"
    )
    client.ask("watch_close", watch=first)
    expect(
        {change[1] for change in _until(client, second, "last-b")["changes"]}, {"b0", "last-b"}, "the second"
    )
    error = client.refusal("watch_until", watch=second, task_id="last-b", status="failed", timeout_s=0.3)
    expect(error.kind, "timeout", "what never comes")
    expect(client.close(), 0, "the exit code with a watch open")


def _both_follow(stage: Stage, client: ClientProgram, session: str) -> tuple[int, Any]:
    """The client's watch and the kit's own feed, both behind the same change."""
    watch = client.ask("watch", session_id=session)["watch"]
    feed = stage.observer.feed(session_ids=[session], kinds=[2], ended_tasks=True)
    next(feed)
    stage.observer.submit(session, call("begins", "echo"))
    _until(client, watch, "begins")
    while not any(one.task.task_id == "begins" and one.task.status == 5 for one in next(feed).changes):
        pass
    return watch, feed


def _submit(stage: Stage, session: str, part: str, count: int) -> None:
    names = [f"{part}{n}" for n in range(count)]
    last = call(f"last-{part}", "echo", needs=names)
    stage.observer.submit(session, *(call(name, "echo", {"name": name}) for name in names), last)


def _until(client: ClientProgram, watch: int, task_id: str) -> dict[str, Any]:
    fields = {"watch": watch, "task_id": task_id, "status": "succeeded", "timeout_s": PATIENTLY_S}
    return client.ask("watch_until", within_s=PATIENTLY_S + 60, **fields)


def _changes(feed: Any, last: str) -> list[tuple[str, str]]:
    """What the coordinator tells of tasks until `last` has succeeded."""
    changes = []
    for answer in feed:
        for change in answer.changes:
            if not answer.snapshot and change.HasField("task"):
                changes.append((change.task.task_id, status_word(change.task.status)))
        if (last, "succeeded") in changes:
            break
    feed.cancel()
    return changes
