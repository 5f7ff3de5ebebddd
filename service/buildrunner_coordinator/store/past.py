"""Reads what is over: ended attempts in the order of their ends, events, patches and the times of locks.

Nothing here writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter

from buildrunner_coordinator.domain.questions import LOCK_TIMES, AttemptQuery, EventQuery, LockTimeQuery
from buildrunner_coordinator.store.reads import Reader
from buildrunner_coordinator.store.rows import TABLES, Plain

WORKER_IDS = 100
_ATTEMPTS, _EVENTS, _SPECS = TABLES.attempts, TABLES.events, TABLES.specs
_PATCHES, _LOCK_TIMES = TABLES.patches, TABLES.lock_times
_RESULT_AT = _ATTEMPTS.columns.index("result")
_SPEC_AT = _SPECS.columns.index("spec")
_LONG = ("task_id", "error", "result_type", "modified_files_json", "warnings_json")
_long_texts = itemgetter(*map(_ATTEMPTS.columns.index, _LONG))
_ROW_BYTES = 384
"""What an attempt takes beside what may be long, about."""

_ALONE = f"SELECT {_ATTEMPTS.select('a')} FROM attempts a"
_WITH_SPEC = (
    f"SELECT {_ATTEMPTS.select('a')}, {_SPECS.select('s')} FROM attempts a "
    "LEFT JOIN tasks t ON t.session_id = a.session_id AND t.task_id = a.task_id "
    "LEFT JOIN specs s ON s.ordinal = t.ordinal"
)
BEHIND = (
    " WHERE a.session_id = ? AND (a.ended_revision, a.task_number, a.number) > (?, ?, ?) "
    "ORDER BY a.ended_revision, a.task_number, a.number"
)
ONE = " WHERE a.session_id = ? AND a.task_id = ? AND a.number = ?"
SELECTS = {False: ((_ATTEMPTS,), _ALONE), True: ((_ATTEMPTS, _SPECS), _WITH_SPEC)}
"""Tables and SELECT, without and with specs; BEHIND or ONE follows."""
_PLACES_SQL = (
    "SELECT ended_revision, task_number, number, task_id FROM attempts WHERE session_id = ? AND task_id = ?"
)
_EVENTS_SQL = (
    f"SELECT {_EVENTS.select()} FROM events "
    "WHERE {subject} AND (revision, number) > (?, ?) ORDER BY revision, number LIMIT ?"
)
SUBJECTS = {
    "worker_id": _EVENTS_SQL.format(subject="worker_id = ? AND worker_id <> ''"),
    "task_id": _EVENTS_SQL.format(subject="session_id = ? AND task_id = ? AND task_id <> ''"),
    "session_id": _EVENTS_SQL.format(subject="session_id = ?"),
}
"""The question by what it is about; the literal comparisons let the partial indexes serve."""
_WORKER_IDS_SQL = (
    "SELECT DISTINCT worker_id FROM events WHERE worker_id >= ? AND worker_id < ? AND worker_id <> '' "
    "ORDER BY worker_id LIMIT ?"
)
_OF_TASK = f"SELECT {_PATCHES.select()} FROM patches WHERE session_id = ? AND task_id = ?"
PATCH = {False: f"{_OF_TASK} ORDER BY number DESC LIMIT 1", True: f"{_OF_TASK} AND number = ?"}
"""Whether an attempt is named: that one's patch, or the last."""
_NEWEST = (
    f"SELECT {_LOCK_TIMES.select()} FROM lock_times "
    "WHERE {whose} AND at_us >= ? AND (at_us, revision, number) < (?, ?, ?) "
    "ORDER BY at_us DESC, revision DESC, number DESC LIMIT ?"
)
LOCK_TIME = {
    False: _NEWEST.format(whose="session_id NOT IN (SELECT session_id FROM leavings)"),
    True: _NEWEST.format(whose="session_id = ?"),
}
"""Whether a session is named."""
_NO_END = (2**63 - 1,) * 3


class PastReader:
    """Reads through a `Reader`, which verifies each row."""

    def __init__(self, reader: Reader, connection: sqlite3.Connection) -> None:
        self._reader = reader
        self._connection = connection

    def attempts(self, query: AttemptQuery) -> tuple[list[tuple[Plain, bytes]], bool]:
        """Attempts with specs, and whether there are more."""
        found: list[tuple[Plain, bytes]] = []
        size_bytes = 0
        for row, *specs in self._chosen(query):
            if not query.with_results:
                row = (*row[:_RESULT_AT], None, *row[_RESULT_AT + 1 :])
            spec = specs[0][_SPEC_AT] if specs else b""
            size_bytes += size_of(row, spec)
            if found and (len(found) >= query.limit or size_bytes > query.limit_bytes):
                return found, True
            found.append((row, spec))
        return found, False

    def events(self, query: EventQuery) -> list[Plain]:
        if query.worker_id:
            subject: tuple[object, ...] = (query.worker_id,)
            sql = SUBJECTS["worker_id"]
        elif query.task_id:
            subject, sql = (query.session_id, query.task_id), SUBJECTS["task_id"]
        else:
            subject, sql = (query.session_id,), SUBJECTS["session_id"]
        return list(self._reader.rows(_EVENTS, sql, (*subject, *query.after, query.limit)))

    def worker_ids(self, prefix: str) -> list[str]:
        arguments = (prefix, prefix + "\U0010ffff", WORKER_IDS)
        return [worker_id for (worker_id,) in self._connection.execute(_WORKER_IDS_SQL, arguments)]

    def patch(self, session_id: str, task_id: str, number: int) -> Plain | None:
        named = (number,) if number else ()
        found = self._reader.rows(_PATCHES, PATCH[bool(number)], (session_id, task_id, *named))
        return next(found, None)

    def lock_times(self, query: LockTimeQuery) -> list[Plain]:
        whose = (query.session_id,) if query.session_id else ()
        before, limit = query.before or _NO_END, min(query.limit, LOCK_TIMES)
        sql = LOCK_TIME[bool(query.session_id)]
        return list(self._reader.rows(_LOCK_TIMES, sql, (*whose, query.since_us, *before, limit)))[::-1]

    def _chosen(self, query: AttemptQuery) -> Iterator[list[Plain]]:
        """Each attempt, with the spec of its task if that is asked for."""
        tables, select = SELECTS[query.with_specs]
        if not query.task_ids:
            yield from self._reader.joined(tables, select + BEHIND, (query.session_id, *query.after))
            return
        for *_, number, task_id in islice(sorted(self._places(query)), query.limit + 1):
            yield from self._reader.joined(tables, select + ONE, (query.session_id, task_id, number))

    def _places(self, query: AttemptQuery) -> Iterator[tuple[int, int, int, str]]:
        """Of the attempts of named tasks: these columns stand before all that may be large."""
        for task_id in dict.fromkeys(query.task_ids):
            for place in self._connection.execute(_PLACES_SQL, (query.session_id, task_id)):
                if place[:3] > query.after:
                    yield place


def size_of(row: Plain, spec: bytes) -> int:
    """About what the attempt takes in a message, in bytes."""
    return _ROW_BYTES + len(spec) + len(row[_RESULT_AT] or b"") + sum(map(len, _long_texts(row)))
