"""The example worker in Ruby: written from the protocol alone, and held to what a worker has to keep."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT, Town, eventually

RUBY = shutil.which("ruby")
GENERATOR = shutil.which("grpc_tools_ruby_protoc")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not RUBY or not GENERATOR, reason="ruby, ruby-grpc and ruby-grpc-tools are not installed"
    ),
]


@pytest.fixture
def ruby(town: Town, tmp_path: Path) -> subprocess.Popen[bytes]:
    """A worker in Ruby on a coordinator without a keeper, both ended with the town."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    protos = sorted((ROOT / "proto/buildrunner_parallel/v1").glob("*.proto"))
    subprocess.run(
        [str(GENERATOR), "-I", ROOT / "proto", f"--ruby_out={stubs}", f"--grpc_out={stubs}", *protos],
        check=True,
    )
    town.coordinator()
    process = start(town, stubs)
    eventually(lambda: town.json("parallel", "workers")["workers"], "the worker has said hello")
    return process


def start(town: Town, stubs: Path) -> subprocess.Popen[bytes]:
    town.env |= {"BR_RUBY_STUBS": str(stubs)}
    with (town.folder / "ruby.log").open("ab") as log:
        process = subprocess.Popen(
            [str(RUBY), str(ROOT / "examples/ruby/worker.rb")], cwd=town.folder, env=town.env,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    town._started.append(process)
    return process


PLAN = """
name: ruby
tasks:
  - id: plain
    run: "echo to stdout; echo to stderr >&2; echo $BR_TASK_ID-$COLOUR > $BR_RESULT_FILE"
    env: {COLOUR: red}
  - {id: argv, argv: [printf, "%s|", a b, "$HOME"]}
  - {id: large, run: "seq 1 100000"}
  - {id: sorry, run: "echo out of paint > $BR_ERROR_FILE; exit 3"}
  - {id: missing, argv: [./gone.sh], needs: [remove]}
  - {id: remove, run: rm gone.sh}
  - {id: late, run: "trap '' TERM; while :; do sleep 0.1; done", timeout: 1s, grace: 1s}
"""


def test_it_runs_commands_and_reports_how_they_ended(town: Town, ruby: subprocess.Popen[bytes]) -> None:
    town.write("plan.yaml", PLAN)
    town.write("gone.sh", "#!/bin/sh\n").chmod(0o755)
    town.br("parallel", "start", "--plan", "plan.yaml", "-w", "0", "--wait", check=6)

    def show(task: str) -> dict[str, object]:
        shown: dict[str, object] = town.json("parallel", "show", "last", task)["task"]["attempts"][-1]
        return shown

    assert town.json("parallel", "show", "last", "plain")["task"]["status"] == "succeeded"
    assert "plain-red" in town.br("parallel", "show", "last", "plain").stdout
    assert town.br("parallel", "logs", "last", "plain").stdout == "to stdout\nto stderr\n"
    assert town.br("parallel", "logs", "last", "plain", "--stderr").stdout == "to stderr\n"
    assert town.br("parallel", "logs", "last", "argv").stdout == "a b|$HOME|"
    assert town.br("parallel", "logs", "last", "large").stdout == "".join(f"{n}\n" for n in range(1, 100_001))
    sorry = show("sorry")
    assert (sorry["outcome"], sorry["exit_code"]) == ("failed", 3)
    assert "out of paint" in str(sorry)
    assert show("missing")["outcome"] == "not_started"
    assert show("late")["outcome"] == "timed_out"


def test_a_task_survives_the_coordinator_and_a_drained_worker_leaves(
    town: Town, ruby: subprocess.Popen[bytes]
) -> None:
    town.br("parallel", "start", "ruby", "-w", "0")
    town.br(
        "parallel", "submit", "last", "--id", "long", "--",
        "sh", "-c", "echo ran >> count; while ! [ -e go ]; do sleep 0.1; done",
    )  # fmt: skip
    eventually(lambda: (town.folder / "count").exists(), "the task runs")
    coordinator = town._started[0]
    coordinator.kill()
    coordinator.wait()
    town.coordinator()
    town.write("go", "")
    town.br("parallel", "close", "last")
    town.br("parallel", "wait", "last")
    assert (town.folder / "count").read_text() == "ran\n"
    assert len(town.json("parallel", "show", "last", "long")["task"]["attempts"]) == 1
    ruby.send_signal(signal.SIGTERM)
    assert ruby.wait(60) == 0, (town.folder / "ruby.log").read_text()
    assert town.json("parallel", "workers")["workers"] == []


def test_a_cancel_stops_what_runs(town: Town, ruby: subprocess.Popen[bytes]) -> None:
    town.br("parallel", "start", "ruby", "-w", "0")
    town.br(
        "parallel", "submit", "last", "--id", "endless", "--", "sh", "-c", "touch began; sleep 600 & wait"
    )
    eventually(lambda: (town.folder / "began").exists(), "the task runs")
    town.br("parallel", "cancel", "last", "--task", "endless")
    eventually(
        lambda: town.json("parallel", "show", "last", "endless")["task"]["status"] == "cancelled",
        "it is cancelled",
    )
    assert town.tasks_processes("endless") == []
