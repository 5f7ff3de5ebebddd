"""Blocks of a program against a real coordinator and real workers: results, handlers, kills, many items."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from buildrunner_parallel import AsyncClient, TaskFailedError, TaskSpec
from tests.e2e.conftest import Town, eventually

pytestmark = pytest.mark.e2e

HANDLERS = """
from buildrunner_parallel.worker import HandlerContext, handler


@handler("double")
def double(context: HandlerContext) -> dict:
    number = context.json()
    if number < 0:
        raise ValueError(f"{number} is negative")
    return {"twice": 2 * number}
"""


def die_and_come_back(town: Town) -> None:
    """The coordinator is killed, and there is another once this returns."""
    pid = town.coordinator_pid()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: town.coordinator_pid() != pid, "it is gone")
    town.coordinator()


def test_commands_and_failures_end_as_the_documentation_says(town: Town):
    town.coordinator()
    town.worker("--slots", "4")
    with town.client() as client, client.session("mixed", workers=0) as session:
        good = session.submit(["sh", "-c", "echo '[1, 2]' > $BR_RESULT_FILE"])
        bad = session.submit(["sh", "-c", "echo no paper >&2; exit 3"])
        again = session.submit(["sh", "-c", "test $BR_ATTEMPT = 2"], retries=1, backoff_s=0.01)
        skipped = session.submit(["true"], needs=[bad.task_id])
        assert good.result(60).exit_code == 0
        assert good.result().payload is not None
        with pytest.raises(TaskFailedError, match="exit code 3: no paper"):
            bad.result(60)
        attempt = again.result(60).attempt
        assert attempt is not None and attempt.number == 2
        assert skipped.outcome(60).status == "skipped"
        assert len(list(session.as_completed(timeout_s=60))) == 4
    assert session.record.status == "failed"
    assert (session.record.counts.succeeded, session.record.counts.failed) == (2, 1)


def test_a_map_over_a_handler_returns_its_values_and_raises_its_errors(town: Town):
    town.write("doubles.py", HANDLERS)
    town.env["PYTHONPATH"] += f":{town.folder}"
    town.coordinator()
    town.worker("--slots", "2", "--handlers", "doubles")
    with town.client() as client:
        with client.session("doubles", workers=0) as session:
            assert [one.value["twice"] for one in session.map("double", range(50))] == list(range(0, 100, 2))
        with pytest.raises(TaskFailedError, match="-1 is negative"), client.session("w", workers=0) as second:
            list(second.map("double", [1, -1]))
    assert second.record.status in ("cancelled", "failed")


def test_an_exception_ends_what_runs(town: Town):
    town.coordinator()
    town.worker()
    with (
        town.client() as client,
        pytest.raises(KeyboardInterrupt),
        client.session("stopped", workers=0) as session,
    ):
        session.submit(["sleep", "300"], task_id="sleeper")
        eventually(lambda: town.tasks_processes("sleeper"), "it runs")
        raise KeyboardInterrupt
    assert session.record.status == "cancelled"
    assert town.tasks_processes("sleeper") == []


def test_a_coordinator_that_is_killed_in_the_middle_loses_and_repeats_no_result(town: Town):
    town.coordinator()
    town.worker("--slots", "2")
    seen = []
    with town.client() as client, client.session("survivor", workers=0) as session:
        slow = session.submit(["sleep", "2"])
        killer = threading.Thread(target=die_and_come_back, args=(town,))
        for result in session.map("br.noop", range(3000)):
            seen.append(result.item)
            if len(seen) == 1000:
                killer.start()
        killer.join()
        attempt = slow.result(60).attempt
        assert attempt is not None and attempt.number == 1
    assert seen == list(range(3000))
    assert session.record.status == "completed"
    assert session.record.counts.succeeded == 3001


async def test_so_it_is_with_asyncio(town: Town):
    town.coordinator()
    town.worker("--slots", "2")
    seen = []
    address, token_file = town.info_file()["address"], town.state / "token"
    async with AsyncClient.connect(address, token_file=token_file) as client:
        async with client.session("survivor", workers=0) as session:
            slow = await session.submit(["sleep", "2"])
            killer = threading.Thread(target=die_and_come_back, args=(town,))
            async for result in session.map("br.noop", range(2000)):
                seen.append(result.item)
                if len(seen) == 500:
                    killer.start()
            assert (await slow).ok
        killer.join()
        assert session.record.counts.succeeded == 2001
        assert [task.task_id async for task in client.iter_tasks(session.session_id, limit=1)] == [
            slow.task_id
        ]
        assert len([one async for one in client.iter_attempts(session.session_id)]) >= 2001
        output = await client.submit_plan([TaskSpec(argv=["echo", "hello"])], create={"name": "plan"})
        await client.wait_session(output[0].session_id, timeout_s=60)
        chunks = [one.chunk.data async for one in client.read_output(output[0].session_id, follow=True)]
        assert b"".join(chunks) == b"hello\n"
    assert seen == list(range(2000))


@pytest.mark.slow
def test_twenty_thousand_items_of_a_generator_are_never_here_at_once(town: Town):
    town.coordinator()
    town.worker("--slots", "2")
    made = taken = 0
    most = 0

    def items():
        nonlocal made
        while made < 20_000:
            made += 1
            yield made

    with town.client() as client, client.session("many", workers=0) as session:
        for _ in session.map("br.noop", items(), window=500, in_order=False):
            taken += 1
            most = max(most, made - taken)
    assert (made, taken) == (20_000, 20_000)
    assert most <= 500
    assert session.record.counts.succeeded == 20_000
