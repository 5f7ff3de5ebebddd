"""A watch in the background, and what it has told: the part of the client under test that counts."""

from __future__ import annotations

import threading
import time
from typing import Any

from buildrunner_parallel import Client
from buildrunner_parallel.errors import BuildRunnerError, DeadlineError, UnreachableError
from buildrunner_parallel.feed import WatchEvent
from buildrunner_parallel.records import TaskSummary


class Following:
    """Follows one session from its making until `close`."""

    def __init__(self, client: Client, session_id: str, since: int | None, store_id: str) -> None:
        self._watcher = client.watch(
            session_ids=[session_id],
            kinds=["task"],
            ended_tasks=True,
            since_revision=since,
            store_id=store_id,
        )
        self._told = threading.Condition()
        self._statuses: dict[str, set[str]] = {}
        self._changes: list[tuple[int, str, str]] = []
        self._counts = {"resets": 0, "compactions": 0, "reconnects": 0}
        self._error: BuildRunnerError | None = None
        self._revision = since or 0
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        try:
            for event in self._watcher:
                with self._told:
                    self._take(event)
                    self._told.notify_all()
        except BuildRunnerError as error:
            with self._told:
                self._error = error
                self._told.notify_all()

    def _take(self, event: WatchEvent) -> None:
        self._counts["reconnects"] += event.connection == "back"
        self._counts["resets"] += event.reset
        self._counts["compactions"] += event.compacted
        self._revision = event.revision or self._revision
        for task in event.changes:
            if isinstance(task, TaskSummary):
                self._statuses.setdefault(task.task_id, set()).add(task.status.value)
                if not event.snapshot:
                    self._changes.append((event.revision, task.task_id, task.status.value))

    def until(self, task_id: str, status: str, timeout_s: float) -> dict[str, Any]:
        """What was told so far, once `task_id` has been seen as `status`. Raises DeadlineError."""
        deadline_s = time.monotonic() + timeout_s
        with self._told:
            while status not in self._statuses.get(task_id, ()):
                left_s = deadline_s - time.monotonic()
                if self._error is not None or self._watcher.ended:
                    raise self._error or UnreachableError("the watch has ended")
                if left_s <= 0:
                    raise DeadlineError(f"{task_id} was not {status} within {timeout_s} s")
                self._told.wait(left_s)
            changes, self._changes = self._changes, []
            return {"revision": self._revision, **self._counts, "changes": changes}

    def close(self) -> None:
        """Ends the feed and its thread."""
        self._watcher.close()
        self._thread.join(5)
