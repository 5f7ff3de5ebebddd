"""Which step is asked for, and how it says what it did or what was wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .build import build
from .errors import StepError
from .fetch import fetch
from .index import add_to_index, verify_index
from .install import install
from .manifest import read_packages
from .places import Places
from .shards import parse_shard
from .smoke import smoke
from .suite import run_shard
from .tools import make_tools
from .unpack import unpack

_OF_A_PACKAGE = {
    "fetch": fetch,
    "unpack": unpack,
    "build": build,
    "install": install,
    "smoke": smoke,
    "index": add_to_index,
}
USAGE = f"usage: step.py tools | verify | test PACKAGE NofM | {'|'.join(_OF_A_PACKAGE)} PACKAGE"


def run_step(places: Places, arguments: Sequence[str]) -> str:
    """Runs one step and returns what it did. Raises StepError when it could not, or does not exist."""
    packages = read_packages()
    match arguments:
        case ["tools"]:
            return make_tools(places)
        case ["verify"]:
            return verify_index(places, list(packages))
        case ["test", name, shard] if name in packages:
            return run_shard(places, packages[name], parse_shard(shard))
        case [step, name] if step in _OF_A_PACKAGE and name in packages:
            return _OF_A_PACKAGE[step](places, packages[name])
    raise StepError(f"{USAGE}\nwith PACKAGE one of {', '.join(packages)}")


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, or 1 with the reason on stderr."""
    os.umask(0o022)  # the permissions of files go into a wheel
    try:
        said = run_step(Places(), arguments)
    except (StepError, OSError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        _tell("BR_ERROR_FILE", str(failure))
        return 1
    print(said)
    _tell("BR_RESULT_FILE", said)
    return 0


def _tell(variable: str, text: str) -> None:
    """Writes to the file that the task's environment names, if it does: see `br parallel show`."""
    if path := os.environ.get(variable):
        Path(path).write_text(text + "\n", encoding="utf-8")
