"""The contract of every store: a durable set of rows, written by one epoch at a time.

No store has rules of its own: what may change is the core's business. One behaviour suite
(tests/store) runs against every implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from buildrunner_coordinator.domain.changes import (
    AttemptRow,
    Changes,
    EventRow,
    LockTimeRow,
    OutputRow,
    PatchRow,
    Snapshot,
    SpecRow,
    TaskRow,
)
from buildrunner_coordinator.domain.questions import AttemptQuery, EventQuery, LockTimeQuery


class StoreError(Exception):
    """The store cannot be used. The message says what was found and what to do; the process must end."""


class NewerSchemaError(StoreError):
    """The database was written by a newer version of the program."""


class DamagedRowError(StoreError):
    """A row does not match its checksum."""


class CommitError(StoreError):
    """The commit failed, or nobody knows whether it did. Nothing of it may be told to anyone."""


class FencedError(CommitError):
    """Another epoch has taken the store over."""


class TaskPage(NamedTuple):
    """Tasks in order of submission, each with its fixed and its changing part."""

    rows: list[tuple[SpecRow, TaskRow]]
    next_ordinal: int
    """Give it as `after` for the next page; 0 on the last."""


class AttemptPage(NamedTuple):
    """Ended attempts in order of (ended revision, task number, number)."""

    rows: list[tuple[AttemptRow, bytes]]
    """Each with what its task was told to run, empty unless asked for."""
    has_more: bool


class Store(Protocol):
    """Rows of sessions, tasks, attempts, output, events, workers, pools, locks and request ids.

    All calls are made by one engine, one at a time; reads see the last commit. Every method raises
    `StoreError` when the store cannot be used.

    A commit's removals come before its rows. A task's spec is committed with its first task row, and
    its ordinal is unique over all sessions and never changes; nor does the session of a grant or of a
    lock request. After any failed commit the store refuses all further use: close it and end the process.
    """

    @property
    def description(self) -> str:
        """Such as "sqlite 3.40.1", for people."""

    async def open(self, now_wall_us: int, workspace_id: str) -> Snapshot:
        """Makes or migrates the database, takes it over with a higher epoch and reads it.

        The epoch of the snapshot's meta row is max(stored + 1, now_wall_us) and is committed before
        this returns; the next fence is at least as much. Damaged rows, newer schemas and rows of
        another workspace are refused.
        """

    async def commit(self, epoch: int, changes: Changes) -> None:
        """Makes all of `changes` durable, or none; returns only then.

        Raises FencedError when `epoch` is not the present one, CommitError on any other failure.
        """

    async def read_tasks(
        self, session_id: str, statuses: Sequence[str] = (), after: int = 0, limit: int = 100
    ) -> TaskPage:
        """Tasks of a session with an ordinal above `after`, in one of `statuses` (empty: any)."""

    async def read_task(
        self, session_id: str, task_id: str
    ) -> tuple[SpecRow, TaskRow, list[AttemptRow]] | None:
        """One task with its ended attempts, oldest first; None if there is none."""

    async def read_output(
        self, session_id: str, task_id: str, number: int, offset: int = 0, limit_bytes: int = 1 << 20
    ) -> list[OutputRow]:
        """Pieces that end behind `offset`, in order; at least one if there is one, then up to the limit."""

    async def read_attempts(self, query: AttemptQuery) -> AttemptPage:
        """Ended attempts in the order of their ends; the cost follows what is read, not what is there."""

    async def read_events(self, query: EventQuery) -> list[EventRow]:
        """What was noted, oldest first."""

    async def read_worker_ids(self, prefix: str) -> list[str]:
        """Ids of workers that events tell of, in order, at most 100."""

    async def read_patch(self, session_id: str, task_id: str, number: int) -> PatchRow | None:
        """What that attempt changed; with number 0, the last one that has a patch. None if there is none."""

    async def read_lock_times(self, query: LockTimeQuery) -> list[LockTimeRow]:
        """The newest that the query lets through, oldest of them first, by (time, revision, number)."""

    async def backup(self, path: Path) -> None:
        """Writes a consistent copy of the last commit to a file that must not exist."""

    async def close(self) -> None:
        """Ends the use of the store. Idempotent."""
