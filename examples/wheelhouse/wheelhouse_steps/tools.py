"""The first step: an output folder without leftovers, and the environment that all other steps work with."""

from __future__ import annotations

import sys

from .errors import StepError
from .files import clean_environment, fresh_folder, read_record, remove, run, sha256_of, write_record
from .pip import run_pip
from .places import EXAMPLE, Places

# Downloads and the tools are verified before they are used again, everything else is made anew.
KEPT = ("sources", "tools")


def clear_leftovers(places: Places) -> None:
    """Removes what an earlier run made, but not what it downloaded."""
    places.out.mkdir(parents=True, exist_ok=True)
    for path in places.out.iterdir():
        if path.name not in KEPT:
            remove(path)


def make_tools(places: Places) -> str:
    """Makes the tools environment, or takes the present one if it is what would be made."""
    clear_leftovers(places)
    stamp = places.tools / "stamp.json"
    wanted = {
        "python": sys.version,
        "base": sys.base_prefix,
        "requirements": sha256_of(EXAMPLE / "tools.txt"),
        "folder": str(places.tools),
    }
    if stamp.exists() and read_record(stamp) == wanted and _works(places):
        return f"the tools are there already: {places.tools}"
    fresh_folder(places.tools)
    make = (sys.executable, "-m", "venv", places.tools)
    run(make, "making a virtual environment (python3 -m venv)", clean_environment(places.temporary))
    hashed = ("--require-hashes", "--only-binary", ":all:", "--requirement", EXAMPLE / "tools.txt")
    run_pip(places, "installing the tools", "install", *hashed)
    write_record(stamp, wanted)
    return f"made the tools: {places.tools}"


def _works(places: Places) -> bool:
    check = "import flit_core, hatchling, pip, pytest, setuptools"
    try:
        run([places.tools_python, "-c", check], "trying the tools", clean_environment(places.temporary))
    except (OSError, StepError):
        return False
    return True
