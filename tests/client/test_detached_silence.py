"""A program that has started something to outlive it ends without a word about it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from pathlib import Path
from buildrunner_parallel.detached import start_detached

start_detached([sys.executable, "-c", "import time; time.sleep(1)"], Path(sys.argv[1]))
"""


def test_a_process_that_outlives_its_starter_causes_no_warning(tmp_path: Path) -> None:
    program = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path / "log")],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (program.returncode, program.stderr) == (0, "")
