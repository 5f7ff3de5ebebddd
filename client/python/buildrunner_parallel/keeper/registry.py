"""Which workers this keeper's directory has: a small file, and the marks that each carries in /proc.

The file tells who has died while no keeper ran; the marks find one that was started just before a keeper
died.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from . import processes
from .plan import shape_of

WORKERS_FILE = "workers.json"
WORKER_MODULE = "buildrunner_parallel.worker"
DATA_VARIABLE = "BR_KEEPER_DATA"
MARK_VARIABLE = "BR_KEEPER_WORKER"


@dataclass(frozen=True, slots=True)
class Entry:
    """One worker process. `mark` is in its environment and its supervisor's, and in no task's;
    `ticks` tells it from a later process of the same number."""

    serial: int
    pid: int
    ticks: int
    mark: str
    session_id: str = ""
    worker_id: str = ""
    # See plan.shape_of.
    shape: str = ""


def new_mark(serial: int) -> str:
    return f"{serial}-{secrets.token_hex(6)}"


def load(data: Path) -> list[Entry]:
    """What the file says; nothing when it is missing or makes no sense."""
    try:
        document = json.loads((data / WORKERS_FILE).read_text(encoding="utf-8"))
        return [Entry(**item) for item in document["workers"]]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def save(data: Path, entries: Iterable[Entry]) -> None:
    """Replaces the file whole. Raises OSError."""
    document = {"schema_version": 1, "workers": [asdict(entry) for entry in entries]}
    write_json(data / WORKERS_FILE, document)


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Replaces `path` by the document, whole or not at all, readable by its owner. Raises OSError."""
    partial = path.with_name(f"{path.name}.new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(document))
    partial.replace(path)


def scan(data: Path) -> list[Entry]:
    """The living workers of this directory that /proc shows."""
    numbers = (path.name for path in Path("/proc").iterdir())
    found = [_entry_of(int(name), data) for name in numbers if name.isdigit()]
    return [entry for entry in found if entry is not None]


def _entry_of(process_id: int, data: Path) -> Entry | None:
    arguments = processes.command_line(process_id)
    # A child that a worker forked has its arguments, but does not lead a session.
    if WORKER_MODULE not in arguments or not processes.is_session_leader(process_id):
        return None
    variables = processes.environment(process_id)
    mark = variables.get(MARK_VARIABLE, "")
    ticks = processes.start_ticks(process_id)
    if variables.get(DATA_VARIABLE) != str(data) or ticks is None or not mark:
        return None
    number = mark.partition("-")[0]
    return Entry(
        serial=int(number) if number.isdigit() else 0,
        pid=process_id,
        ticks=ticks,
        mark=mark,
        session_id="".join(_options(arguments, "--session")[:1]),
        shape=_shape(arguments),
    )


def _shape(arguments: list[str]) -> str:
    slots = "".join(_options(arguments, "--slots")[:1])
    if not slots.isdigit():
        return ""
    return shape_of(int(slots), _options(arguments, "--label"), _options(arguments, "--handlers"))


def _options(arguments: list[str], name: str) -> list[str]:
    """The values that follow `name`, in order."""
    return [value for option, value in pairwise(arguments) if option == name]
