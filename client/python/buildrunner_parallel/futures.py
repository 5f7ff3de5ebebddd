"""Futures of tasks: those of threads are concurrent.futures', those of asyncio are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import Any

from .errors import BuildRunnerError, DeadlineError, TaskFailedError
from .task_results import TaskResult


class TaskFuture(Future[TaskResult]):
    """A task that was submitted. `concurrent.futures.wait` and `as_completed` take it too.

    `result(timeout)` is the TaskResult of a task that succeeded; it raises TaskFailedError otherwise, and
    TimeoutError after `timeout` seconds. `exception(timeout)` is that error, or None.
    """

    def __init__(self, task_id: str, cancel: Callable[[str], None]) -> None:
        super().__init__()
        self.task_id = task_id
        self._ask_to_cancel = cancel

    def outcome(self, timeout: float | None = None) -> TaskResult:
        """The TaskResult however the task ended; TimeoutError after `timeout` seconds."""
        error = self.exception(timeout)
        if isinstance(error, TaskFailedError):
            return error.result
        return self.result()

    def cancel(self) -> bool:
        """Has the task stopped, also when it runs; False when it is over. The future ends when the task
        has."""
        if self.done():
            return False
        self._ask_to_cancel(self.task_id)
        return True

    def deliver(self, result: TaskResult) -> None:
        try:
            self.set_result(result.check())
        except TaskFailedError as error:
            self.set_exception(error)

    def fail(self, error: BuildRunnerError) -> None:
        self.set_exception(error)


class AsyncTaskFuture:
    """A task that was submitted: await it for the TaskResult of one that succeeded, else TaskFailedError.

    May be awaited several times, and given to `asyncio.gather`, `wait_for` and `as_completed`. Cancelling who
    awaits it leaves the task alone; `cancel` stops it.
    """

    def __init__(self, task_id: str, cancel: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        self.task_id = task_id
        self._ask_to_cancel = cancel
        # Holds results of all kinds and errors of the connection as values: nobody has to fetch them.
        self._end: asyncio.Future[TaskResult | BuildRunnerError] = asyncio.get_running_loop().create_future()

    def __await__(self) -> Generator[Any, Any, TaskResult]:
        return self.result().__await__()

    def done(self) -> bool:
        return self._end.done()

    async def outcome(self, timeout: float | None = None) -> TaskResult:
        """The TaskResult however the task ended; DeadlineError, a TimeoutError, after `timeout` seconds."""
        done, _ = await asyncio.wait([self._end], timeout=timeout)
        if not done:
            raise DeadlineError(f"task {self.task_id} is not over yet; it goes on", reason="TIMEOUT")
        end = self._end.result()
        if isinstance(end, TaskResult):
            return end
        raise end

    async def result(self, timeout: float | None = None) -> TaskResult:
        """The same, but raises TaskFailedError unless the task succeeded."""
        return (await self.outcome(timeout)).check()

    async def cancel(self) -> bool:
        """Has the task stopped, also when it runs; False when it is over. The future ends when the task
        has."""
        if self.done():
            return False
        await self._ask_to_cancel(self.task_id)
        return True

    def deliver(self, result: TaskResult) -> None:
        self._end.set_result(result)

    def fail(self, error: BuildRunnerError) -> None:
        self._end.set_result(error)
