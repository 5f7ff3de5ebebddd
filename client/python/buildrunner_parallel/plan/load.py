"""Loading a plan: read, validate, resolve, look at the machine; the only door to this package."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .machine import Machine
from .model import Plan
from .resolve import resolve
from .source import read_document
from .validate import validate


def load_plan(
    location: str,
    *,
    stdin: BinaryIO | None = None,
    directory: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    check_machine: bool = True,
) -> Plan:
    """The plan in the file `location` (`-`: YAML on stdin).

    `directory` is where the plan is submitted from (default: the current directory). With
    `check_machine`, programs and working directories must exist here; leave it out when the workers are
    elsewhere. Raises PlanError, with every fault found and its place, and nothing is half done.
    """
    with _collector_paused():
        document = read_document(location, stdin)
        spec, problems = validate(document.value)
        if spec is None:
            document.refuse(problems)
        plan, problems = resolve(spec, document.source)
        if plan is None:
            document.refuse(problems)
        if check_machine:
            where = Path.cwd() if directory is None else Path(directory)
            problems = Machine(where, os.environ if environ is None else environ).problems(plan)
            if problems:
                document.refuse(problems)
        return plan


@contextmanager
def _collector_paused() -> Iterator[None]:
    # Loading makes millions of objects that all stay alive; collecting in between triples the time.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
