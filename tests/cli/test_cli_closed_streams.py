"""The program with streams that its caller has closed, as by `>&-`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import buildrunner_parallel

ROOT = str(Path(buildrunner_parallel.__file__).parents[1])


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_was_an_internal_error(tmp_path, closed):
    line = f'exec "{sys.executable}" -m buildrunner_parallel.cli parallel list {closed}'
    environment = {**os.environ, "PYTHONPATH": ROOT, "BR_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "command", ["list", "list --json", "--help", "start --help", "--version", "schema plan"]
)
def test_a_full_disk_was_a_traceback_or_did_not_say_what_could_not_be_written(tmp_path, command):
    group = "" if command == "--version" else "parallel"
    line = f'exec "{sys.executable}" -m buildrunner_parallel.cli {group} {command} >/dev/full'
    environment = {**os.environ, "PYTHONPATH": ROOT, "BR_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    told = "The output cannot be written: No space left on device.\n"
    assert (done.returncode, done.stderr) == (1, told)
