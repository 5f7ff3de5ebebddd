"""No command pays for what it does not use: what is loaded is looked at, never how long it takes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PARTS = ("keeper", "worker", "dashboard", "guard", "plan.schema", "plan.load", "aio")
# What no command loads that only asks the coordinator something and prints plain lines.
SELDOM = {
    "pydantic", "yaml", "rich", "psutil", "grpc_status", "sqlite3", "importlib.metadata",
    "buildrunner_coordinator", *(f"buildrunner_parallel.{part}" for part in PARTS),
}  # fmt: skip
REMOTE = {"grpc", "google.protobuf", "asyncio", "buildrunner_parallel.client", "buildrunner_parallel.records"}
CLI = "buildrunner_parallel.cli."
PROBE = """
import atexit, os, sys
os._exit = sys.exit
atexit.register(lambda: print("LOADED", *sys.modules, file=sys.stderr))
sys.argv[0] = "br"
from buildrunner_parallel.cli.app import main
main()
"""


def loaded(folder, *arguments, **environment):
    """The modules that a run of the program imports."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BR_")}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        env={**kept, "PYTHONPATH": ":".join(sys.path), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    mark, *names = done.stderr.splitlines()[-1].split()
    assert mark == "LOADED", done.stderr
    return set(names)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["parallel", "--help"],
        ["parallel", "start", "--help"],
        ["parallel", "guard", "--help"],
        ["parallel", "completion", "bash"],
    ],
)
def test_help_and_what_asks_nobody_loads_neither_grpc_nor_pydantic_nor_rich(arguments, tmp_path):
    assert loaded(tmp_path, *arguments) & (SELDOM - {"importlib.metadata"} | REMOTE) == set()


@pytest.mark.parametrize(
    "words", [["par"], ["parallel", "st"], ["parallel", "start", "--"], ["parallel", "list", "--status", "r"]]
)
def test_completing_names_and_options_loads_none_of_it_either(words, tmp_path):
    assert loaded(tmp_path, *words, _BR_COMPLETE="zsh") & (SELDOM | REMOTE) == set()


def test_completing_an_id_loads_grpc_and_none_of_the_client(tmp_path):
    nobody = f"unix:{tmp_path}/nobody"
    found = loaded(tmp_path, "parallel", "status", "", _BR_COMPLETE="zsh", BR_COORDINATOR=nobody)
    assert "grpc" in found
    assert found & {*SELDOM, "buildrunner_parallel.client", "buildrunner_parallel.records"} == set()


@pytest.mark.parametrize(
    ("arguments", "modules"),
    [
        (["status"], {"sessions", "status"}),
        (["list", "--status", "running", "-l", "5"], {"sessions", "status"}),
        (["wait", "last", "--timeout", "1h30m"], {"waiting"}),
        (["locks"], {"locks"}),
        (["lock", "last", "src", "--shared"], {"lock"}),
        (["unlock", "last"], {"unlock"}),
        (["submit", "last", "--retries", "2", "--timeout", "5m", "--", "true"], {"submit"}),
        (["tasks", "--state", "failed"], {"tasks"}),
    ],
)
def test_a_command_loads_its_own_module_and_what_it_needs(arguments, modules, tmp_path):
    found = loaded(tmp_path, "parallel", *arguments)
    assert "buildrunner_parallel.client" in found
    assert found & SELDOM == set()
    assert {f"{CLI}{module}" for module in modules} <= found
    assert {f"{CLI}start", f"{CLI}logs", f"{CLI}guard", f"{CLI}schema"} & found == set()


def test_the_package_exports_its_app_for_other_programs():
    import typer

    import buildrunner_parallel
    from buildrunner_parallel.cli.app import parallel_app

    assert buildrunner_parallel.parallel_app is parallel_app
    other = typer.Typer()
    other.add_typer(parallel_app, name="parallel")
    names = {command.name for command in parallel_app.registered_commands}
    assert {"start", "status", "list", "submit", "wait", "lock", "serve", "worker", "backup"} <= names
