"""Running batches of a build as tasks: the base class of orchestrators that know sessions and workers.

A batch is an object of the program's with `id`, `expected_files` and `to_dict()`, whose `argv`, `run` or
`handler` says what runs.
"""

from __future__ import annotations

import time
from typing import Any

from ..errors import DeadlineError
from .errors import value_errors
from .session_manager import SessionManager
from .tasks import is_to_run
from .worker_coordinator import WorkerCoordinator

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.5


class Orchestrator:
    """Subclasses may set `session_manager` and `worker_coordinator`; else those of the workspace are used."""

    session_manager: SessionManager
    worker_coordinator: WorkerCoordinator

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Whatever a subclass is given is kept as `arguments` and `options`."""
        self.arguments = arguments
        self.options = options

    def execute_batch_on_worker(self, batch: Any, worker_id: str) -> None:
        """Sees to it that the batch runs, and returns at once. One that was assigned runs already. Raises
        ValueError for one with nothing to run."""
        data = batch.to_dict()
        if not is_to_run(data):
            raise ValueError(
                f"batch {batch.id} has nothing to run: its to_dict() needs argv, a list of texts, "
                f"or run, a line for the shell, or handler, a name"
            )
        coordinator = self._coordinator()
        if coordinator.get_task(batch.id) is None:
            coordinator.assign_task(batch.id, data, worker_id=worker_id)

    def wait_for_session(self, session_id: str, timeout: float | None = None) -> None:
        """Returns when none of its tasks is left to do, however they ended, or the session is over.

        Raises DeadlineError (a TimeoutError) after `timeout` seconds, ValueError for an unknown session.
        """
        end_s = None if timeout is None else time.monotonic() + timeout
        pause_s = _FIRST_PAUSE_S
        while not self._is_done(session_id):
            left_s = pause_s if end_s is None else end_s - time.monotonic()
            if left_s <= 0:
                raise DeadlineError(f"session {session_id} was not done within {timeout:g} s; it goes on")
            time.sleep(min(pause_s, left_s))
            pause_s = min(_LONGEST_PAUSE_S, 1.5 * pause_s)

    def _is_done(self, session_id: str) -> bool:
        with value_errors(session_id):
            record = self._manager()._home.client.get_session(session_id)
        return record.is_over or record.counts.done == record.counts.total

    def _manager(self) -> SessionManager:
        if "session_manager" not in self.__dict__:
            self.session_manager = SessionManager()
        return self.session_manager

    def _coordinator(self) -> WorkerCoordinator:
        if "worker_coordinator" not in self.__dict__:
            self.worker_coordinator = WorkerCoordinator(self._manager())
        return self.worker_coordinator
