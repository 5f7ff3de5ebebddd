"""A session as a block of a program: tasks go in, results come out, and the end of the block is theirs too.

    with client.session("thumbnails", workers=3) as session:
        future = session.submit(["convert", "a.png", "a.jpg"], retries=1)
        for result in session.map(["gzip", "{}"], paths):
            print(result.item, result.exit_code)

A thread of its own follows the session and delivers results; aio_session.py is the twin for asyncio.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Unpack

from .calls_submission import submission
from .errors import BuildRunnerError, DeadlineError, UnreachableError
from .feed import WatchEvent
from .futures import TaskFuture
from .map_window import BATCH_SIZE, WINDOW, MapWindow
from .session_book import OpenedSession, SessionBook
from .session_opening import CANCELS_AT_A_TIME, Opening, cancel, reason_for, seal
from .specs import TaskSpec
from .task_results import TaskResult
from .task_templates import TaskOptions, Template, WorkOptions, task_maker, task_of
from .tracking import session_cursor
from .waits import Deadline
from .watch import Watcher

if TYPE_CHECKING:
    from .calls_locks import Duration, Wait
    from .client import Client
    from .lock_leases import OnLost
    from .lock_paths import PathItem
    from .locks import LockBlock

_SUBMIT_TASKS = 1000
_MOST_EVENTS = 64


class LiveSession(OpenedSession):
    """Made by `Client.session`, to be used in a `with` statement. Safe to use from several threads."""

    def __init__(self, client: Client, opening: Opening) -> None:
        opening.check()
        self._client = client
        self._opening = opening
        self._changed = threading.Condition()
        self._left = False

    # ---------------------------------------------------------------- beginning and end

    def __enter__(self) -> LiveSession:
        client = self._client
        session = client._connection.do(self._opening.open(client))
        self._opened = SessionBook(client, session)
        self._watcher = Watcher(client._connection, session_cursor(session.session_id))
        self._thread = threading.Thread(target=self._follow, name="br-session", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if error is None:
                self._end()
            else:
                self._cancel_because(error)
        finally:
            self._left = True
            self._watcher.close()
            # It may still be looking for a coordinator that is gone; nobody waits for what it finds.
            self._thread.join(timeout=2.0)

    def _end(self) -> None:
        if self._opening.owns:
            self._client._connection.do(seal(self._client, self.session_id))
            self._book.tracking.session = self._client.wait_session(self.session_id)
        self.wait()

    def _cancel_because(self, error: BaseException) -> None:
        reason = reason_for(error)
        try:
            if self._opening.owns:
                self._client._connection.do(cancel(self._client, self.session_id, reason))
                self._book.tracking.session = self._client.wait_session(self.session_id)
            else:
                self._cancel_tasks(list(self._book.tracking.awaited), reason)
            self.wait()
        except BuildRunnerError as trouble:
            # What went wrong in the block matters more.
            error.add_note(f"session {self.session_id} could not be cancelled: {trouble}")

    # ------------------------------------------------------------------------ tasks in

    def submit(
        self,
        work: TaskSpec | Sequence[str | os.PathLike[str]] | None = None,
        /,
        **options: Unpack[WorkOptions],
    ) -> TaskFuture:
        """Adds a task: the words of a command, a TaskSpec, or `handler=...` with `payload=...`, or
        `shell_line=...`.

        `options` are the fields of TaskSpec; a payload may be bytes, text, a Payload, or anything that is
        JSON. Durable when it returns. Raises InvalidRequestError, WrongStateError (the session has ended or
        was sealed).
        """
        return self._submit([task_of(work, options)])[0]

    def submit_many(self, tasks: Iterable[TaskSpec]) -> list[TaskFuture]:
        """Adds tasks, in requests of up to 1,000; when one is refused the earlier ones stand."""
        source = iter(tasks)
        futures: list[TaskFuture] = []
        while chunk := list(islice(source, _SUBMIT_TASKS)):
            futures += self._submit(chunk)
        return futures

    def _submit(self, tasks: Sequence[TaskSpec]) -> list[TaskFuture]:
        task_ids = [self._book.id_of(task) for task in tasks]
        futures = [TaskFuture(task_id, self._cancel_task) for task_id in task_ids]
        with self._changed:
            self._book.expect(futures)
        self._send(task_ids, tasks, untaken=len(tasks))
        return futures

    def _send(self, task_ids: Sequence[str], tasks: Sequence[TaskSpec], *, untaken: int = 0) -> None:
        try:
            for call in submission(self._client, self.session_id, task_ids, tasks):
                self._client._connection.make(call)
        except BaseException:
            with self._changed:
                self._book.refused(task_ids, untaken=untaken)
                self._changed.notify_all()
            raise
        self._book.tracking.sent(task_ids)

    # --------------------------------------------------------------------- results out

    def as_completed(self, *, timeout_s: float | None = None) -> Iterator[TaskResult]:
        """The results of all tasks that were submitted by `submit` and `submit_many`, as the tasks end.

        Each comes once, failed ones too; tasks that are submitted meanwhile are waited for as well. Raises
        DeadlineError, a TimeoutError, after `timeout_s` seconds, and UnreachableError when the coordinator
        stays away.
        """
        deadline = Deadline(timeout_s)
        book = self._book
        while True:
            with self._changed:
                self._wait_until(lambda: book.has_finished, deadline)
                result = book.next_finished()
            if result is None:
                return
            yield result

    def map(
        self,
        template: Template,
        items: Iterable[Any],
        *,
        in_order: bool = True,
        check: bool = True,
        window: int = WINDOW,
        batch_size: int = BATCH_SIZE,
        **options: Unpack[TaskOptions],
    ) -> Iterator[TaskResult]:
        """A task for each item; yields their results, in the order of the items, or as they end.

        `template` is a command with `{}` for the item, the name of a handler that gets the item as its
        payload, or a function from item to TaskSpec. `items` may be endless: it is read, in the calling
        thread, only while fewer than `window` items are between it and the results that were taken. They are
        sent in requests of up to `batch_size`, fewer while `items` is slow.

        The first task that does not succeed raises TaskFailedError; with `check` False its result is yielded
        like the others. Whoever stops early, or is stopped by an error, has the tasks under way cancelled.
        """
        make = task_maker(template, options)
        return self._map(make, iter(items), MapWindow(window, batch_size, in_order), check)

    def _map(
        self, make: Callable[[Any], TaskSpec], source: Iterator[Any], window: MapWindow, check: bool
    ) -> Iterator[TaskResult]:
        live: dict[str, None] = {}
        forever = Deadline(None)
        try:
            while not window.is_over:
                if window.next_batch:
                    self._feed(make, source, window, live)
                else:
                    with self._changed:
                        self._wait_until(lambda: window.is_ready, forever)
                while (result := self._locked(window.take)) is not None:
                    yield result.check() if check else result
        finally:
            self._cancel_tasks(list(live), "its result is not wanted any more")

    def _feed(
        self, make: Callable[[Any], TaskSpec], source: Iterator[Any], window: MapWindow, live: dict[str, None]
    ) -> None:
        began_s = time.monotonic()
        size = window.next_batch
        items = list(islice(source, size))
        window.exhausted = len(items) < size
        window.adapt(began_s, len(items))
        if items:
            tasks = [make(item) for item in items]
            task_ids = [self._book.id_of(task) for task in tasks]
            with self._changed:
                self._book.expect_items(window, task_ids, items, live)
            self._send(task_ids, tasks)

    def wait(self, *, timeout_s: float | None = None) -> None:
        """Returns once everything that was submitted here is over. Raises DeadlineError after `timeout_s`
        seconds, and UnreachableError when the coordinator stays away."""
        with self._changed:
            self._wait_until(lambda: self._book.is_idle, Deadline(timeout_s))

    def lock(
        self,
        paths: Iterable[PathItem],
        *,
        mode: str = "exclusive",
        wait: Wait = None,
        lease: Duration = "30s",
        on_lost: OnLost | None = None,
    ) -> LockBlock:
        """A block that holds `paths` for this session, see `Client.lock`.

        The session's tasks do not get them meanwhile; what they shall have too, take with `acquire_locks`.
        """
        return self._client.lock(self.session_id, paths, mode=mode, wait=wait, lease=lease, on_lost=on_lost)

    # ------------------------------------------------------------------------- within

    def _wait_until(self, is_so: Callable[[], Any], deadline: Deadline) -> None:
        """Called with the lock held. Raises why nothing more comes, or DeadlineError."""
        book = self._book
        self._changed.wait_for(lambda: is_so() or book.failure, deadline.left_s)
        if is_so():
            return
        raise book.failure or DeadlineError(
            f"tasks of session {self.session_id} are not over yet; they go on", reason="TIMEOUT"
        )

    def _locked(self, take: Callable[[], TaskResult | None]) -> TaskResult | None:
        with self._changed:
            return take()

    def _cancel_task(self, task_id: str) -> None:
        self._client.cancel_task(self.session_id, task_id)

    def _cancel_tasks(self, task_ids: Sequence[str], reason: str) -> None:
        """The last ones first, and several at a time: workers begin with the others meanwhile."""
        if self._left or not task_ids:
            return
        with ThreadPoolExecutor(CANCELS_AT_A_TIME, thread_name_prefix="br-cancel") as pool:
            for _ in pool.map(partial(self._cancel_unwanted, reason), reversed(task_ids)):
                pass

    def _cancel_unwanted(self, reason: str, task_id: str) -> None:
        if self._left or self._book.failure or self._book.session.is_over:
            return
        try:
            self._client.cancel_task(self.session_id, task_id, reason=reason)
        except UnreachableError as error:
            self._break(error)
        except BuildRunnerError:
            # It was never submitted, which is told elsewhere.
            return

    # ----------------------------------------------------------------- the following thread

    def _follow(self) -> None:
        try:
            while events := self._next_events():
                ends = self._client._connection.do(self._book.tracking.take(events))
                self._book.deliver(ends)
                with self._changed:
                    self._book.tracking.forget([result.task_id for _, result in ends])
                    self._changed.notify_all()
            self._break(UnreachableError("the client was closed"))
        except BuildRunnerError as error:
            self._break(error)
        except Exception as error:
            self._break(BuildRunnerError(f"the session cannot be followed any more: {error!r}"))
            raise

    def _next_events(self) -> list[WatchEvent]:
        """What has come since; waits for something. Empty when nothing more can come."""
        events: list[WatchEvent] = []
        event = self._watcher.poll(None)
        while event is not None:
            events.append(event)
            event = self._watcher.poll(0.0) if len(events) < _MOST_EVENTS else None
        return events

    def _break(self, error: BuildRunnerError) -> None:
        with self._changed:
            waiting = self._book.give_up(error)
        for awaited in waiting:
            awaited.fail(error)
        with self._changed:
            self._changed.notify_all()
