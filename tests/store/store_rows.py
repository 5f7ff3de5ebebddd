"""Rows and stores to test with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from buildrunner_coordinator.domain.changes import (
    AttemptRow,
    Changes,
    EventRow,
    GrantRow,
    LapseRow,
    LockRequestRow,
    LockTimeRow,
    OutputRow,
    PatchRow,
    PoolRow,
    RequestRow,
    SessionRow,
    SpecRow,
    TaskRow,
    WorkerRow,
)

NOW_US = 1_790_000_000_000_000
WORKSPACE = "workspace-1"

Row = TypeVar("Row")


def filled(row_type: type[Row], **values: Any) -> Row:
    """A row with these values; every other column gets one that tells it from its neighbours."""
    kinds = get_type_hints(row_type)
    plain = {
        name: f"{name} ü"
        if kind is str
        else index
        if kind in (int, int | None)
        else name.encode() + b"\0\xff"
        for index, (name, kind) in enumerate(kinds.items(), start=1)
    }
    return row_type(**{**plain, **values})


def session(session_id: str = "s1", **values: Any) -> SessionRow:
    return filled(SessionRow, **{"session_id": session_id, "status": "running", "ordinal": 1, **values})


def spec(session_id: str, task_id: str, ordinal: int, **values: Any) -> SpecRow:
    return filled(SpecRow, session_id=session_id, task_id=task_id, ordinal=ordinal, **values)


def task(session_id: str, task_id: str, ordinal: int, **values: Any) -> TaskRow:
    named = {"session_id": session_id, "task_id": task_id, "ordinal": ordinal}
    return filled(TaskRow, **{**named, "status": "queued", "attempt_id": "", "exit_code": None, **values})


def attempt(session_id: str, task_id: str, number: int, **values: Any) -> AttemptRow:
    return filled(AttemptRow, session_id=session_id, task_id=task_id, number=number, **values)


def event(revision: int, number: int, **values: Any) -> EventRow:
    named = {"session_id": "", "task_id": "", "worker_id": "", "attempt": 0}
    return filled(EventRow, revision=revision, number=number, **{**named, **values})


def piece(session_id: str, task_id: str, offset: int, data: bytes, number: int = 1) -> OutputRow:
    return OutputRow(session_id, task_id, number, offset, 1, 0, data)


def one_of_each(session_id: str = "s1", ordinal: int = 1, revision: int = 1) -> Changes:
    """A row in every table: a session with a running task that has written something and failed once."""
    return Changes(
        revision=revision,
        sessions=[session(session_id, ordinal=ordinal)],
        specs=[spec(session_id, "t1", ordinal)],
        tasks=[task(session_id, "t1", ordinal, status="running", attempts=2, attempt_id=f"a-{session_id}")],
        attempts=[attempt(session_id, "t1", 1)],
        outputs=[piece(session_id, "t1", 0, b"hello ", 2), piece(session_id, "t1", 6, b"world\n", 2)],
        events=[event(revision, 1, session_id=session_id)],
        workers=[filled(WorkerRow, worker_id=f"w-{session_id}", ordinal=ordinal)],
        pools=[filled(PoolRow, session_id=session_id, host="h1")],
        lapses=[filled(LapseRow, attempt_id=f"l-{session_id}", session_id=session_id)],
        requests=[filled(RequestRow, client_id="c1", request_id=f"r-{session_id}")],
        patches=[PatchRow(session_id, "t1", 1, b"diff --git \0\xff")],
        grants=[filled(GrantRow, grant_id=f"g-{session_id}", session_id=session_id, root_id="holds for")],
        lock_requests=[
            filled(LockRequestRow, waiter_id=f"q-{session_id}", session_id=session_id, root_id="waits for")
        ],
        lock_times=[filled(LockTimeRow, revision=revision, number=ordinal, session_id=session_id)],
    )


def with_tasks(session_id: str, first: int, statuses: list[str]) -> Changes:
    """A session with one task a status, named and numbered in that order."""
    ordinals = range(first, first + len(statuses))
    return Changes(
        sessions=[session(session_id, ordinal=first)],
        specs=[spec(session_id, f"t{n}", n) for n in ordinals],
        tasks=[
            task(session_id, f"t{n}", n, status=status) for n, status in zip(ordinals, statuses, strict=True)
        ],
    )


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
