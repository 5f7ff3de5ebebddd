"""Programs with a worker inside whose handlers fail oddly, or cannot be found: no task waits for ever."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import Town

pytestmark = pytest.mark.e2e

ODD = """
from buildrunner_parallel import Client, EmbeddedWorker, handler

class Speechless(Exception):
    def __str__(self):
        raise RuntimeError("not even this")

@handler("undecodable")
def undecodable(context):
    context.progress(10, "reading caf\\udce9")
    raise ValueError("no caf\\udce9")

@handler("speechless")
def speechless(context):
    raise Speechless

@handler("good")
def good(context):
    return "good"

if __name__ == "__main__":
    with Client.connect() as client, EmbeddedWorker(slots=1), client.session("odd", workers=0) as session:
        for name in ("undecodable", "speechless", "good"):
            result = session.submit(handler=name).outcome(20)
            print(result.status.value, result.error or result.value)
"""

HIDDEN = """
from buildrunner_parallel import EmbeddedWorker, handler

def main():
    @handler("hidden")
    def hidden(context):
        return 1

    with EmbeddedWorker(slots=1):
        print("serves")

if __name__ == "__main__":
    main()
"""


def ran(town: Town, program: str) -> subprocess.CompletedProcess[str]:
    script = town.write("program.py", program)
    return subprocess.run(
        [sys.executable, "-W", "error", str(script)], cwd=town.folder, env=town.env, text=True,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


def test_handlers_that_raise_what_cannot_be_printed_fail_and_the_next_one_runs(town: Town) -> None:
    program = ran(town, ODD)
    assert program.returncode == 0 and not program.stderr, program.stderr
    assert program.stdout.splitlines() == [
        r"failed ValueError: no caf\udce9",
        "failed Speechless: <no text: its __str__ raised RuntimeError>",
        "succeeded good",
    ]


def test_a_handler_within_a_function_is_told_when_the_worker_starts(town: Town) -> None:
    program = ran(town, HIDDEN)
    assert program.returncode != 0 and program.stdout == ""
    assert "HandlerLoadError: cannot load handlers: no other process can find 'hidden'" in program.stderr
