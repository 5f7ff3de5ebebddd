"""Futures of tasks: those of threads are concurrent.futures', those of asyncio are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import Any

from .errors import BuildRunnerError, DeadlineError, TaskFailedError
from .task_results import TaskResult


def not_over(task_id: str) -> DeadlineError:
    """Says what a caller who has waited long enough can look at."""
    return DeadlineError(
        f"task {task_id} is not over yet; it goes on, and `br parallel explain` says what it waits for",
        reason="TIMEOUT",
    )


class TaskFuture(Future[TaskResult]):
    """A task that was submitted. `concurrent.futures.wait` and `as_completed` take it too."""

    def __init__(self, task_id: str, cancel: Callable[[str], None]) -> None:
        super().__init__()
        self.task_id = task_id
        self._ask_to_cancel = cancel

    def __repr__(self) -> str:
        return f"<TaskFuture of task {self.task_id}: {'done' if self.done() else 'not over yet'}>"

    def result(self, timeout: float | None = None) -> TaskResult:
        """The TaskResult of a task that succeeded; raises TaskFailedError otherwise, and DeadlineError, a
        TimeoutError, after `timeout` seconds."""
        self._await_end(timeout)
        return super().result()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What `result` would raise once the task is over, or None; DeadlineError after `timeout` seconds."""
        self._await_end(timeout)
        return super().exception()

    def _await_end(self, timeout: float | None) -> None:
        try:
            super().exception(timeout)
        except TimeoutError:
            raise not_over(self.task_id) from None

    def outcome(self, timeout: float | None = None) -> TaskResult:
        """The TaskResult however the task ended; DeadlineError, a TimeoutError, after `timeout` seconds."""
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
            raise not_over(self.task_id)
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
