"""Which languages a run of the tests tries: all, or those of TEST_CLIENTS (folders below client/)."""

from __future__ import annotations

import os

from .programs import Programs, find_programs

VARIABLE = "TEST_CLIENTS"


def chosen_programs() -> list[Programs]:
    """Those of this checkout that are asked for, built or not."""
    wanted = os.environ.get(VARIABLE, "").replace(",", " ").split()
    return [one for one in find_programs() if not wanted or one.folder.name in wanted]
