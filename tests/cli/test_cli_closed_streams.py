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
