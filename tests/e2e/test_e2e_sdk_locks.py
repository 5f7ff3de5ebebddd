"""Lock blocks of programs against a real coordinator: kills, circles, and tasks that lock."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading

import pytest

from buildrunner_parallel import AsyncClient, Client, PathRequest, errors
from tests.e2e.conftest import Town, eventually
from tests.e2e.test_e2e_sdk_sessions import die_and_come_back

pytestmark = pytest.mark.e2e

HOLDER = """
import sys, time
from buildrunner_parallel import Client

session, lease = sys.argv[1:]
with Client.connect() as client, client.lock(session, ["src/a.py"], wait=True, lease=lease) as grant:
    print("held", grant.fence, flush=True)
    time.sleep(600)
"""
IN_A_TASK = """
import os
from buildrunner_parallel import Client
from buildrunner_parallel.errors import LockConflictError

session = os.environ["BR_SESSION_ID"]
with Client.connect() as client:
    with client.lock(session, ["src/mine.py"]) as own, client.lock(session, ["more.py"]) as more:
        print(own.fence == more.fence == int(os.environ["BR_FENCE"]), own.held, more.held)
        print([lock.holder.task_id for lock in client.list_locks("more.py").locks])
        try:
            client.acquire_locks(session, ["theirs.py"])
        except LockConflictError as error:
            print(error.conflicts[0].holder.session_name)
    print([lock.path for lock in client.list_locks().locks if lock.holder.task_id])
"""
HANDLERS = """
import os
from buildrunner_parallel import Client, HandlerContext, handler

@handler("edit")
def edit(context: HandlerContext) -> list:
    with Client.connect() as client, client.lock(context.session_id, ["src/mine.py", "more.py"]) as grant:
        return [grant.fence == context.fence, [lock.holder.task_id for lock in grant.locks]]
"""


def program(town: Town, text: str, *arguments: str) -> subprocess.Popen[str]:
    environment = town.env | {
        "BR_COORDINATOR": town.info_file()["address"],
        "BR_TOKEN": (town.state / "token").read_text().strip(),
    }
    return subprocess.Popen(
        [sys.executable, "-c", text, *arguments], cwd=town.folder, env=environment, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip


def client_at(town: Town) -> Client:
    """One whose relative paths are those of the town."""
    address = town.info_file()["address"]
    return Client.connect(address, token_file=town.state / "token", cwd=town.folder, start=False)


def waiters(client: Client) -> int:
    return len(client.list_locks().waiters)


def test_holding_and_waiting_go_on_when_the_coordinator_is_killed(town: Town):
    town.coordinator()
    with client_at(town) as holding, client_at(town) as waiting:
        session = holding.create_session("kill").session_id
        got: list[int] = []

        def wait() -> None:
            with waiting.lock(session, ["src/a.py"], wait=True) as grant:
                got.append(grant.fence)

        thread = threading.Thread(target=wait)
        with holding.lock(session, ["src/a.py"], lease="10s") as grant:
            thread.start()
            eventually(lambda: waiters(holding) == 1, "somebody waits")
            die_and_come_back(town)
            eventually(lambda: waiters(holding) == 1, "it waits again")
            # Renewed by the coordinator that came back.
            holding.renew_lease(grant.record)
            assert grant.held and not got
        thread.join(60)
        assert got and got[0] > grant.fence
        assert holding.list_locks().locks == ()


def test_an_interrupted_waiter_leaves_the_queue(town: Town):
    town.coordinator()
    with client_at(town) as client:
        session = client.create_session("stop").session_id
        with client.lock(session, ["src/a.py"]):
            waiter = program(town, HOLDER, session, "30s")
            eventually(lambda: waiters(client) == 1, "somebody waits")
            waiter.send_signal(signal.SIGINT)
            waiter.communicate()
            eventually(lambda: waiters(client) == 0, "nobody waits")


def test_a_cross_hold_ends_in_a_deadlock_that_names_both(town: Town):
    town.coordinator()
    with client_at(town) as one, client_at(town) as two:
        first, second = (one.create_session(name).session_id for name in ("left", "right"))
        trouble: list[errors.DeadlockError] = []

        def cross() -> None:
            with two.lock(second, ["b.py"]):
                begun.set()
                try:
                    with two.lock(second, ["a.py"], wait="30s"):
                        pass
                except errors.DeadlockError as error:
                    trouble.append(error)

        begun = threading.Event()
        thread = threading.Thread(target=cross)
        with one.lock(first, ["a.py"]):
            thread.start()
            assert begun.wait(30)
            try:
                with one.lock(first, ["b.py"], wait="30s"):
                    pass
            except errors.DeadlockError as error:
                trouble.append(error)
        thread.join(30)
    assert len(trouble) == 1
    assert first in str(trouble[0]) and second in str(trouble[0])


def test_a_lock_that_is_taken_away_is_told_to_its_block(town: Town):
    town.coordinator()
    with client_at(town) as client:
        session = client.create_session("force").session_id
        lost = pytest.raises(errors.LockLostError, match=r"the lock of a\.py was lost")
        with lost, client.lock(session, ["a.py"], lease="1s") as grant:
            client.force_release(grant.locks[0].lock_id, "its owner left")
            assert grant.lost.wait(30)
            assert not grant.held


def test_a_task_locks_in_the_name_of_its_attempt_and_takes_what_it_declared(town: Town):
    town.coordinator()
    town.write("edits.py", HANDLERS)
    town.write("in_a_task.py", IN_A_TASK)
    town.env["PYTHONPATH"] += f":{town.folder}"
    town.worker("--handlers", "edits")
    with client_at(town) as client:
        other = client.create_session("another").session_id
        client.acquire_locks(other, ["theirs.py"])
        paths = {"PYTHONPATH": town.env["PYTHONPATH"]}
        with client.session("tasks", workers=0) as session:
            told = session.submit(
                [sys.executable, str(town.folder / "in_a_task.py")],
                files=[PathRequest("src/mine.py")],
                env=paths,
            )
            edited = session.submit(
                handler="edit", task_id="edit", files=[PathRequest("src/mine.py")], env=paths
            )
            assert told.outcome(60).error == ""
            assert edited.result(60).value == [True, ["edit", "edit"]]
            text = b"".join(one.chunk.data for one in client.read_output(session.session_id, told.task_id))
        assert text.decode().splitlines() == [
            "True True True", f"['{told.task_id}']", "another", "['src/mine.py']",
        ]  # fmt: skip


async def test_tasks_of_asyncio_exclude_each_other_and_a_cancelled_one_holds_nothing(town: Town):
    town.coordinator()
    address, inside, most = town.info_file()["address"], [0], [0]
    connecting = AsyncClient.connect(address, token_file=town.state / "token", cwd=town.folder, start=False)
    async with connecting as client:
        session = await client.create_session("together")

        async def edit() -> None:
            async with client.lock(session, ["src/a.py"], wait=True):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                await asyncio.sleep(0.01)
                inside[0] -= 1

        async with client.lock(session, ["src/"]):
            edits = [asyncio.create_task(edit()) for _ in range(8)]
            with client_at(town) as other:
                await asyncio.to_thread(eventually, lambda: waiters(other) == 8, "all wait")
            edits.pop().cancel()
        await asyncio.gather(*edits)
        assert most == [1]
        left = await client.list_locks()
        assert (left.locks, left.waiters) == ((), ())


def test_all_checkouts_of_a_repository_lock_against_each_other(town: Town):
    identity = ("-c", "user.name=t", "-c", "user.email=t@t")
    for words in (("commit", "-q", "--allow-empty", "-m", "first"), ("worktree", "add", "-q", "../second")):
        subprocess.run(["git", *identity, *words], cwd=town.folder, check=True, capture_output=True)
    (town.folder.parent / "second" / "src").mkdir()
    (town.folder.parent / "second" / "link").symlink_to("src")
    town.coordinator()
    with client_at(town) as client:
        here, there = (client.create_session(name).session_id for name in ("here", "there"))
        second = str(town.folder.parent / "second")
        with client.lock(here, ["src/a.py"]):
            for spelling in (f"{second}/src/a.py", f"{second}/link/a.py", f"{second}/src/../src//./a.py"):
                with pytest.raises(errors.LockConflictError, match=f"by session {here}: src/a.py"):
                    client.acquire_locks(there, [spelling])
