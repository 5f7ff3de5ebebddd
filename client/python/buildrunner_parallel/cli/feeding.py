"""Submitting the tasks of lines while the lines are still coming, beside whatever waits for them.

A batch goes out when it is full or when no further line is there at present; the next lines are read once
the coordinator has it on disk, so a fast producer waits for a slow coordinator, and one without an end for
the tasks themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from buildrunner_parallel.errors import BuildRunnerError, RefusedError, UnreachableError

from .phrases import number_of
from .render import complain

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.specs import TaskSpec

    from .line_source import LineSource
    from .line_tasks import LineTasks

BATCH_TASKS = 1000
# How many tasks of a producer without an end may wait to be run before its next line is read.
BACKLOG_TASKS = 1 << 20
_BACKLOG_LOOK_S = 0.5
_END_S = 10.0
_TICK_S = 0.1


class Feed:
    """One submission of lines, in a thread of its own.

    `submitted` counts tasks that are durable with the coordinator; `finished` says that it was all, and
    `is_lost` that the coordinator cannot be reached any more.
    `after(feed)` is a sentence on what was submitted and what can be done about it; it goes to the end of
    every error. With `seal` the session is closed after the last line.
    """

    def __init__(
        self,
        client: Client,
        session_id: str,
        source: LineSource,
        tasks: LineTasks,
        *,
        first: int = 1,
        seal: bool = True,
        after: Callable[[Feed], str],
    ) -> None:
        self._client = client
        self._session_id = session_id
        self._source = source
        self._tasks = tasks
        self._first = first
        self._seal = seal
        self.after = after
        self.submitted = 0
        self.finished = False
        self.is_lost = False
        self._remark = ""
        self._failure: BuildRunnerError | None = None
        self._stopped = threading.Event()
        # Thread.join does not do: interrupted once, it takes a running thread for one that has ended.
        self._ended = threading.Event()
        source.stop = self._stopped.is_set
        self._thread = threading.Thread(target=self._run_guarded, name="br-feed", daemon=True)
        self._session_decides = False

    @contextmanager
    def running(self, *, session_decides: bool = False) -> Iterator[None]:
        """Submits while the body runs, and stops with it at the latest.

        What goes wrong closes the client, so that the body ends, and is raised from here as a
        BuildRunnerError. With `session_decides` a session that takes no more tasks since it is over is no
        fault: that is said, and the body goes on.
        """
        self._session_decides = session_decides
        self._thread.start()
        try:
            yield
        except BuildRunnerError:
            if self._failure is not None:
                raise self._failure from None
            raise
        finally:
            self._stopped.set()
            self._ended.wait(_END_S)
            if self._remark:
                complain(self._remark)
        if self._failure is not None:
            raise self._failure

    def wait(self, on_tick: Callable[[int], None]) -> None:
        """Returns when there is nothing more to submit; `on_tick` sees the count now and then."""
        while not self._ended.wait(_TICK_S):
            on_tick(self.submitted)

    def _run_guarded(self) -> None:
        try:
            self._run_to_its_end()
        finally:
            self._ended.set()

    def _run_to_its_end(self) -> None:
        try:
            self._run()
            return
        except BuildRunnerError as error:
            failure = error
        except OSError as error:
            failure = RefusedError(f"{self._source.name}: {error.strerror or error}")
        except Exception as error:  # A fault of the program: it must not end in silence with this thread.
            failure = RefusedError(f"Internal error, {type(error).__name__}: {error}")
        self.is_lost = isinstance(failure, UnreachableError)
        is_over = failure.reason == "SESSION_CLOSED"
        after = f"{submitted_phrase(self.submitted)} before." if is_over else self.after(self)
        failure.message = f"{failure.message.rstrip('.')}. {after}"
        if is_over and self._session_decides:
            self._remark = failure.message
            return
        self._failure = failure
        # Nothing else would end a wait for the session: it stays open, and may be silent for ever.
        self._client.close()

    def _run(self) -> None:
        backlog_end = BACKLOG_TASKS
        for batch in batches(self._specs()):
            self._client.submit_tasks(self._session_id, batch, omit_tasks=True)
            self.submitted += len(batch)
            if self._source.count is None and self.submitted >= backlog_end:
                backlog_end = self._drained_to() + BACKLOG_TASKS
        if self._stopped.is_set():
            return
        if self._seal:
            self._client.close_session(self._session_id)
        self.finished = True

    def _drained_to(self) -> int:
        """How many tasks of the session are over, once there is room for more behind them."""
        while True:
            done = self._client.get_session(self._session_id).counts.done
            if self.submitted - done < BACKLOG_TASKS or self._stopped.wait(_BACKLOG_LOOK_S):
                return done

    def _specs(self) -> Iterator[TaskSpec | None]:
        number = self._first
        for line in self._source.lines():
            yield None if line is None else self._tasks.spec(line, number)
            number += line is not None


def batches(specs: Iterable[TaskSpec | None]) -> Iterator[list[TaskSpec]]:
    """Lists of up to 1,000; None says not to wait for more."""
    batch: list[TaskSpec] = []
    for spec in specs:
        if spec is not None:
            batch.append(spec)
        if batch and (spec is None or len(batch) >= BATCH_TASKS):
            yield batch
            batch = []
    if batch:
        yield batch


def submitted_phrase(count: int) -> str:
    """Such as `3 tasks were submitted`."""
    if not count:
        return "No task was submitted"
    return f"{number_of(count, 'task')} {'was' if count == 1 else 'were'} submitted"
