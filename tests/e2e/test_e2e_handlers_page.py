"""Every example of docs/handlers.md, and the program in examples/handlers, does what the page says."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from buildrunner_parallel.specs import Payload, TaskSpec

from .conftest import ROOT, Town, eventually

pytestmark = pytest.mark.e2e

PAGE = ROOT / "docs" / "handlers.md"
EXAMPLE = ROOT / "examples" / "handlers" / "checksums.py"


def block(mark: str) -> str:
    """The one Python example of the page that has `mark` in it."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [text for text in blocks if mark in text]
    return str(found)


def test_the_page_has_no_example_that_is_not_tried_here() -> None:
    marks = ('"thumbnail")', '"cat.png"', '"fetch"', '"crunch"', '"double"', '"square")', '"serve"')
    assert PAGE.read_text().count("```python") == len({block(mark) for mark in marks}) == len(marks)


def run_program(town: Town, path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(path), *arguments], cwd=town.folder, env=town.env, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def test_the_handlers_of_the_page_run_in_a_worker_that_names_their_modules(town: Town) -> None:
    town.coordinator()
    town.write("thumbnails.py", block('"thumbnail")'))
    modules = [
        str(town.write("fetching.py", block('"fetch"'))),
        str(town.write("crunching.py", block('"crunch"'))),
    ]
    town.worker("--handlers", "thumbnails", "--handlers", ",".join(modules))
    client_program = run_program(town, town.write("client.py", block('"cat.png"')))
    output, errors = client_program.communicate(timeout=60)
    assert client_program.returncode == 0, output + errors
    crunch = json.dumps({"steps": 1_000_000, "scratch": str(town.folder / "scratch")})
    with town.client() as client:
        (cats,) = client.list_sessions()
        (cat,) = client.list_tasks(cats.session_id)
        result = client.get_task(cats.session_id, cat.task_id).attempts[-1].result
        assert result is not None
        assert json.loads(result.data) == {"source": "cat.png", "width": 64}
        tasks = [TaskSpec(task_id="fetch", handler="fetch"),
                 TaskSpec(task_id="crunch", handler="crunch", payload=Payload(crunch.encode()))]  # fmt: skip
        session, _ = client.submit_plan(tasks, create={"name": "page"})
        eventually((town.folder / "scratch").exists, "it crunches")
        client.cancel_task(session.session_id, "crunch")
        client.wait_session(session.session_id, timeout_s=60)
        ended = {one.task_id: str(one.status) for one in client.list_tasks(session.session_id)}
    assert ended == {"fetch": "succeeded", "crunch": "cancelled"}
    assert not (town.folder / "scratch").exists(), "it tidied up"


def test_a_worker_of_the_program_bears_modules_named_like_the_standard_librarys(town: Town) -> None:
    names = ("select", "logging", "subprocess", "grpc", "marshal", "signal")
    traps = [town.write(f"{name}.py", "raise RuntimeError('this is not yours')\n") for name in names]
    town.write("mine.py", block('"thumbnail")'))
    program = [sys.executable, "-P", "-m", "buildrunner_parallel.cli"]
    with (town.folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [*program, "parallel", "worker", "--handlers", "mine"],
            cwd=town.folder, env=town.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    eventually(lambda: town.info_file() or worker.poll() is not None, "the coordinator is up")
    with town.client() as client:
        eventually(lambda: client.list_workers() or worker.poll() is not None, "the worker serves")
        assert worker.poll() is None, (town.folder / "worker.log").read_text()
        assert "thumbnail" in client.list_workers()[0].kinds.handlers
    worker.terminate()
    assert worker.wait(60) == 0
    for trap in traps:
        trap.unlink()


def test_the_example_of_a_test_passes(town: Town) -> None:
    program = run_program(town, town.write("doubling.py", block('"double"') + "\n\ntest_double()\n"))
    _, errors = program.communicate(timeout=60)
    assert program.returncode == 0, errors


def test_the_program_with_a_worker_inside_finishes_its_squares(town: Town) -> None:
    program = run_program(town, town.write("squares.py", block('"square")')))
    output, errors = program.communicate(timeout=60)
    assert (program.returncode, output) == (0, "[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]\n"), errors


def test_the_program_that_makes_sigterm_an_exception_ends_in_order(town: Town) -> None:
    town.coordinator()
    program = run_program(town, town.write("serving.py", block('"serve"')))
    with town.client() as client:
        # A worker is listed before it knows that it was taken; one that leaves just then says no goodbye.
        served, _ = client.submit_plan([TaskSpec(handler="serve")], create={"name": "once"})
        client.wait_session(served.session_id, timeout_s=30)
        program.send_signal(signal.SIGTERM)
        _, errors = program.communicate(timeout=60)
        assert program.returncode == 0, errors
        assert client.list_workers() == []


def test_the_example_program_prints_the_checksums_of_a_folder(town: Town) -> None:
    for name in ("one", "deep/two", "blank name"):
        town.write(f"files/{name}", name * 1000)
    program = run_program(town, EXAMPLE, "files", "--slots", "2")
    output, errors = program.communicate(timeout=60)
    assert program.returncode == 0, errors
    expected = [
        f"{hashlib.sha256((name * 1000).encode()).hexdigest()}  {name}"
        for name in ("blank name", "deep/two", "one")
    ]
    assert output.splitlines() == expected
