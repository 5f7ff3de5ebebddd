"""Sessions, their locks and their progress, kept by a coordinator: nothing of them is kept here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..errors import NotFoundError
from ..lock_paths import RESOURCE_PREFIX, PathItem, PathLike, path_items, path_request
from .errors import checked_id, value_errors
from .home import home_of, is_listed
from .importing import import_sessions
from .session import Session, values_of
from .statuses import SessionStatus

if TYPE_CHECKING:
    from ..records import Session as SessionRecord

_DELETED_AT_ONCE = 500


class SessionManager:
    """Those of the workspace's coordinator, which is started when it does not run; with a `storage_path`
    those of a private one beside that path, which ends with the last program that uses it.

    `max_concurrent_sessions` is kept for programs that ask for it: any number may run, and share the workers.
    Methods raise ValueError for what is refused, UnreachableError when no coordinator can be had. Sessions
    that an earlier program left in `sessions.json` are taken over once.
    """

    def __init__(
        self, storage_path: str | os.PathLike[str] | None = None, max_concurrent_sessions: int = 4
    ) -> None:
        self.storage_path = storage_path
        self.max_concurrent_sessions = max_concurrent_sessions
        self._home = home_of(storage_path)
        import_sessions(self._home)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, and one that is sent to another process, sees the same sessions."""
        return SessionManager, (self.storage_path, self.max_concurrent_sessions)

    # ----------------------------------------------------------------- finding

    @property
    def sessions(self) -> Mapping[str, Session]:
        """All of them by id, as they are at each look."""
        return _Sessions(self)

    def create_session(
        self, name: str, total_tasks: int = 0, metadata: Mapping[str, Any] | None = None
    ) -> Session:
        """A new one, CREATED. It ends when complete_session, fail_session or cancel_session says so."""
        client = self._home.client
        if not isinstance(name, str):
            raise ValueError(f"a session's name must be a text, found {name!r}")
        with value_errors():
            record = client.create_session(
                name, declared_tasks=total_tasks, driver="owner", metadata=metadata
            )
        return self._changed(record)

    def get_session(self, session_id: object) -> Session | None:
        """By its id or a unique prefix of it."""
        before = self._home.changes
        if not isinstance(session_id, str):
            return None
        try:
            record = self._home.client.get_session(session_id)
        except NotFoundError:
            return None
        return self._home.session(record, before)

    def list_sessions(self, status: SessionStatus | str | None = None) -> list[Session]:
        """Newest first; those of one status, or all. Raises ValueError for a word that is no status."""
        return self._list(() if status is None else (SessionStatus(status),))

    def get_all_sessions(self) -> list[Session]:
        return self.list_sessions()

    def get_active_sessions(self) -> list[Session]:
        """Those that run or are paused."""
        return self._list((SessionStatus.RUNNING, SessionStatus.PAUSED))

    def get_sessions_by_status(self, status: str) -> list[Session]:
        """None for a word that is no status."""
        try:
            return self.list_sessions(status)
        except ValueError:
            return []

    def get_stats(self) -> dict[str, int]:
        """How many there are in all, and in some states; those that run are active."""
        found = [record.status.value for record in self._records()]
        return {
            "total_sessions": len(found),
            "active_sessions": found.count("running"),
            "paused_sessions": found.count("paused"),
            "completed_sessions": found.count("completed"),
            "failed_sessions": found.count("failed"),
        }

    def _list(self, statuses: Iterable[SessionStatus]) -> list[Session]:
        before = self._home.changes
        return [self._home.session(record, before) for record in self._records(statuses)]

    def _records(self, statuses: Iterable[SessionStatus] = ()) -> list[SessionRecord]:
        words = [one.value for one in statuses]
        return [one for one in self._home.client.list_sessions(statuses=words) if is_listed(one)]

    # ----------------------------------------------------------------- a session's way

    def start_session(self, session_id: str, worker_id: str | None = None) -> Session:
        """It runs, also after a pause. A worker's id is kept with it as it is given."""
        with value_errors(session_id):
            record = self._home.client.start_session(checked_id(session_id), worker_id=worker_id or "")
        return self._changed(record)

    def pause_session(self, session_id: str) -> Session:
        """None of its tasks is given out; what a worker has goes on. It keeps its locks."""
        with value_errors(session_id):
            record = self._home.client.pause_session(checked_id(session_id))
        return self._changed(record)

    def complete_session(self, session_id: str) -> Session:
        """It has ended well, whatever was counted. No effect on one that has ended."""
        with value_errors(session_id):
            record = self._home.client.complete_session(checked_id(session_id))
        return self._changed(record)

    def fail_session(self, session_id: str) -> Session:
        """It has failed. No effect on one that has ended."""
        with value_errors(session_id):
            record = self._home.client.fail_session(checked_id(session_id))
        return self._changed(record)

    def cancel_session(self, session_id: str) -> Session:
        """Its tasks are stopped. No effect on one that has ended."""
        with value_errors(session_id):
            record = self._home.client.cancel_session(checked_id(session_id))
        return self._changed(record)

    def update_progress(
        self, session_id: str, completed_tasks: int, failed_tasks: int = 0, in_progress_tasks: int = 0
    ) -> Session:
        """How far it is: counts, not differences. No effect on one that has ended."""
        with value_errors(session_id):
            record = self._home.client.update_progress(
                checked_id(session_id), completed_tasks, failed_tasks, in_progress_tasks
            )
        return self._changed(record)

    def _changed(self, record: SessionRecord) -> Session:
        self._home.changed()
        return self._home.session(record, self._home.changes)

    # ----------------------------------------------------------------- files

    def lock_files(self, session_id: str, files: Iterable[PathLike]) -> None:
        """Takes all of them for the session, or none. Raises ValueError when another session has one, which
        it names, and for paths outside the repository. No files at all are no fault."""
        with value_errors(session_id):
            asked, items = checked_id(session_id), _literal(files)
            if items:
                self._home.client.acquire_locks(asked, items)
            else:
                self._home.client.get_session(asked)
        self._home.changed()

    def unlock_files(self, session_id: str, files: Iterable[PathLike] | None = None) -> None:
        """Gives them back, or all that it holds. What it does not hold is passed over."""
        with value_errors(session_id):
            asked = checked_id(session_id)
            items = () if files is None else _literal(files)
            if not items and files is not None:
                self._home.client.get_session(asked)
                return
            try:
                self._home.client.release_locks(asked, items)
            except NotFoundError as error:
                if error.reason != "LOCK_NOT_HELD":
                    raise
                self._unlock_held(asked, items)
        self._home.changed()

    def _unlock_held(self, session_id: str, items: Iterable[PathItem]) -> None:
        for item in items:
            try:
                self._home.client.release_locks(session_id, [item])
            except NotFoundError as error:
                if error.reason != "LOCK_NOT_HELD":
                    raise

    def mark_files_modified(self, session_id: str, files: Iterable[PathLike]) -> None:
        """Adds them to what the session has modified."""
        client = self._home.client
        with value_errors(session_id):
            places = client._lock_paths()
            paths = [path_request(places, item).path for item in _literal(files)]
            client.mark_files_modified(checked_id(session_id), paths)
        self._home.changed()

    # ----------------------------------------------------------------- house-keeping

    def cleanup_old_sessions(self, days: float = 7) -> int:
        """Removes those that ended more than so many days ago; how many."""
        now = datetime.now()
        over = (SessionStatus.COMPLETED, SessionStatus.FAILED, SessionStatus.CANCELLED)
        shown = [values_of(record) for record in self._records(over)]
        old = [
            one.session_id
            for one in shown
            if one.completed_at is not None and (now - one.completed_at) / timedelta(days=1) > days
        ]
        for begin in range(0, len(old), _DELETED_AT_ONCE):
            self._delete(old[begin : begin + _DELETED_AT_ONCE])
        self._home.changed()
        return len(old)

    def _delete(self, session_ids: list[str]) -> None:
        with value_errors():
            self._home.client.delete_sessions(session_ids=session_ids)
        for session_id in session_ids:
            self._home.forget_session(session_id)

    def _save(self) -> None:
        """Everything is durable when it is said; this writes what was changed deep within metadata."""
        for session in self._home.known_sessions():
            session._flush()


class _Sessions(Mapping[str, Session]):
    """Looked up anew each time."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager

    def __getitem__(self, session_id: object) -> Session:
        found = self._manager.get_session(session_id) if isinstance(session_id, str) else None
        if found is None or found.session_id != session_id:
            raise KeyError(session_id)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter([one.session_id for one in self._manager.list_sessions()])

    def __len__(self) -> int:
        return len(self._manager.list_sessions())

    def values(self) -> Any:
        return self._manager.list_sessions()

    def items(self) -> Any:
        return [(one.session_id, one) for one in self._manager.list_sessions()]

    def __repr__(self) -> str:
        return repr({one.session_id: one for one in self._manager.list_sessions()})


def _literal(files: Iterable[PathLike]) -> list[PathItem]:
    """The names of files, whatever characters they have; `res:NAME` is a name without one."""
    return [_item(one) for one in path_items(files)]


def _item(one: PathItem) -> PathItem:
    is_path = isinstance(one, (str, os.PathLike))
    if is_path and not str(one).startswith(RESOURCE_PREFIX):
        return {"literal": one}  # type: ignore[dict-item]
    return one
