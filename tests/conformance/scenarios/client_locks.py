"""Clients: path locks by hand: taken, refused with every name, waited for, renewed, given back, lost."""

from __future__ import annotations

from ..specs import expect, holds, until
from ..stage import Stage
from . import scenario


@scenario("client")
def lock_and_unlock(stage: Stage) -> None:
    """Paths are taken all together, held as the coordinator shows them, and given back."""
    client = stage.client()
    session = stage.observer.begin("Docs")
    grant = client.ask("lock", session_id=session, paths=["src/a.py", "docs/"])
    held = {one.path.rstrip("/"): one for one in stage.observer.held().locks}
    expect(sorted(held), ["docs", "src/a.py"], "what is held")
    expect(sorted(path.rstrip("/") for path in grant["paths"]), ["docs", "src/a.py"], "what it was told")
    one = held["src/a.py"]
    expect((one.grant_id, one.fence), (grant["grant_id"], grant["fence"]), "grant and fence")
    expect(one.holder.session_id, session, "the holder")
    freed = client.ask("unlock", session_id=session, paths=["docs/"])["paths"]
    expect([path.rstrip("/") for path in freed], ["docs"], "what was freed")
    expect([one.path for one in stage.observer.held().locks], ["src/a.py"], "what is still held")
    client.ask("unlock", session_id=session)
    expect(list(stage.observer.held().locks), [], "what is held in the end")


@scenario("client")
def conflict_with_all_names(stage: Stage) -> None:
    """A refusal is a conflict that names each path, what is in its way, and whose it is."""
    docs, tests = stage.observer.begin("Docs"), stage.observer.begin("Tests \u2713")
    mine = stage.observer.begin("mine")
    stage.observer.take(docs, "src/", "README.md")
    stage.observer.take(tests, "tests/unit.py")
    client = stage.client()
    paths = ["src/app/a.py", "tests/unit.py", "README.md", "free.py"]
    error = client.refusal("lock", session_id=mine, paths=paths)
    expect((error.kind, error.reason), ("conflict", "LOCK_CONFLICT"), "kind and reason")
    found = {
        (one["path"], one["held_path"].rstrip("/"), one["session_id"], one["session_name"])
        for one in error.conflicts
    }
    wanted = {
        ("src/app/a.py", "src", docs, "Docs"),
        ("README.md", "README.md", docs, "Docs"),
        ("tests/unit.py", "tests/unit.py", tests, "Tests \u2713"),
    }
    expect(found, wanted, "the conflicts")
    holds(error.message, "the refusal has a sentence")
    expect({one.holder.session_id for one in stage.observer.held().locks}, {docs, tests}, "who holds")


@scenario("client")
def shared_locks(stage: Stage) -> None:
    """Shared holders stand beside each other, and exclude who wants it alone."""
    first, second, third = (stage.observer.begin(name) for name in ("first", "second", "third"))
    client = stage.client()
    client.ask("lock", session_id=first, paths=["lib/"], shared=True)
    client.ask("lock", session_id=second, paths=["lib/x.py"], shared=True)
    error = client.refusal("lock", session_id=third, paths=["lib/x.py"])
    expect({one["session_id"] for one in error.conflicts}, {first, second}, "who is in the way")
    expect(len(stage.observer.held().locks), 2, "locks")


@scenario("client")
def waiting_in_fair_order(stage: Stage) -> None:
    """Those who wait for a path get it one after the other, first come, first served."""
    holder = stage.observer.begin("holder")
    stage.observer.take(holder, "hot.py")
    names = ("first", "second", "third")
    sessions = {name: stage.observer.begin(name) for name in names}
    clients = {name: stage.client() for name in names}
    tickets = {}
    for place, name in enumerate(names, 1):
        tickets[name] = clients[name].send("lock", session_id=sessions[name], paths=["hot.py"], wait_s=600)
        until(lambda wanted=place: len(stage.observer.held().waiters) == wanted, f"{name} waits")  # type: ignore[misc]
    stage.observer.release(holder)
    for name in names:
        grant = clients[name].answer(tickets[name])
        (held,) = stage.observer.held().locks
        expect(
            (held.holder.session_id, held.grant_id), (sessions[name], grant["grant_id"]), "who holds it now"
        )
        late = [other for other in names if other != name and clients[other].has_answered()]
        expect(late, [], "who else was told to have it")
        clients[name].ask(
            "unlock", session_id=sessions[name], grant_id=grant["grant_id"], fence=grant["fence"]
        )
    expect(list(stage.observer.held().locks), [], "what is held in the end")


@scenario("client")
def waiting_only_so_long(stage: Stage) -> None:
    """Who waits only so long is refused as at once, with all names, and leaves the queue."""
    holder, mine = stage.observer.begin("holder"), stage.observer.begin("mine")
    stage.observer.take(holder, "hot.py")
    error = stage.client().refusal("lock", session_id=mine, paths=["hot.py"], wait_s=0.5)
    expect(error.kind, "conflict", "the kind of the error")
    expect([one["session_name"] for one in error.conflicts], ["holder"], "who is in the way")
    expect(list(stage.observer.held().waiters), [], "who waits")


@scenario("client")
def waiting_without_an_end(stage: Stage) -> None:
    """A negative wait waits until it is granted; who is killed meanwhile leaves the queue."""
    holder, mine, gone = (stage.observer.begin(name) for name in ("holder", "mine", "gone"))
    stage.observer.take(holder, "hot.py")
    killed, client = stage.client(), stage.client()
    killed.send("lock", session_id=gone, paths=["hot.py"], wait_s=-1)
    until(lambda: len(stage.observer.held().waiters) == 1, "the first waits")
    ticket = client.send("lock", session_id=mine, paths=["hot.py"], wait_s=-1)
    until(lambda: len(stage.observer.held().waiters) == 2, "both wait")
    killed.process.kill()
    until(lambda: len(stage.observer.held().waiters) == 1, "the killed one has left the queue")
    stage.observer.release(holder)
    client.answer(ticket)
    expect([one.holder.session_id for one in stage.observer.held().locks], [mine], "who holds it")


@scenario("client")
def deadlock(stage: Stage) -> None:
    """Waiting that would close a circle is refused as a conflict with this reason."""
    first, second = stage.observer.begin("first"), stage.observer.begin("second")
    stage.observer.take(first, "a.py")
    stage.observer.take(second, "b.py")
    waiting, client = stage.client(), stage.client()
    waiting.send("lock", session_id=first, paths=["b.py"], wait_s=600)
    until(lambda: stage.observer.held().waiters, "the first waits for the second")
    error = client.refusal("lock", session_id=second, paths=["a.py"], wait_s=600)
    expect((error.kind, error.reason), ("conflict", "DEADLOCK"), "kind and reason")


@scenario("client")
def renewing(stage: Stage) -> None:
    """A grant with a lease is renewed under its fence, and refused as stale under any other."""
    client = stage.client()
    session = stage.observer.begin("leased")
    grant = client.ask("lock", session_id=session, paths=["a.py"], lease_s=120)
    expect(client.ask("renew", grant_id=grant["grant_id"], fence=grant["fence"])["lease_s"], 120, "the lease")
    for fence in (grant["fence"] - 1, grant["fence"] + 1):
        error = client.refusal("renew", grant_id=grant["grant_id"], fence=fence)
        expect((error.kind, error.reason), ("stale", "STALE"), "kind and reason")
    (held,) = stage.observer.held().locks
    expect(held.fence, grant["fence"], "the fence held")


@scenario("client", "--lock-delay", "200ms")
def a_lease_that_lapsed(stage: Stage) -> None:
    """A grant whose lease has lapsed cannot be renewed or given back, and others may have its paths."""
    client = stage.client()
    mine, other = stage.observer.begin("mine"), stage.observer.begin("other")
    grant = client.ask("lock", session_id=mine, paths=["a.py"], lease_s=1)
    until(lambda: not stage.observer.held().locks, "the lease has lapsed")
    second = client.ask("lock", session_id=other, paths=["a.py"])
    holds(second["fence"] > grant["fence"], "fences grow")
    error = client.refusal("renew", grant_id=grant["grant_id"], fence=grant["fence"])
    holds(error.kind in ("stale", "not_found"), f"renewing told {error.kind}")
    error = client.refusal("unlock", session_id=mine, grant_id=grant["grant_id"], fence=grant["fence"])
    holds(error.kind in ("stale", "not_found"), f"giving it back told {error.kind}")
    expect([one.holder.session_id for one in stage.observer.held().locks], [other], "who holds it")


@scenario("client")
def unlocking_what_is_not_held(stage: Stage) -> None:
    """Giving back under a wrong fence is stale, what is not held is not found; neither frees anything."""
    client = stage.client()
    mine, other = stage.observer.begin("mine"), stage.observer.begin("other")
    grant = client.ask("lock", session_id=mine, paths=["a.py"])
    error = client.refusal("unlock", session_id=mine, grant_id=grant["grant_id"], fence=grant["fence"] + 7)
    expect((error.kind, error.reason), ("stale", "STALE"), "kind and reason")
    error = client.refusal("unlock", session_id=other, paths=["a.py"])
    expect(error.kind, "not_found", "the kind of the other's error")
    expect([one.holder.session_id for one in stage.observer.held().locks], [mine], "who holds it")
