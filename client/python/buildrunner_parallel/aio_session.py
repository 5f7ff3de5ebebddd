"""The asyncio twin of live_session.py: a session as a block of a program.

    async with client.session("thumbnails", workers=3) as session:
        future = await session.submit(["convert", "a.png", "a.jpg"], retries=1)
        async for result in session.map(["gzip", "{}"], paths):
            print(result.item, result.exit_code)

A task of its own follows the session and delivers results.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Unpack

from .aio_watch import AsyncWatcher
from .calls_submission import submission
from .errors import BuildRunnerError, DeadlineError, UnreachableError
from .feed import WatchEvent
from .futures import AsyncTaskFuture
from .item_source import ItemSource
from .map_window import BATCH_SIZE, WINDOW, MapWindow
from .session_book import OpenedSession, SessionBook
from .session_opening import CANCELS_AT_A_TIME, Opening, cancel, reason_for, seal
from .specs import TaskSpec
from .task_results import TaskResult
from .task_templates import TaskOptions, Template, WorkOptions, task_maker, task_of
from .tracking import session_cursor
from .waits import Deadline

if TYPE_CHECKING:
    from .aio import AsyncClient
    from .aio_locks import AsyncLockBlock
    from .calls_locks import Duration, Wait
    from .lock_leases import OnLost
    from .lock_paths import PathItem

_SUBMIT_TASKS = 1000
_MOST_EVENTS = 64


class AsyncLiveSession(OpenedSession):
    """Made by `AsyncClient.session`, to be used in an `async with` statement."""

    def __init__(self, client: AsyncClient, opening: Opening) -> None:
        opening.check()
        self._client = client
        self._opening = opening
        self._changed = asyncio.Event()
        self._left = False

    # ---------------------------------------------------------------- beginning and end

    async def __aenter__(self) -> AsyncLiveSession:
        client = self._client
        session = await client._connection.do(self._opening.open(client))
        self._opened = SessionBook(client, session)
        self._watcher = AsyncWatcher(client._connection, session_cursor(session.session_id))
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="br-session")
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if error is None:
                await self._end()
            else:
                await self._cancel_because(error)
        finally:
            self._left = True
            await self._watcher.close()
            await asyncio.wait([self._task])

    async def _end(self) -> None:
        if self._opening.owns:
            await self._client._connection.do(seal(self._client, self.session_id))
            self._book.tracking.session = await self._client.wait_session(self.session_id)
        await self.wait()

    async def _cancel_because(self, error: BaseException) -> None:
        reason = reason_for(error)
        try:
            if self._opening.owns:
                await self._client._connection.do(cancel(self._client, self.session_id, reason))
                self._book.tracking.session = await self._client.wait_session(self.session_id)
            else:
                await self._cancel_tasks(list(self._book.tracking.awaited), reason)
            await self.wait()
        except BuildRunnerError as trouble:
            # What went wrong in the block matters more.
            error.add_note(f"session {self.session_id} could not be cancelled: {trouble}")

    # ------------------------------------------------------------------------ tasks in

    async def submit(
        self,
        work: TaskSpec | Sequence[str | os.PathLike[str]] | None = None,
        /,
        **options: Unpack[WorkOptions],
    ) -> AsyncTaskFuture:
        """Adds a task: the words of a command, a TaskSpec, or `handler=...` with `payload=...`, or
        `shell_line=...`.

        `options` are the fields of TaskSpec; a payload may be bytes, text, a Payload, or anything that is
        JSON. Durable when it returns. Raises InvalidRequestError, WrongStateError (the session has ended or
        was sealed).
        """
        return (await self._submit([task_of(work, options)]))[0]

    async def submit_many(self, tasks: Iterable[TaskSpec]) -> list[AsyncTaskFuture]:
        """Adds tasks, in requests of up to 1,000; when one is refused the earlier ones stand."""
        source = iter(tasks)
        futures: list[AsyncTaskFuture] = []
        while chunk := list(islice(source, _SUBMIT_TASKS)):
            futures += await self._submit(chunk)
        return futures

    async def _submit(self, tasks: Sequence[TaskSpec]) -> list[AsyncTaskFuture]:
        task_ids = [self._book.id_of(task) for task in tasks]
        futures = [AsyncTaskFuture(task_id, self._cancel_task) for task_id in task_ids]
        self._book.expect(futures)
        await self._send(task_ids, tasks, untaken=len(tasks))
        return futures

    async def _send(self, task_ids: Sequence[str], tasks: Sequence[TaskSpec], *, untaken: int = 0) -> None:
        try:
            for call in submission(self._client, self.session_id, task_ids, tasks):
                await self._client._connection.make(call)
        except BaseException:
            self._book.refused(task_ids, untaken=untaken)
            self._changed.set()
            raise
        self._book.tracking.sent(task_ids)

    # --------------------------------------------------------------------- results out

    async def as_completed(self, *, timeout_s: float | None = None) -> AsyncIterator[TaskResult]:
        """The results of all tasks that were submitted by `submit` and `submit_many`, as the tasks end.

        Each comes once, failed ones too; tasks that are submitted meanwhile are waited for as well. Raises
        DeadlineError, a TimeoutError, after `timeout_s` seconds, and UnreachableError when the coordinator
        stays away.
        """
        deadline = Deadline(timeout_s)
        while True:
            await self._wait_until(lambda: self._book.has_finished, deadline)
            result = self._book.next_finished()
            if result is None:
                return
            yield result

    def map(
        self,
        template: Template,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        in_order: bool = True,
        check: bool = True,
        window: int = WINDOW,
        batch_size: int = BATCH_SIZE,
        **options: Unpack[TaskOptions],
    ) -> AsyncIterator[TaskResult]:
        """A task for each item; yields their results, in the order of the items, or as they end.

        `template` is a command with `{}` for the item, the name of a handler that gets the item as its
        payload, or a function from item to TaskSpec. `items` may be endless: it is read, in the calling
        thread, only while fewer than `window` items are between it and the results that were taken. They are
        sent in requests of up to `batch_size`, fewer while `items` is slow.

        The first task that does not succeed raises TaskFailedError; with `check` False its result is yielded
        like the others. Whoever stops early, or is stopped by an error, has the tasks under way cancelled.
        """
        make = task_maker(template, options)
        return self._map(make, ItemSource(items), MapWindow(window, batch_size, in_order), check)

    async def _map(
        self, make: Callable[[Any], TaskSpec], source: ItemSource, window: MapWindow, check: bool
    ) -> AsyncIterator[TaskResult]:
        live: dict[str, None] = {}
        feeding = asyncio.get_running_loop().create_task(self._feed_all(make, source, window, live))
        feeding.add_done_callback(lambda _task: self._changed.set())
        try:
            while not window.is_over:
                await self._wait_until(lambda: window.is_ready or feeding.done(), Deadline(None))
                while (result := window.take()) is not None:
                    self._changed.set()
                    yield result.check() if check else result
                if feeding.done():
                    feeding.result()
                    await self._wait_until(lambda: window.is_ready or window.is_over, Deadline(None))
        finally:
            feeding.cancel()
            await asyncio.wait([feeding])
            await self._cancel_tasks(list(live), "its result is not wanted any more")

    async def _feed_all(
        self, make: Callable[[Any], TaskSpec], source: ItemSource, window: MapWindow, live: dict[str, None]
    ) -> None:
        """Reads items and submits their tasks while the window has room."""
        async with source:
            while not window.exhausted:
                await self._wait_until(lambda: window.next_batch, Deadline(None))
                began_s = time.monotonic()
                items = await source.read(window.next_batch)
                window.exhausted = source.ended
                window.adapt(began_s, len(items))
                if items:
                    tasks = [make(item) for item in items]
                    task_ids = [self._book.id_of(task) for task in tasks]
                    self._book.expect_items(window, task_ids, items, live)
                    await self._send(task_ids, tasks)

    async def wait(self, *, timeout_s: float | None = None) -> None:
        """Returns once everything that was submitted here is over. Raises DeadlineError after `timeout_s`
        seconds, and UnreachableError when the coordinator stays away."""
        await self._wait_until(lambda: self._book.is_idle, Deadline(timeout_s))

    def lock(
        self,
        paths: Iterable[PathItem],
        *,
        mode: str = "exclusive",
        wait: Wait = None,
        lease: Duration = "30s",
        on_lost: OnLost | None = None,
    ) -> AsyncLockBlock:
        """A block that holds `paths` for this session, see `AsyncClient.lock`.

        The session's tasks do not get them meanwhile; what they shall have too, take with `acquire_locks`.
        """
        return self._client.lock(self.session_id, paths, mode=mode, wait=wait, lease=lease, on_lost=on_lost)

    # ------------------------------------------------------------------------- within

    async def _wait_until(self, is_so: Callable[[], Any], deadline: Deadline) -> None:
        """Raises why nothing more comes, or DeadlineError."""
        while not is_so():
            if self._book.failure is not None:
                raise self._book.failure
            self._changed.clear()
            try:
                async with asyncio.timeout(deadline.left_s):
                    await self._changed.wait()
            except TimeoutError as error:
                raise DeadlineError(
                    f"tasks of session {self.session_id} are not over yet; they go on", reason="TIMEOUT"
                ) from error

    async def _cancel_task(self, task_id: str) -> None:
        await self._client.cancel_task(self.session_id, task_id)

    async def _cancel_tasks(self, task_ids: Sequence[str], reason: str) -> None:
        """The last ones first, and several at a time: workers begin with the others meanwhile."""
        unwanted = list(task_ids)

        async def cancel_some() -> None:
            while unwanted and not (self._left or self._book.failure or self._book.session.is_over):
                await self._cancel_unwanted(unwanted.pop(), reason)

        await asyncio.gather(*(cancel_some() for _ in range(min(CANCELS_AT_A_TIME, len(unwanted)))))

    async def _cancel_unwanted(self, task_id: str, reason: str) -> None:
        try:
            await self._client.cancel_task(self.session_id, task_id, reason=reason)
        except UnreachableError as error:
            self._break(error)
        except BuildRunnerError:
            # It was never submitted, which is told elsewhere.
            return

    # ------------------------------------------------------------------ the following task

    async def _follow(self) -> None:
        try:
            while events := await self._next_events():
                ends = await self._client._connection.do(self._book.tracking.take(events))
                self._book.deliver(ends)
                self._book.tracking.forget([result.task_id for _, result in ends])
                self._changed.set()
            self._break(UnreachableError("the client was closed"))
        except BuildRunnerError as error:
            self._break(error)
        except Exception as error:
            self._break(BuildRunnerError(f"the session cannot be followed any more: {error!r}"))
            raise

    async def _next_events(self) -> list[WatchEvent]:
        """What has come since; waits for something. Empty when nothing more can come."""
        events: list[WatchEvent] = []
        event = await self._watcher.poll(None)
        while event is not None:
            events.append(event)
            event = await self._watcher.poll(0.0) if len(events) < _MOST_EVENTS else None
        return events

    def _break(self, error: BuildRunnerError) -> None:
        for awaited in self._book.give_up(error):
            awaited.fail(error)
        self._changed.set()
