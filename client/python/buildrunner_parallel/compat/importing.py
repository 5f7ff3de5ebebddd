"""Taking over, once, the sessions that an earlier program left in `sessions.json`. The file stays as it is.

The whole file is looked at before anything is taken. What is wrong with it is said in one line, as
ValueError, and nothing has happened then. Taking over can be broken off and repeated: known ids are passed
over.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..enums import SessionStatus as RecordStatus
from ..errors import LockConflictError, NotFoundError, RefusedError
from ..flocks import FileLock
from ..records import ReportedProgress
from ..records import Session as SessionRecord
from ..text import sanitize
from .errors import value_errors
from .session import Session
from .times import to_utc

if TYPE_CHECKING:
    from ..client import Client
    from .home import Home

MAX_BYTES = 64 << 20
_PIECE = 200
_PIECE_BYTES = 1 << 20
_MARK = "sessions-imported.json"
_ID = re.compile("[0-9a-f]{8,64}")
_MAX_COUNT = (1 << 31) - 1


class _UnfitError(Exception):
    """What is wrong with the file, and where."""


def import_sessions(home: Home) -> None:
    """Those of the file beside the home's state, unless they have been taken. Raises ValueError."""
    file = home.sessions_file
    if file is None or not file.is_file():
        return
    mark = home.state_directory / _MARK
    if mark.exists():
        return
    text = _read(file)
    try:
        sessions = _sessions(_parsed(text))
        client = home.client  # now there is a state
        with _one_at_a_time(home.state_directory / "import.lock"):
            if not mark.exists():
                _take(client, sessions)
                _write_mark(mark, hashlib.sha256(text).hexdigest(), len(sessions))
    except _UnfitError as unfit:
        _refuse(file, str(unfit))
    except (RefusedError, NotFoundError) as error:
        _refuse(file, str(error))
    home.changed()


def _refuse(file: Path, why: str) -> NoReturn:
    told = sanitize(why.rstrip("."), 300)
    raise ValueError(
        f"{file} cannot be taken over: {told}; mend it, or move it away to begin without it"
    ) from None


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    lock = FileLock(path)
    lock.acquire(math.inf)
    try:
        yield
    finally:
        lock.release()


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAX_BYTES:
            _refuse(file, f"it has more than {MAX_BYTES >> 20} MiB")
        return file.read_bytes()
    except OSError as error:
        _refuse(file, error.strerror or str(error))


def _parsed(text: bytes) -> Any:
    def no_constant(name: str) -> NoReturn:
        raise _UnfitError(f"{name} is no JSON number")

    try:
        return json.loads(text.decode("utf-8-sig"), parse_constant=no_constant)
    except RecursionError:
        raise _UnfitError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise _UnfitError(f"it is not JSON: {error.msg} at line {error.lineno}") from None
    except ValueError as error:
        raise _UnfitError(f"it is not JSON: {error}") from None


# --------------------------------------------------------------------------- what the file says


def _sessions(document: Any) -> list[Session]:
    """In a list, or by id; perhaps below `sessions`."""
    found = document
    if isinstance(document, dict) and isinstance(document.get("sessions"), (dict, list)):
        found = document["sessions"]
    entries: Iterable[Any]
    if isinstance(found, dict):
        entries = [_with_id(key, value) for key, value in found.items()]
    elif isinstance(found, list):
        entries = found
    else:
        raise _UnfitError(f"expected sessions, found {type(found).__name__}")
    sessions = [_session(entry, number) for number, entry in enumerate(entries, 1)]
    if len({one.session_id for one in sessions}) < len(sessions):
        raise _UnfitError("two of its sessions have the same id")
    return sessions


def _with_id(key: str, value: Any) -> Any:
    return {"session_id": key, **value} if isinstance(value, dict) else value


def _session(entry: Any, number: int) -> Session:
    if not isinstance(entry, dict):
        raise _UnfitError(f"session {number}: expected an object, found {type(entry).__name__}")
    where = f"session {number}"
    session_id = str(entry.get("session_id", "")).replace("-", "")
    if not _ID.fullmatch(session_id):
        raise _UnfitError(f"{where}: session_id must be 8 or more hex digits, found {session_id[:40]!r}")
    where = f"session {session_id}"
    _check_kinds(entry, where)
    try:
        made = Session.from_dict({**entry, "session_id": session_id, "name": entry.get("name") or session_id})
        for at in (made.created_at, made.started_at, made.completed_at):
            if at is not None:
                to_utc(at).timestamp()
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise _UnfitError(f"{where}: {error}") from None
    return made


_KINDS: dict[str, tuple[type, ...]] = {
    "name": (str,), "status": (str,), "created_at": (str,), "started_at": (str,), "completed_at": (str,),
    "total_tasks": (int,), "completed_tasks": (int,), "failed_tasks": (int,), "in_progress_tasks": (int,),
    "files_locked": (list,), "files_modified": (list,), "worker_id": (str,), "metadata": (dict,),
}  # fmt: skip
_NEEDED = ("status", "created_at")


def _check_kinds(entry: Mapping[str, Any], where: str) -> None:
    for name, kinds in _KINDS.items():
        value: Any = entry.get(name)
        if value is None:
            if name in _NEEDED:
                raise _UnfitError(f"{where}: {name} is missing")
            continue
        if isinstance(value, bool) or not any(isinstance(value, kind) for kind in kinds):
            raise _UnfitError(f"{where}: {name}: expected {kinds[0].__name__}, found {type(value).__name__}")
        if kinds == (int,) and not 0 <= int(value) <= _MAX_COUNT:
            raise _UnfitError(f"{where}: {name} must be from 0 to {_MAX_COUNT}, found {value}")
        if kinds == (list,) and not all(isinstance(one, str) for one in value):
            raise _UnfitError(f"{where}: {name} must be a list of texts")


# --------------------------------------------------------------------------- taking it over


def _take(client: Client, sessions: list[Session]) -> None:
    """All is looked at before any of it is taken."""
    pieces = list(_pieces([_record(one) for one in sessions]))
    locks = {one.session_id: sorted(one.files_locked) for one in sessions if _may_hold(one)}
    places = client._lock_paths()
    for paths in locks.values():
        for path in paths:
            places.request(path, form="literal", refusal="cannot lock")
    for dry_run in (True, False):
        for piece in pieces:
            client.import_sessions(piece, dry_run=dry_run)
    for session_id, paths in locks.items():
        if paths:
            _lock(client, session_id, paths)


def _pieces(records: list[SessionRecord]) -> Iterator[list[SessionRecord]]:
    """That fit into a message each."""
    piece: list[SessionRecord] = []
    size_bytes = 0
    for record in records:
        size_bytes += len(json.dumps([record.name, record.metadata, record.modified_files])) + 200
        if piece and (size_bytes > _PIECE_BYTES or len(piece) == _PIECE):
            yield piece
            piece, size_bytes = [], 0
        piece.append(record)
    if piece:
        yield piece


def _may_hold(session: Session) -> bool:
    return session.status.value in ("created", "running", "paused")


def _lock(client: Client, session_id: str, paths: list[str]) -> None:
    try:
        with value_errors(session_id):
            client.acquire_locks(session_id, [{"literal": path} for path in paths])
    except LockConflictError as error:
        warnings.warn(
            f"session {session_id} was taken over without its locks: {error}", RuntimeWarning, stacklevel=5
        )
    except ValueError:
        # It has ended here since an earlier attempt to take it over.
        pass


def _record(one: Session) -> SessionRecord:
    return SessionRecord(
        one.session_id,
        one.name,
        status=RecordStatus(one.status.value),
        declared_tasks=one.total_tasks,
        reported=ReportedProgress(one.completed_tasks, one.failed_tasks, one.in_progress_tasks),
        worker_id=one.worker_id or "",
        metadata=one.metadata,
        created_at=to_utc(one.created_at),
        started_at=None if one.started_at is None else to_utc(one.started_at),
        ended_at=None if one.completed_at is None else to_utc(one.completed_at),
        modified_files=tuple(sorted(one.files_modified)),
    )


def _write_mark(mark: Path, digest: str, count: int) -> None:
    fresh = mark.with_suffix(f".{os.getpid()}.tmp")
    document = {"sha256": digest, "sessions": count, "at": datetime.now().isoformat(timespec="seconds")}
    fresh.write_text(json.dumps(document) + "\n", encoding="utf-8")
    fresh.replace(mark)
