"""One step of the wheelhouse: `python3 step.py fetch idna`. Started by the tasks of plan.yaml.

Finds a Python that is new enough and hands over to `wheelhouse_steps`. What stands here must work in the
older Pythons that `python3` may mean, so it holds nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent.parent


def is_new_enough(python: str) -> bool:
    """Whether `python` starts, and has what came with 3.11."""
    try:
        done = subprocess.run([python, "-c", "import tomllib, venv"], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def run_in_a_newer_python() -> None:
    """Goes on in the first one that is new enough: the environment's, the project's, one on PATH."""
    active = os.environ.get("VIRTUAL_ENV")
    candidates = [str(Path(active, "bin", "python"))] if active else []
    candidates.append(str(ROOT / ".venv" / "bin" / "python"))
    candidates += [f"python3.{minor}" for minor in range(11, 20)]
    for python in candidates:
        if is_new_enough(python):
            os.execvp(python, [python, *sys.argv])
    sys.exit(f"error: the wheelhouse needs Python 3.11 or newer, and python3 is {sys.version.split()[0]}")


if __name__ == "__main__":
    if sys.version_info < OLDEST:
        run_in_a_newer_python()
    sys.dont_write_bytecode = True
    from wheelhouse_steps.command import main

    sys.exit(main(sys.argv[1:]))
