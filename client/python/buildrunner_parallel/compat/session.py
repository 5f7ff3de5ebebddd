"""A session as programs of the guide know it: attributes are read from the coordinator, and written to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import NotFoundError
from .errors import value_errors
from .home import Freshness, Home
from .metadata import LiveMetadata
from .statuses import SessionStatus
from .times import to_local, to_utc

if TYPE_CHECKING:
    from ..records import Session as SessionRecord

_TIMES = ("created_at", "started_at", "completed_at")
_SETS = ("files_locked", "files_modified")


@dataclass
class _Values:
    """What a session is at one moment."""

    session_id: str
    name: str
    status: SessionStatus = SessionStatus.CREATED
    created_at: datetime = field(default_factory=datetime.now)
    started_at: datetime | None = None
    completed_at: datetime | None = None
    total_tasks: int = 0
    completed_tasks: int = 0
    failed_tasks: int = 0
    in_progress_tasks: int = 0
    files_locked: set[str] = field(default_factory=set)
    files_modified: set[str] = field(default_factory=set)
    worker_id: str | None = None
    progress_percent: float = 0.0
    metadata: dict[str, Any] = field(default_factory=dict)


class Session:
    """One of a SessionManager shows the present: other processes' changes too. Times are naive, of this
    machine's clock. One that `from_dict` or the constructor made is plain data.

    `completed_at`, `status`, the counts and `metadata` can be set; what the coordinator decides raises
    AttributeError. Sets are copies. A copy of a session, also by pickle, is plain data. A session that has
    been removed shows what it was.
    """

    def __init__(self, session_id: str, name: str, *values: Any, **named: Any) -> None:
        """In the order of the attributes of `to_dict`; what is left out is as of a new session."""
        self._begin(None, _Values(session_id, name, *values, **named))
        self._values.status = SessionStatus(self._values.status)

    @classmethod
    def _of(cls, home: Home, session_id: str) -> Session:
        made = cls.__new__(cls)
        made._begin(home, _Values(session_id, ""))
        return made

    def _begin(self, home: Home | None, values: _Values) -> None:
        self._home = home
        self._values = values
        self._freshness = Freshness()
        self._metadata: LiveMetadata | None = None

    # ----------------------------------------------------------------- reading

    def _take(self, record: SessionRecord, changes: int) -> None:
        """What the coordinator has just said."""
        shown = values_of(record)
        if self._metadata is None:
            self._metadata = LiveMetadata(shown.metadata, self._write_metadata)
        else:
            self._metadata.take(shown.metadata)
        shown.metadata = self._metadata
        self._values = shown
        self._freshness.note(changes)

    def _read(self) -> _Values:
        home = self._home
        if home is not None and not self._freshness.holds(home):
            before = home.changes
            try:
                self._take(home.client.get_session(self._values.session_id), before)
            except NotFoundError:
                self._freshness.note(before)
        return self._values

    @property
    def session_id(self) -> str:
        return self._values.session_id

    @property
    def name(self) -> str:
        return self._read().name

    @property
    def created_at(self) -> datetime:
        return self._read().created_at

    @property
    def started_at(self) -> datetime | None:
        return self._read().started_at

    @property
    def worker_id(self) -> str | None:
        return self._read().worker_id

    @property
    def progress_percent(self) -> float:
        """0.0 to 100.0: of the counts, 100.0 when it is completed."""
        return self._read().progress_percent

    @property
    def files_modified(self) -> set[str]:
        return set(self._read().files_modified)

    @property
    def files_locked(self) -> set[str]:
        """What the session itself holds, from the repository's root; directories end with a slash."""
        if self._home is None:
            return set(self._values.files_locked)
        try:
            held = self._home.client.list_locks(session=self.session_id).locks
        except NotFoundError:
            return set()
        mine = [lock for lock in held if not lock.holder.task_id]
        return {f"{lock.path}/" if lock.kind == "tree" else lock.path for lock in mine}

    # ----------------------------------------------------------------- reading and writing

    @property
    def status(self) -> SessionStatus:
        return self._read().status

    @status.setter
    def status(self, value: SessionStatus | str) -> None:
        wanted = SessionStatus(value)
        home = self._home
        if home is None:
            self._values.status = wanted
            return
        client, mine = home.client, self.session_id
        with value_errors(mine):
            if wanted is SessionStatus.CREATED and self.status is not wanted:
                raise ValueError(f"Session {mine} is {self.status.value}: it cannot be created again")
            if wanted is SessionStatus.RUNNING:
                client.start_session(mine)
            elif wanted is SessionStatus.PAUSED:
                client.pause_session(mine)
            elif wanted is SessionStatus.COMPLETED:
                client.complete_session(mine)
            elif wanted is SessionStatus.FAILED:
                client.fail_session(mine)
            elif wanted is SessionStatus.CANCELLED:
                client.cancel_session(mine)
        home.changed()

    @property
    def completed_at(self) -> datetime | None:
        return self._read().completed_at

    @completed_at.setter
    def completed_at(self, value: datetime | None) -> None:
        if self._home is None:
            self._values.completed_at = value
        elif value is None:
            if self._read().completed_at is not None:
                self._refuse("completed_at", "an end cannot be taken back")
        else:
            self._update(ended_at=to_utc(value))

    @property
    def total_tasks(self) -> int:
        return self._read().total_tasks

    @total_tasks.setter
    def total_tasks(self, value: int) -> None:
        if self._home is None:
            self._values.total_tasks = value
        else:
            self._update(declared_tasks=value)

    @property
    def completed_tasks(self) -> int:
        return self._read().completed_tasks

    @completed_tasks.setter
    def completed_tasks(self, value: int) -> None:
        self._set_counts(completed_tasks=value)

    @property
    def failed_tasks(self) -> int:
        return self._read().failed_tasks

    @failed_tasks.setter
    def failed_tasks(self, value: int) -> None:
        self._set_counts(failed_tasks=value)

    @property
    def in_progress_tasks(self) -> int:
        return self._read().in_progress_tasks

    @in_progress_tasks.setter
    def in_progress_tasks(self, value: int) -> None:
        self._set_counts(in_progress_tasks=value)

    @property
    def metadata(self) -> dict[str, Any]:
        """Written when it is changed; what is nested in it by the manager's `_save`."""
        return self._read().metadata

    @metadata.setter
    def metadata(self, value: Mapping[str, Any]) -> None:
        if self._home is None:
            self._values.metadata = dict(value)
            return
        self._write_metadata(dict(value))
        self._read()

    def _flush(self) -> None:
        """Writes what was changed deep within the metadata."""
        if self._metadata is not None:
            self._metadata.flush()

    def _write_metadata(self, values: dict[str, Any]) -> None:
        self._update(metadata=values)

    def _update(self, **changes: Any) -> None:
        assert self._home is not None
        with value_errors(self.session_id):
            self._home.client.update_session(self.session_id, **changes)
        self._home.changed()

    def _set_counts(self, **changed: int) -> None:
        if self._home is None:
            vars(self._values).update(changed)
            return
        now = self._read()
        counts = [
            changed.get(name, getattr(now, name))
            for name in ("completed_tasks", "failed_tasks", "in_progress_tasks")
        ]
        with value_errors(self.session_id):
            self._home.client.update_progress(self.session_id, *counts)
        self._home.changed()

    def _refuse(self, name: str, why: str) -> NoReturn:
        raise AttributeError(f"{name} of session {self.session_id} cannot be set: {why}")

    def __setattr__(self, name: str, value: Any) -> None:
        how = _NOT_SET.get(name)
        if how is not None:
            if self._home is not None:
                self._refuse(name, how)
            setattr(self._values, name, value)
        else:
            object.__setattr__(self, name, value)

    # ----------------------------------------------------------------- as data

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can say: times in ISO form, lists for sets, the word of the status."""
        now = self._read()
        data = {one.name: getattr(now, one.name) for one in fields(now)}
        data["files_locked"] = self.files_locked
        data.update({name: sorted(data[name]) for name in _SETS})
        data.update({name: data[name].isoformat() if data[name] else None for name in _TIMES})
        return {**data, "status": now.status.value, "metadata": dict(now.metadata)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Session:
        """The data of `to_dict` as an object of its own. Raises KeyError, ValueError."""
        known = {one.name for one in fields(_Values)}
        given = {name: value for name, value in data.items() if name in known}
        for name in _TIMES:
            if isinstance(given.get(name), str):
                given[name] = datetime.fromisoformat(given[name])
        for name in _SETS:
            given[name] = set(_texts(given.get(name)))
        if given.get("created_at") is None:
            given.pop("created_at", None)
        given["metadata"] = dict(given.get("metadata") or {})
        return cls(given.pop("session_id"), given.pop("name"), **given)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, and what is sent to another process, is plain data."""
        return Session.from_dict, (self.to_dict(),)

    def __repr__(self) -> str:
        now = self._read()
        return f"Session(session_id={now.session_id!r}, name={now.name!r}, status={now.status.value!r})"


_NOT_SET = {
    "session_id": "it is the session's for ever",
    "name": "it was given when the session was created",
    "created_at": "the coordinator says when that was",
    "started_at": "the coordinator says when that was",
    "worker_id": "give it to start_session",
    "progress_percent": "it follows from the counts; set those, or use update_progress",
    "files_locked": "use lock_files and unlock_files",
    "files_modified": "use mark_files_modified",
}


def _texts(value: Iterable[str] | None) -> list[str]:
    return [] if value is None else list(value)


def values_of(record: SessionRecord) -> _Values:
    """What a record says, in the words of these classes. What is locked is not among it."""
    told = record.reported
    counts = (told.completed, told.failed, told.in_progress)
    if not any(counts):
        real = record.counts
        counts = (real.succeeded, real.failed, real.assigned + real.running + real.cancelling)
    total = record.declared_tasks or record.total_tasks
    status = SessionStatus(record.status.value)
    done = 100.0 * (counts[0] + counts[1]) / total if total else 0.0
    return _Values(
        record.session_id,
        record.name,
        status,
        to_local(record.created_at) or datetime.fromtimestamp(0),
        to_local(record.started_at),
        to_local(record.ended_at),
        total,
        *counts,
        set(),
        set(record.modified_files),
        record.worker_id or None,
        100.0 if status is SessionStatus.COMPLETED else min(100.0, done),
        dict(record.metadata),
    )
