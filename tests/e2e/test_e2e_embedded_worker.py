"""Programs with a worker inside: they end, are killed, hog their interpreter, and nothing is left or lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from buildrunner_parallel.client import Client
from buildrunner_parallel.specs import Payload, TaskSpec
from buildrunner_parallel.worker import reaper

from .conftest import Town, eventually

pytestmark = pytest.mark.e2e

SHORT = ("--heartbeat-interval", "500ms", "--lease", "3s", "--lock-delay", "1s")

HANDLERS = """
import asyncio, os, sys, threading, time
from pathlib import Path
from buildrunner_parallel.worker import EmbeddedWorker, HandlerContext, handler

@handler("add")
def add(context: HandlerContext, left: int, right: int = 10) -> dict[str, object]:
    return {"sum": left + right, "main": __name__, "home": os.environ.get("OF_THE_PROGRAM", "")}

@handler("wait")
def wait(context: HandlerContext, seconds: float) -> str:
    with open("begun", "a") as file:
        file.write(f"{context.attempt} {os.getpid()}\\n")
    time.sleep(seconds)
    return f"waited in attempt {context.attempt}"

@handler("greet")
async def greet(context: HandlerContext) -> str:
    await asyncio.sleep(0.01)
    return "hello " + context.text()
"""


def program(town: Town, main: str, handlers: str = HANDLERS) -> subprocess.Popen[str]:
    """A program of these handlers with `main` below its guard; its output is a pipe."""
    body = "\n".join("    " + line for line in main.strip().splitlines())
    script = town.write("program.py", f'{handlers}\nif __name__ == "__main__":\n{body}\n')
    return subprocess.Popen(
        [sys.executable, str(script)], cwd=town.folder, env=town.env | {"OF_THE_PROGRAM": "yes"}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def finished(process: subprocess.Popen[str], code: int = 0) -> str:
    try:
        output, _ = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"the program does not end: {output}") from None
    assert process.returncode == code, output
    return output


def task(town: Town, name: str, text: str = "", task_id: str = "task") -> TaskSpec:
    return TaskSpec(task_id=task_id, handler=name, payload=Payload(text.encode()), cwd=str(town.folder))


def submit(client: Client, *tasks: TaskSpec) -> str:
    session, _ = client.submit_plan(tasks, create={"name": "of a program"})
    return session.session_id


def serving_id(client: Client) -> str:
    found = eventually(
        lambda: [one for one in client.list_workers() if str(one.status) != "offline"], "a worker serves"
    )
    return str(found[0].worker_id)


def worker_process(town: Town) -> psutil.Process:
    return next(one for one in town.processes() if "worker.embedded_process" in _command_line(one.pid))


def left_of(town: Town, worker_id: str) -> list[str]:
    """Command lines of all that is there but the coordinator."""
    pids = {one.pid for one in town.processes()} | set(reaper.find_marked(f"BR_WORKER_ID={worker_id}"))
    lines = [_command_line(pid) for pid in pids]
    return [line for line in lines if line and "buildrunner_coordinator" not in line]


def _command_line(pid: int) -> str:
    """Empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def nothing_is_left(town: Town, worker_id: str, within_s: float = 60) -> bool:
    deadline_s = time.monotonic() + within_s
    while left := left_of(town, worker_id):
        assert time.monotonic() < deadline_s, left
        time.sleep(0.05)
    return True


def test_a_program_serves_the_handlers_of_its_own_main_file_and_leaves_nothing(town: Town) -> None:
    town.coordinator()
    process = program(
        town,
        """
with EmbeddedWorker(slots=2, pass_env=["OF_*"], labels=["mine"], metadata={"of": "program"}) as worker:
    print(worker.worker_id, worker.is_running, flush=True)
    while not Path("enough").exists():
        time.sleep(0.02)
print(worker.worker_id == "", worker.is_running)
""",
    )
    with town.client() as client:
        session_id = submit(
            client,
            task(town, "add", '{"left": 1}', "a"),
            task(town, "add", '{"left": 1, "right": 2}', "b"),
            task(town, "add", '{"left": 1, "wrong": 2}', "c"),
            task(town, "greet", "you", "d"),
        )
        assert str(client.wait_session(session_id, timeout_s=60).status) == "failed"
        tasks = {name: client.get_task(session_id, name) for name in "abcd"}
        worker = client.get_worker(serving_id(client))
        town.write("enough", "")
        printed = finished(process).split("\n")
        assert client.list_workers() == []
    results = {name: one.attempts[-1].result.data for name, one in tasks.items() if one.attempts[-1].result}
    assert results["a"] == b'{"sum": 11, "main": "__mp_main__", "home": "yes"}'
    assert results["d"] == b"hello you"
    error = tasks["c"].attempts[-1].error
    assert error == "TypeError: add() got an unexpected keyword argument 'wrong'"
    assert (worker.slots, worker.labels, worker.metadata) == (2, ("mine",), {"of": "program"})
    assert printed[:2] == [f"{worker.worker_id} True", "True False"]
    assert nothing_is_left(town, worker.worker_id)


def test_a_program_that_keeps_its_interpreter_busy_keeps_its_lease(town: Town) -> None:
    town.coordinator(*SHORT)
    process = program(
        town,
        """
ticks = []
def tick():
    while True:
        ticks.append(time.monotonic())
        time.sleep(0.05)
with EmbeddedWorker(slots=1) as worker:
    while not Path("begun").exists():
        time.sleep(0.02)
    threading.Thread(target=tick, daemon=True).start()
    while not ticks:
        time.sleep(0.01)
    sys.setswitchinterval(600)  # no other thread of this program runs while this one does
    until = time.monotonic() + 8
    while time.monotonic() < until:
        pass
    sys.setswitchinterval(0.005)
    time.sleep(0.2)
print("longest", max(after - before for before, after in zip(ticks, ticks[1:])))
""",
    )
    with town.client() as client:
        session_id = submit(client, task(town, "wait", '{"seconds": 8}'))
        assert str(client.wait_session(session_id, timeout_s=60).status) == "completed"
        done = client.get_task(session_id, "task")
    longest_s = float(finished(process).split()[-1])
    assert longest_s > 3, "the interpreter was never held for as long as the lease, so this shows nothing"
    assert [str(one.outcome) for one in done.attempts] == ["succeeded"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_program_leaves_no_process_and_its_task_runs_elsewhere_at_once(
    town: Town, number: signal.Signals
) -> None:
    town.coordinator()
    # The fork holds every descriptor of the program open, and outlives it.
    process = program(
        town,
        """
worker = EmbeddedWorker(slots=1, commands=True).start()
if os.fork() == 0:
    Path("forked").write_text(str(os.getpid()))
    time.sleep(600)
time.sleep(600)
""",
    )
    with town.client() as client:
        session_id = submit(
            client, task(town, "wait", '{"seconds": 600}'), TaskSpec(task_id="shell", shell_line="sleep 600")
        )
        forked = int(eventually(lambda: _read(town, "forked"), "it has forked"))
        begun = eventually(lambda: _read(town, "begun"), "the task runs").split()
        worker_id = serving_id(client)
        process.send_signal(number)
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()
        os.kill(forked, signal.SIGKILL)
        assert nothing_is_left(town, worker_id)
        assert not psutil.pid_exists(int(begun[1]))
        first = client.get_task(session_id, "task")
        assert str(first.summary.status) == "queued"
        assert [str(one.outcome) for one in first.attempts] == ["revoked"]
        client.cancel_session(session_id)


def _read(town: Town, name: str) -> str:
    path = town.folder / name
    return path.read_text() if path.exists() else ""


def test_a_program_that_handles_sigterm_lets_its_tasks_finish(town: Town) -> None:
    town.coordinator()
    process = program(
        town,
        """
import signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
EmbeddedWorker(slots=1).run_forever()
""",
    )
    with town.client() as client:
        session_id = submit(
            client,
            task(town, "wait", '{"seconds": 1.5}', "first"),
            task(town, "wait", '{"seconds": 600}', "next"),
        )
        eventually(lambda: _read(town, "begun"), "the first task runs")
        worker_id = serving_id(client)
        process.send_signal(signal.SIGTERM)
        finished(process, 7)
        first, second = (client.get_task(session_id, one) for one in ("first", "next"))
        client.cancel_session(session_id)
    assert str(first.summary.status) == "succeeded"
    assert str(second.summary.status) == "queued"
    assert nothing_is_left(town, worker_id)


def test_a_worker_process_that_dies_is_replaced(town: Town) -> None:
    town.coordinator(*SHORT)
    process = program(
        town,
        """
with EmbeddedWorker(slots=1):
    Path("serving").touch()
    while not Path("enough").exists():
        time.sleep(0.02)
""",
    )
    with town.client() as client:
        first_id = serving_id(client)
        # The coordinator knows it first; one that dies before its program knows it too has never begun.
        eventually(lambda: (town.folder / "serving").exists(), "the program knows that it serves")
        worker_process(town).kill()
        session_id = submit(client, task(town, "greet", "again"))
        assert str(client.wait_session(session_id, timeout_s=60).status) == "completed"
        done = client.get_task(session_id, "task")
        town.write("enough", "")
        finished(process)
    assert done.attempts[-1].worker_id != first_id
    assert nothing_is_left(town, done.attempts[-1].worker_id)


def test_a_drained_worker_ends_and_run_forever_returns(town: Town) -> None:
    town.coordinator()
    process = program(town, "EmbeddedWorker(slots=1).run_forever()\nprint('over')")
    with town.client() as client:
        client.drain_worker(serving_id(client))
        assert "over" in finished(process)


def test_a_program_of_coroutines_drains_without_blocking_its_loop(town: Town) -> None:
    town.coordinator()
    process = program(
        town,
        """
async def main():
    turns = 0
    async def turn():
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1
    turning = asyncio.create_task(turn())
    async with EmbeddedWorker(slots=1):
        while not Path("begun").exists():
            await asyncio.sleep(0.02)
        turns = 0
    print("turns", turns)
asyncio.run(main())
""",
    )
    with town.client() as client:
        session_id = submit(client, task(town, "wait", '{"seconds": 1}'))
        turns = int(finished(process).split()[-1])
        assert str(client.get_task(session_id, "task").summary.status) == "succeeded"
    assert turns > 20


UNGUARDED = HANDLERS + "\nEmbeddedWorker(slots=1).start()\n"
BROKEN = HANDLERS + "\nif __name__ != '__main__':\n    int('no number')\n"


@pytest.mark.parametrize(
    ("handlers", "what"),
    [
        (UNGUARDED, 'put that below if __name__ == "__main__":'),
        (BROKEN, "ValueError: invalid literal for int() with base 10: 'no number' (program.py, line"),
        ("from buildrunner_parallel.worker import EmbeddedWorker", "there is no handler to serve"),
    ],
)
def test_what_keeps_a_worker_from_starting_is_told_in_one_line(town: Town, handlers: str, what: str) -> None:
    town.coordinator()
    process = program(town, "EmbeddedWorker(slots=1).start()", handlers)
    last_line = finished(process, 1).strip().splitlines()[-1]
    assert last_line.startswith("buildrunner_parallel.worker.handlers.HandlerLoadError: ")
    assert what in last_line
    assert nothing_is_left(town, "none")


def test_without_a_coordinator_the_workspaces_own_is_started(town: Town) -> None:
    process = program(
        town,
        """
from buildrunner_parallel import Client, Payload, TaskSpec
with EmbeddedWorker(slots=1), Client.connect() as client:
    task = TaskSpec(handler="greet", payload=Payload(b"myself"))
    session, _ = client.submit_plan([task], create={"name": "own"})
    print(client.wait_session(session.session_id, timeout_s=60).status)
""",
    )
    assert finished(process).split()[-1] == "completed"


def test_arguments_that_make_no_sense_are_refused() -> None:
    from buildrunner_parallel.worker import EmbeddedWorker

    wrong: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"slots": -1}, ValueError),
        ({"modules": "one"}, TypeError),
        ({"labels": "one"}, TypeError),
    ]
    for arguments, error in wrong:
        with pytest.raises(error):
            EmbeddedWorker(**arguments)
    worker = EmbeddedWorker()
    worker.stop()
    assert (worker.is_running, worker.worker_id, worker.join(0)) == (False, "", True)
