"""The SQLite database of a coordinator, by the one connection that may exist to it. No asyncio here.

Exactly one connection, because SQLite before 3.51.3 can lose a commit when a second one checkpoints
while the first restarts the write-ahead log; the exclusive locking mode holds everybody else off.
Any error of a commit is fatal: after a failed fsync nobody knows what the disk has, so nothing more
is said or written.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from buildrunner_coordinator.domain.changes import Changes, MetaRow
from buildrunner_coordinator.domain.questions import AttemptQuery, EventQuery, LockTimeQuery
from buildrunner_coordinator.store import removals
from buildrunner_coordinator.store.backups import copy_database
from buildrunner_coordinator.store.base import CommitError, FencedError, StoreError
from buildrunner_coordinator.store.faults import RESTORE, as_store_error, damaged_row, explain
from buildrunner_coordinator.store.file_systems import FileSystemOf, file_system_of, refuse_network
from buildrunner_coordinator.store.past import PastReader
from buildrunner_coordinator.store.reads import Pair, Part, Reader
from buildrunner_coordinator.store.rows import META, TABLES, Plain
from buildrunner_coordinator.store.schema import migrate, refuse_altered
from buildrunner_coordinator.store.writes import make_meta, replace_meta, write_rows

BUSY_TIMEOUT_S = 5.0
"""How long a writer that is just going away is waited for."""
CHECKPOINT_ROWS = 20_000
CHECKPOINT_COMMITS = 250
"""After so many changed rows, or commits, the log is written back, once the last has been acknowledged.

Overwriting a log costs an fsync less than letting it grow, so a log of small commits is kept short.
"""
LOG_BYTES = 4 << 20
PAGE_BYTES = 4096

Result = TypeVar("Result")

_PRAGMAS = (
    f"PRAGMA page_size = {PAGE_BYTES}",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -65536",
    # The backstop, in pages of 4 KiB: few large rows can fill the log sooner than CHECKPOINT_ROWS says.
    "PRAGMA wal_autocheckpoint = 16384",
    "PRAGMA journal_size_limit = 134217728",
)
_SESSION_AT = [
    (name, getattr(TABLES, name).columns.index("session_id"))
    for name in ("sessions", "tasks", "attempts", "outputs", "events", "patches", "lock_times")
]
"""Lists of changes with rows that go, a piece at a time, with the session in that column."""


class Database:
    """Every method raises StoreError (or what is below it) and may be called by one thread at a time."""

    def __init__(self, path: Path, file_system_of: FileSystemOf = file_system_of) -> None:
        self.path = path
        self._file_system_of = file_system_of
        self._connection: sqlite3.Connection | None = None
        self._failure = ""
        self._meta: MetaRow | None = None
        self._rows_at_checkpoint = 0
        self._commits_since = 0
        self._leavings: list[str] = []
        """Removed sessions of which there are rows yet. No reader may see them."""

    @property
    def has_leavings(self) -> bool:
        return bool(self._leavings) and self._connection is not None

    @property
    def description(self) -> str:
        return f"sqlite {sqlite3.sqlite_version}"

    def open(self, now_wall_us: int, workspace_id: str) -> MetaRow:
        """Makes or migrates the database and takes it over with a higher epoch, durably.

        Read `snapshot_parts` next. Raises NewerSchemaError, DamagedRowError, or StoreError with one line.
        """
        try:
            refuse_network(self.path.absolute().parent, self._file_system_of)
            self._connection = _connect(self.path)
            migrate(self._connection, self.path)
            refuse_altered(self._connection, self.path)
            self._meta = self._take_over(self._connection, now_wall_us, workspace_id)
            self._leavings = removals.left_over(self._connection, self.path)
            _lengthen_log(self.path)
        except (sqlite3.Error, OSError, StoreError) as error:
            self._abandon()
            raise as_store_error(self.path, error) from error
        return self._meta

    def snapshot_parts(self) -> Iterator[Part]:
        """What `Snapshot` holds beside its meta row, in parts of bounded size."""
        parts = self._reader().snapshot_parts()
        while (part := self._read(lambda: next(parts, None))) is not None:
            yield part

    def commit(self, epoch: int, changes: Changes) -> None:
        """One durable transaction; on any error the database is closed for good.

        The rows may be plain tuples.
        """
        try:
            connection = self._usable()
            connection.execute("BEGIN IMMEDIATE")
            self._fence(connection, epoch, changes)
            leavings = self._remove_sessions(connection, changes)
            write_rows(connection, changes)
            connection.execute("COMMIT")
            self._leavings = leavings
            self._commits_since += 1
        except Exception as error:  # whatever it is, nobody may be told that this commit took place
            self._fail(error)

    def tidy(self) -> None:
        """Removes a piece of what removed sessions have left. Call it when nobody waits for an answer.

        A failure shows in the next call.
        """
        if not self.has_leavings:
            return
        connection, session_id = self._usable(), self._leavings[0]
        try:
            connection.execute("BEGIN IMMEDIATE")
            is_gone = removals.go_on(connection, session_id)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._failure = explain(self.path, error)
            self._abandon()
            return
        if is_gone:
            self._leavings.remove(session_id)
        self._commits_since += 1
        self.checkpoint()

    def checkpoint(self) -> None:
        """Writes the log back if much has gathered. Call it when nobody waits for an answer.

        A failure shows in the next call.
        """
        connection = self._connection
        if connection is None:
            return
        rows = connection.total_changes - self._rows_at_checkpoint
        if rows < CHECKPOINT_ROWS and self._commits_since < CHECKPOINT_COMMITS:
            return
        self._rows_at_checkpoint, self._commits_since = connection.total_changes, 0
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            self._failure = explain(self.path, error)
            self._abandon()

    def read_tasks(self, session_id: str, statuses: Sequence[str], after: int, limit: int) -> list[Pair]:
        reader = self._reader()
        return self._read_of(session_id, [], lambda: reader.task_pairs(session_id, statuses, after, limit))

    def read_task(self, session_id: str, task_id: str) -> tuple[Pair, list[Plain]] | None:
        reader = self._reader()
        return self._read_of(session_id, None, lambda: reader.task(session_id, task_id))

    def read_output(self, attempt: tuple[str, str, int], offset: int, limit_bytes: int) -> list[Plain]:
        reader = self._reader()
        return self._read_of(attempt[0], [], lambda: reader.output(attempt, offset, limit_bytes))

    def read_attempts(self, query: Plain) -> tuple[list[tuple[Plain, bytes]], bool]:
        """`query` as AttemptQuery, plain."""
        past, asked = self._past(), AttemptQuery(*query)
        nothing: tuple[list[tuple[Plain, bytes]], bool] = ([], False)
        return self._read_of(asked.session_id, nothing, lambda: past.attempts(asked))

    def read_events(self, query: Plain) -> list[Plain]:
        """`query` as EventQuery, plain."""
        past, asked = self._past(), EventQuery(*query)
        return self._read_of(asked.session_id, [], lambda: past.events(asked))

    def read_worker_ids(self, prefix: str) -> list[str]:
        past = self._past()
        return self._read(lambda: past.worker_ids(prefix))

    def read_patch(self, session_id: str, task_id: str, number: int) -> Plain | None:
        past = self._past()
        return self._read_of(session_id, None, lambda: past.patch(session_id, task_id, number))

    def read_lock_times(self, query: Plain) -> list[Plain]:
        """`query` as LockTimeQuery, plain."""
        past, asked = self._past(), LockTimeQuery(*query)
        return self._read_of(asked.session_id, [], lambda: past.lock_times(asked))

    def backup(self, target: Path) -> None:
        """A compact copy, mode 0600. Raises StoreError if `target` exists or cannot be written."""
        copy_database(self._usable(), target)

    def close(self) -> None:
        """Writes the log back and lets go of the file. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise StoreError(explain(self.path, error)) from error
        finally:
            connection.close()
            self._failure = self._failure or f"{self.path} has been closed"

    def _take_over(self, connection: sqlite3.Connection, now_wall_us: int, workspace_id: str) -> MetaRow:
        connection.execute("BEGIN IMMEDIATE")
        stored = Reader(connection, self.path).meta()
        old = META.make(stored) if stored else None
        meta = next_meta(old, now_wall_us, workspace_id, self.path)
        if old is None:
            _refuse_lost_meta(connection, self.path)
            make_meta(connection, meta)
        else:
            replace_meta(connection, meta, old.epoch)
        connection.execute("COMMIT")
        return meta

    def _fence(self, connection: sqlite3.Connection, epoch: int, changes: Changes) -> None:
        held = self._meta
        assert held is not None
        meta = (
            MetaRow(*changes.meta)
            if changes.meta
            else held._replace(revision=max(held.revision, changes.revision))
        )
        if meta.epoch != epoch and epoch == held.epoch:
            raise CommitError(
                f"a commit of epoch {epoch} carries counters of epoch {meta.epoch}: this is a bug"
            )
        if not replace_meta(connection, meta, epoch):
            raise FencedError(f"{self.path} has been taken over: epoch {epoch} may not write to it any more")
        self._meta = meta

    def _remove_sessions(self, connection: sqlite3.Connection, changes: Changes) -> list[str]:
        """The leavings behind this commit. A session that comes again under an old id finds none."""
        if not (self._leavings or changes.removed_sessions):
            return self._leavings
        again = {str(row[at]) for name, at in _SESSION_AT for row in getattr(changes, name)}
        doomed = dict.fromkeys((*(one for one in self._leavings if one in again), *changes.removed_sessions))
        kept = [one for one in self._leavings if one not in doomed]
        return kept + removals.begin(connection, doomed, again)

    def _fail(self, error: Exception) -> NoReturn:
        line = str(error) if isinstance(error, StoreError) else explain(self.path, error)
        self._failure = line
        self._abandon()
        raise type(error)(line) if isinstance(error, CommitError) else CommitError(line) from error

    def _abandon(self) -> None:
        """Lets go of the file after an error; what is committed is found at the next opening."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.close()
        except sqlite3.Error:
            pass  # the first error is the one that is told

    def _usable(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(self._failure or f"{self.path} has not been opened")
        return self._connection

    def _reader(self) -> Reader:
        return Reader(self._usable(), self.path)

    def _past(self) -> PastReader:
        return PastReader(self._reader(), self._usable())

    def _read_of(self, session_id: str, nothing: Result, read: Callable[[], Result]) -> Result:
        return nothing if session_id in self._leavings else self._read(read)

    def _read(self, read: Callable[[], Result]) -> Result:
        try:
            return read()
        except sqlite3.Error as error:
            raise as_store_error(self.path, error) from error


def next_meta(old: MetaRow | None, now_wall_us: int, workspace_id: str, place: object) -> MetaRow:
    """The counters of the next epoch; those of a new store if there are none."""
    if old is None:
        first_revision = 1  # making the database is the first thing that happens in it
        return MetaRow(
            secrets.token_hex(8), workspace_id, now_wall_us, first_revision, 0, now_wall_us, 1, 1, 1, 0
        )
    if old.workspace_id != workspace_id:
        raise StoreError(
            f"{place} belongs to workspace {old.workspace_id}, not to {workspace_id}: "
            "use the state directory of this workspace"
        )
    epoch = max(old.epoch + 1, now_wall_us)
    return old._replace(epoch=epoch, next_fence=max(old.next_fence + 1, epoch))


def _lengthen_log(path: Path) -> None:
    """Gives the log its working length at once, in zeros, which mean "no frame": see CHECKPOINT_COMMITS.

    SQLite holds its locks on the database file, so another descriptor of the log may come and go.
    """
    descriptor = os.open(f"{path}-wal", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(descriptor, bytes(max(0, LOG_BYTES - os.fstat(descriptor).st_size)))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    _refuse_cut(path)
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_cut(path: Path) -> None:
    """SQLite takes an empty file for a new database, and fills a page that ends early with zeros."""
    log = Path(f"{path}-wal")
    has_log = log.exists() and log.stat().st_size > 0
    size_bytes = path.stat().st_size
    if (size_bytes == 0 and has_log) or (size_bytes % PAGE_BYTES and not has_log):
        raise StoreError(f"{path} is damaged: its end is missing: {RESTORE}")


def _refuse_lost_meta(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("SELECT count(*) FROM sessions").fetchone()[0]:
        raise damaged_row(path, "meta", "the only one")
