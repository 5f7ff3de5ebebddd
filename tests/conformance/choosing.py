"""Which languages a run of the tests tries: all, or those of TEST_CLIENTS (folders below client/)."""

from __future__ import annotations

import os
from pathlib import Path

from .programs import CLIENTS, Programs, find_programs

VARIABLE = "TEST_CLIENTS"


def chosen_programs(clients: Path = CLIENTS) -> list[Programs]:
    """Those below `clients` that are asked for, built or not."""
    wanted = os.environ.get(VARIABLE, "").replace(",", " ").split()
    return [one for one in find_programs(clients) if not wanted or one.folder.name in wanted]
