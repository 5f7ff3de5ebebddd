"""Help, version and completion must not pay for gRPC."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROBE = """
import sys
sys.argv = ["br", *{arguments!r}]
from buildrunner_parallel.cli.app import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {{"grpc", "google.protobuf", "yaml", "buildrunner_coordinator"}} & set(sys.modules)
print("HEAVY", heavy, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--help"], {}),
        (["--version"], {}),
        (["parallel", "--help"], {}),
        (["parallel", "start", "--help"], {}),
        (["parallel", "--version"], {}),
        ([], {"_BR_COMPLETE": "complete_bash", "COMP_WORDS": "br parallel st", "COMP_CWORD": "2"}),
    ],
)
def test_it_loads_neither_grpc_nor_protobuf(arguments, environment):
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(arguments=arguments)],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == "HEAVY set()", done.stderr
    if environment:
        assert {"start", "status", "stop"} <= set(done.stdout.split())


def test_the_package_exports_its_app_for_other_programs():
    import typer

    import buildrunner_parallel
    from buildrunner_parallel.cli.app import parallel_app

    assert buildrunner_parallel.parallel_app is parallel_app
    other = typer.Typer()
    other.add_typer(parallel_app, name="parallel")
    names = {command.name for command in parallel_app.registered_commands}
    assert {
        "start",
        "status",
        "list",
        "tasks",
        "show",
        "logs",
        "wait",
        "submit",
        "close",
        "pause",
        "resume",
        "cancel",
        "workers",
        "summary",
        "info",
        "serve",
        "stop",
        "worker",
        "backup",
    } <= names
