"""What a run of the tests leaves out of the conformance kit, and why: for the end of the run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .choosing import VARIABLE, chosen_programs
from .programs import CLIENTS, find_programs

_TOOLCHAIN_S = 60


def left_out(clients: Path = CLIENTS) -> list[str]:
    """One line for each language that was not tried; runs the `toolchain` target of those."""
    known = find_programs(clients)
    chosen = {one.language for one in chosen_programs(clients)}
    lines = []
    for one in known:
        if one.language not in chosen:
            lines.append(f"{one.language}: left out: not among {VARIABLE}")
        elif one.missing:
            lines.append(f"{one.language}: left out: {missing_toolchain(one.folder) or one.missing}")
    return lines


def missing_toolchain(folder: Path) -> str:
    """The line in which a language's Makefile says what is missing; empty when nothing is."""
    if not (folder / "Makefile").exists() or shutil.which("make") is None:
        return ""
    done = subprocess.run(
        ["make", "-s", "-C", str(folder), "toolchain"],
        capture_output=True, text=True, check=False, timeout=_TOOLCHAIN_S,
    )  # fmt: skip
    words = (done.stdout + done.stderr).strip().splitlines()
    # The last line is make's own, which only says that it failed.
    told = [line for line in words if not line.startswith("make")]
    return told[0] if done.returncode and told else ""
