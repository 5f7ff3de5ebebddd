"""Turning this process into another module's: the coordinator, a worker. Signals then reach it directly."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn


def become_module(module: str, arguments: Sequence[str]) -> NoReturn:
    """Replaces this program by `python -m module arguments`, whatever the working directory holds; never
    returns."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-P", "-m", module, *arguments], _environment())


def _environment() -> dict[str, str]:
    """Ours, with the import root that this package came from: it may not be installed where we run."""
    root = str(Path(__file__).resolve().parents[2])
    present = os.environ.get("PYTHONPATH", "")
    known = present.split(os.pathsep) if present else []
    if root in known or "site-packages" in root:
        return dict(os.environ)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*known, root])}
