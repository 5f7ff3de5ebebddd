"""A worker as programs of the guide know it: a program of the user's own that is given tasks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import value_errors
from .home import Freshness
from .metadata import LiveMetadata
from .statuses import WorkerStatus
from .times import to_local, to_utc

if TYPE_CHECKING:
    from ..records import Worker as WorkerRecord
    from .worker_coordinator import WorkerCoordinator

CURRENT_TASK = "buildrunner_parallel.current_task"
"""In a worker's metadata: what its owner says that it does, without the coordinator having given it."""


class Worker:
    """Shows the present. `status`, `current_task`, `last_heartbeat`, `metadata` and, upwards, the counts can
    be set. One that has left shows what it was. Times are naive, of this machine's clock."""

    def __init__(self, coordinator: WorkerCoordinator, worker_id: str) -> None:
        self._coordinator = coordinator
        self._worker_id = worker_id
        self._record: WorkerRecord | None = None
        self._freshness = Freshness()
        self._metadata: LiveMetadata | None = None

    # ----------------------------------------------------------------- reading

    def _take(self, record: WorkerRecord, changes: int) -> None:
        shown = {name: value for name, value in record.metadata.items() if name != CURRENT_TASK}
        if self._metadata is None:
            self._metadata = LiveMetadata(shown, self._write_metadata)
        else:
            self._metadata.take(shown)
        self._record = record
        self._freshness.note(changes)
        self._coordinator._look(record)

    def _read(self) -> WorkerRecord:
        home = self._coordinator._home
        if self._record is None or not self._freshness.holds(home):
            before = home.changes
            record = self._coordinator._find(self._worker_id)
            if record is not None:
                self._take(record, before)
            elif self._record is None:
                raise ValueError(f"Worker not found: {self._worker_id}")
        assert self._record is not None
        return self._record

    @property
    def worker_id(self) -> str:
        return self._worker_id

    @property
    def current_session(self) -> str | None:
        """Of its task; None when it has none, or one that was assigned without a session."""
        tasks = self._read().tasks
        return self._coordinator._shown_session(tasks[0].session_id) if tasks else None

    @property
    def session_id(self) -> str | None:
        return self.current_session

    @property
    def created_at(self) -> datetime:
        return to_local(self._read().registered_at) or datetime.fromtimestamp(0)

    # ----------------------------------------------------------------- reading and writing

    @property
    def status(self) -> WorkerStatus:
        return WorkerStatus(self._read().status.value)

    @status.setter
    def status(self, value: WorkerStatus | str) -> None:
        """BUSY gets no more tasks, OFFLINE gives its task back; with a task in hand it is never IDLE."""
        self._update(status=WorkerStatus(value).value)

    @property
    def current_task(self) -> str | None:
        return current_task_of(self._read())

    @current_task.setter
    def current_task(self, value: str | None) -> None:
        """What it says of itself. What the coordinator gave it stays in its hands until it is completed."""
        self._update(metadata={**self.metadata, **({} if value is None else {CURRENT_TASK: value})})

    @property
    def last_heartbeat(self) -> datetime:
        record = self._read()
        return to_local(record.last_heartbeat_at) or self.created_at

    @last_heartbeat.setter
    def last_heartbeat(self, value: datetime) -> None:
        self._update(last_heartbeat_at=to_utc(value))

    @property
    def tasks_completed(self) -> int:
        return self._read().tasks_succeeded

    @tasks_completed.setter
    def tasks_completed(self, value: int) -> None:
        self._update(add_succeeded=self._more("tasks_completed", value - self.tasks_completed))

    @property
    def tasks_failed(self) -> int:
        return self._read().tasks_failed

    @tasks_failed.setter
    def tasks_failed(self, value: int) -> None:
        self._update(add_failed=self._more("tasks_failed", value - self.tasks_failed))

    @property
    def metadata(self) -> dict[str, Any]:
        """Written when it is changed."""
        self._read()
        assert self._metadata is not None
        return self._metadata

    @metadata.setter
    def metadata(self, value: Mapping[str, Any]) -> None:
        self._write_metadata(dict(value))

    def _write_metadata(self, values: dict[str, Any]) -> None:
        said = self._read().metadata.get(CURRENT_TASK)
        self._update(metadata={**values, **({} if said is None else {CURRENT_TASK: said})})

    def _more(self, name: str, difference: int) -> int:
        if difference < 0:
            self._refuse(name, "what was done cannot be undone")
        return difference

    def _update(self, **changes: Any) -> None:
        with value_errors():
            self._coordinator._home.client.update_worker(self._worker_id, **changes)
        self._coordinator._home.changed()

    def _refuse(self, name: str, why: str) -> NoReturn:
        raise AttributeError(f"{name} of worker {self._worker_id} cannot be set: {why}")

    def __repr__(self) -> str:
        return f"Worker(worker_id={self._worker_id!r}, status={self.status.value!r})"


def current_task_of(record: WorkerRecord) -> str | None:
    """What the coordinator gave it, or what it says of itself."""
    from .tasks import given_id

    if record.tasks:
        return given_id(record.tasks[0].task_id)
    said = record.metadata.get(CURRENT_TASK)
    return None if said is None else str(said)
