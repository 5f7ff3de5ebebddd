"""Work that may wait for the coordinator or for processes to end, off the keeper's loop."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

from ..errors import BuildRunnerError

_log = logging.getLogger(__name__)


class Chores:
    """A few daemon threads that run functions; what they return is handed to the loop by `finish`."""

    def __init__(self, name: str, wake: Callable[[], None], threads: int = 2) -> None:
        self._wake = wake
        self._todo: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]]] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Callable[[Any], None], Any]] = queue.SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._work, name=f"br-{name}-{number}", daemon=True).start()

    def add(self, work: Callable[[], Any], on_done: Callable[[Any], None]) -> None:
        """Has `work` run on a thread; `on_done` gets its result, None when it failed, in `finish`."""
        self._todo.put((work, on_done))

    def finish(self) -> None:
        """Calls what waits for results that have come. To be called by the loop."""
        while not self._done.empty():
            on_done, result = self._done.get()
            on_done(result)

    def _work(self) -> None:
        while True:
            work, on_done = self._todo.get()
            result = None
            try:
                result = work()
            except (BuildRunnerError, OSError) as error:
                _log.warning("%s", error)
            self._done.put((on_done, result))
            self._wake()
