"""What the dashboard asks of the coordinator beside its feed: in threads, so that no drawing waits for it.

One thread looks things up, another carries out what the user ordered. Results are small functions that
the loop applies to the board in its own thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from buildrunner_parallel.errors import BuildRunnerError, NotFoundError
from buildrunner_parallel.records import Session, Task, TaskStatus, TaskSummary, Wait
from buildrunner_parallel.text import one_line, output_line

from .fold import Board
from .lists import TASK_STATES, Filter, Listing
from .pages import MOST_LOG_LINES, Detail
from .ui import Action

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client

MOST_READ = 2_000
MOST_LISTED = 500
MOST_SEARCHED = 100_000
EXPLAINED_TASKS = 100
EXPLAINED_SESSIONS = 5
RECENT_SESSIONS = 20
MOST_FAILED = 200
_PATIENCE_S = 3.0

Result = Callable[[Board], None]


class Desk:
    """`wake` is called from other threads whenever `results` has something."""

    def __init__(self, client: Client, wake: Callable[[], None], *, threads: bool = True) -> None:
        self._client = client
        self._wake = wake
        self._closed = False
        self.results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        # (text, style): what became of an action.
        self.notices: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self.listing: Listing | None = None
        self.detail: Detail | None = None
        self._looks: queue.SimpleQueue[tuple[str, Callable[[], None]] | None] = queue.SimpleQueue()
        self._orders: queue.SimpleQueue[tuple[str, Callable[[], None]] | None] = queue.SimpleQueue()
        self._under_way: set[str] = set()
        # When each look may be made again: dear ones are made less often.
        self._not_before_s: dict[str, float] = {}
        self._looked_back = False
        self._output = Output()
        for jobs, name in ((self._looks, "br-looks"), (self._orders, "br-orders")) if threads else ():
            threading.Thread(target=self._work, args=(jobs,), name=name, daemon=True).start()

    def close(self) -> None:
        """No further results; the threads end by themselves."""
        self._closed = True
        self._looks.put(None)
        self._orders.put(None)

    def _work(self, jobs: queue.SimpleQueue[tuple[str, Callable[[], None]] | None]) -> None:
        while (job := jobs.get()) is not None and not self._closed:
            name, work = job
            began_s = time.monotonic()
            try:
                work()
            except BuildRunnerError as error:
                if name.startswith("order"):
                    self.notices.put((one_line(error.message), "bad"))
            except Exception as error:  # A fault of the program is told, and the dashboard goes on.
                self.notices.put(
                    (f"Internal error, {type(error).__name__}: {one_line(str(error), 200)}", "bad")
                )
            ended_s = time.monotonic()
            self._not_before_s[name] = ended_s + 9 * (ended_s - began_s)
            self._under_way.discard(name)
            if not self._closed:
                self._wake()

    def _look(self, name: str, every_s: float, work: Callable[[], None]) -> None:
        """Has `work` done, unless it is under way or was done lately: it takes a tenth of the time."""
        now_s = time.monotonic()
        if name in self._under_way or now_s < self._not_before_s.get(name, 0.0):
            return
        last_s = self._not_before_s.get(f"{name} begun", -1e9)
        if now_s - last_s < every_s:
            return
        self._not_before_s[f"{name} begun"] = now_s
        self._under_way.add(name)
        self._looks.put((name, work))

    # ------------------------------------------------------------- looks

    def look_around(self, board: Board) -> None:
        """Whatever the board lacks at present; to be called often."""
        if not board.connected or not board.loaded:
            return
        self._look("recent sessions", 3600.0, self._recent_sessions)
        for session_id in list(board.unread)[:1]:
            self._look(f"tasks of {session_id}", 2.0, lambda one=session_id: self._tasks_of(one))  # type: ignore[misc]
        if board.workers:
            self._look("heartbeats", 4.0, self._heartbeats)
        active = [one for one in board.sessions.values() if not one.is_over]
        if active:
            known = len(board.waiting)
            self._look("lock waiters", 2.0, lambda: self._lock_waiters(known))
        waiting = [one for one in active if one.counts.queued + one.counts.blocked]
        if waiting:
            ids = [one.session_id for one in waiting[:EXPLAINED_SESSIONS]]
            self._look("reasons", 2.0, lambda: self._explain(ids))

    def look_at_all(self, board: Board, session_id: str = "") -> None:
        """The same in the caller's thread, with the answers taken in, and with the list of a session's tasks.

        Raises the errors of errors.py.
        """
        self._recent_sessions()
        for unread_id in list(board.unread):
            self._tasks_of(unread_id)
        self._heartbeats()
        self._lock_waiters(len(board.waiting))
        waiting = [one for one in board.sessions.values() if one.counts.queued + one.counts.blocked]
        self._explain([one.session_id for one in waiting if not one.is_over][:EXPLAINED_SESSIONS])
        if session_id:
            self._list(session_id, Filter())
        while not self.results.empty():
            self.results.get()(board)

    def _put(self, result: Result) -> None:
        self.results.put(result)
        self._wake()

    def _recent_sessions(self) -> None:
        found = self._client.list_sessions(limit=RECENT_SESSIONS)
        now_s = time.monotonic()
        self._put(lambda board: board.take_sessions(found, now_s))
        if not self._looked_back:
            self._past_failures(found)
            self._looked_back = True

    def _past_failures(self, sessions: Iterable[Session]) -> None:
        """What failed in sessions that were over before anybody looked: asked for once, and no more than is
        shown."""
        told: list[TaskSummary] = []
        for session in sessions:
            if session.is_over and session.counts.failed and len(told) < MOST_FAILED and not self._closed:
                told += self._failed_of(session.session_id)
        self._put(lambda board: board.take_failures(told))

    def _failed_of(self, session_id: str) -> list[TaskSummary]:
        """None of one that was deleted meanwhile."""
        failed = (TaskStatus.FAILED,)
        try:
            return list(self._client.list_tasks(session_id, statuses=failed, limit=MOST_FAILED))
        except NotFoundError:
            return []

    def _tasks_of(self, session_id: str) -> None:
        states = (TaskStatus.RUNNING, TaskStatus.CANCELLING)
        found = list(self._client.list_tasks(session_id, statuses=states, limit=MOST_READ))
        found += self._client.list_tasks(session_id, statuses=(TaskStatus.FAILED,), limit=MOST_FAILED)
        found.sort(key=_start)
        self._put(lambda board: board.take_tasks(session_id, found))

    def _heartbeats(self) -> None:
        found = self._client.list_workers()
        self._put(lambda board: board.take_workers(found))

    def _lock_waiters(self, known: int) -> None:
        # Counting is cheap; what is held is listed only when somebody waits whom the feed does not name.
        waiting = self._client.summary().lock_waiters
        waiters = self._client.list_locks().waiters if waiting > known else ()
        now = datetime.now(UTC)
        self._put(lambda board: board.take_lock_waiters(waiters, now))

    def _explain(self, session_ids: Iterable[str]) -> None:
        for session_id in session_ids:
            found = self._client.explain_tasks(session_id, limit=EXPLAINED_TASKS)
            self._put(lambda board, one=session_id, told=found: board.take_explained(one, told))  # type: ignore[misc]

    # ------------------------------------------------------------- the page that is open

    def list_tasks(self, session_id: str, chosen: Filter) -> None:
        """Keeps `listing` fresh for this session and filter."""
        present = self.listing
        name = f"listing {session_id} {chosen}"
        if present is None or (present.session_id, present.filter) != (session_id, chosen):
            self._not_before_s.pop(name, None)
            self._not_before_s.pop(f"{name} begun", None)
        self._look(name, 2.0, lambda: self._list(session_id, chosen))

    def _list(self, session_id: str, chosen: Filter) -> None:
        states = TASK_STATES.get(chosen.state, ())
        found: list[TaskSummary] = []
        for searched, task in enumerate(self._client.iter_tasks(session_id, statuses=states), start=1):
            if chosen.has(task.task_id, task.title, task.error, task.worker_id):
                found.append(task)
            if len(found) >= MOST_LISTED or searched >= MOST_SEARCHED or self._closed:
                break
        listing = Listing(session_id, chosen, tuple(found), whole=len(found) < MOST_LISTED)

        def put(_: Board) -> None:
            self.listing = listing

        self._put(put)

    def read_task(self, session_id: str, task_id: str, every_s: float) -> None:
        """Keeps `detail` fresh for this task."""
        name = f"task {session_id} {task_id}"
        present = self.detail
        if present is None or (present.session_id, present.task_id) != (session_id, task_id):
            self._not_before_s.pop(f"{name} begun", None)
        elif present.task is not None and present.task.summary.is_over and self._output.is_whole:
            every_s = 5.0
        self._look(name, every_s, lambda: self._read_task(session_id, task_id))

    def _read_task(self, session_id: str, task_id: str) -> None:
        try:
            task = self._client.get_task(session_id, task_id)
            waits: tuple[Wait, ...] = ()
            if task.summary.status.value in ("queued", "blocked"):
                explained = self._client.explain_tasks(session_id, task_id)
                waits = explained[0].waits if explained else ()
            lines = self._output.read(self._client, task)
            detail = Detail(session_id, task_id, task, waits, lines)
        except BuildRunnerError as error:
            if error.reason not in ("TASK_NOT_FOUND", "SESSION_NOT_FOUND"):
                raise
            detail = Detail(session_id, task_id, trouble=one_line(error.message))

        def put(_: Board) -> None:
            self.detail = detail

        self._put(put)

    # ------------------------------------------------------------- orders

    def carry_out(self, action: Action) -> None:
        """Has the coordinator do it; what became of it comes as a notice."""
        self._orders.put((f"order {action}", lambda: self._do(action)))

    def _do(self, action: Action) -> None:
        client, session_id = self._client, action.session_id
        if action.verb == "pause":
            told = f"Session {session_id} is {client.pause_session(session_id).status.value}"
        elif action.verb == "resume":
            told = f"Session {session_id} is {client.resume_session(session_id).status.value}"
        elif action.verb == "retry":
            task_ids = (action.task_id,) if action.task_id else ()
            _, count = client.retry_tasks(session_id, task_ids)
            told = f"{count} task{'' if count == 1 else 's'} of session {session_id} will run again"
        elif action.task_id:
            task = client.cancel_task(session_id, action.task_id, reason="from the dashboard")
            told = f"Task {task.task_id} is {task.status.value}"
        else:
            session = client.cancel_session(session_id, reason="from the dashboard")
            told = f"Session {session_id} is {'cancelled' if session.is_over else 'being cancelled'}"
        self.notices.put((told, "ok"))


class Output:
    """The last lines that a task wrote, read on from where the last reading ended."""

    def __init__(self) -> None:
        self._of: tuple[str, str, int] = ("", "", 0)
        self._offset = 0
        self._lines: list[str] = []
        self._rest = b""
        self.is_whole = False

    def read(self, client: Client, task: Task) -> tuple[str, ...]:
        """Up to what is known of the output now."""
        summary = task.summary
        if self._of != (summary.session_id, summary.task_id, summary.attempt):
            self._of = (summary.session_id, summary.task_id, summary.attempt)
            self._offset, self._lines, self._rest, self.is_whole = 0, [], b"", False
        if not summary.attempt or self.is_whole:
            return self._shown()
        arguments: dict[str, Any] = {"attempt": summary.attempt}
        if self._offset:
            arguments["offset"] = self._offset
        else:
            arguments["tail_lines"] = MOST_LOG_LINES
        try:
            for piece in client.read_output(summary.session_id, summary.task_id, **arguments):
                self._take(piece.chunk.data, piece.chunk.dropped_bytes)
                self._offset = piece.chunk.offset + len(piece.chunk.data)
        except BuildRunnerError as error:
            if error.reason not in ("OUTPUT_NOT_FOUND", "TASK_NOT_FOUND"):
                raise
        self.is_whole = summary.is_over
        return self._shown()

    def _take(self, data: bytes, dropped_bytes: int) -> None:
        if dropped_bytes and self._offset:
            self._lines.append(f"... {dropped_bytes:,} bytes are left out here ...")
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        if newline:
            # Of a line that is nothing but a progress bar only its last state counts; very long ones are cut.
            texts = whole.split(b"\n")
            self._lines += [output_line(text[-4096:].decode("utf-8", "replace")) for text in texts]
        self._rest = rest[-65536:]
        del self._lines[:-MOST_LOG_LINES]

    def _shown(self) -> tuple[str, ...]:
        last = [output_line(self._rest[-4096:].decode("utf-8", "replace"))] if self._rest else []
        return (*self._lines, *last)


def _start(task: TaskSummary) -> float:
    return task.started_at.timestamp() if task.started_at else 0.0
