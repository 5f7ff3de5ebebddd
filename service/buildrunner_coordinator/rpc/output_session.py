"""Output of a whole session: of its tasks as they ended, and with `follow` of all that run, as they write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

from buildrunner_coordinator.domain.changes import TaskRow
from buildrunner_coordinator.domain.commands import FindTask
from buildrunner_coordinator.domain.questions import AttemptQuery
from buildrunner_coordinator.domain.replies import TaskPlace
from buildrunner_coordinator.engine.news import Subscription
from buildrunner_coordinator.rpc.convert.tasks import OVER_STATUSES
from buildrunner_coordinator.rpc.output_pieces import OutputWriter, Place

TASKS_A_READ = 1000
_LIVE_STATUSES = ("assigned", "running", "cancelling")


class _Ran(NamedTuple):
    """The last attempt of a task; no more, since a session may have a million of them."""

    at_us: int
    ordinal: int
    task_id: str
    number: int


class SessionOutput:
    """Each attempt once. Of tasks that ended before, the last attempt only; followed tasks have them all."""

    def __init__(self, writer: OutputWriter, session_id: str, news: Subscription) -> None:
        self._writer = writer
        self._session_id = session_id
        self._news = news
        self._places: dict[str, Place] = {}
        """Of followed tasks that are not over."""
        self._done: dict[str, int] = {}
        """Tasks that were found over in this look, with their last attempt: the news of their ends has come
        by then, and is no reason to write them again in the next look."""

    async def run(self) -> None:
        ended = await self._tasks(OVER_STATUSES)
        wrote = await self._that_wrote() if ended else set()
        for one in ended:
            if (one.task_id, one.number) in wrote:
                await self._whole_attempt(one)
            self._done[one.task_id] = one.number
        running = await self._tasks(_LIVE_STATUSES)
        if self._writer.request.follow:
            await self._follow(one.task_id for one in running)
        else:
            for one in running:
                await self._whole_attempt(one)

    async def _follow(self, task_ids: Iterable[str]) -> None:
        """Looks at whatever had something happen, until the session is over."""
        looked_at = list(dict.fromkeys([*task_ids, *self._news.take()]))
        while True:
            done, self._done = self._done, {}
            for task_id in looked_at:
                await self._look(task_id, done.get(task_id, 0))
            # In this order: what happened before the session was found over has been told by then.
            place: TaskPlace = await self._writer.engine.execute(FindTask(self._session_id))
            is_last = place.session_over or self._writer.engine.news.closed
            if not is_last and not self._news.has_touched:
                await self._news.wait()
            looked_at = self._news.take()
            if is_last and not looked_at:
                return

    async def _look(self, task_id: str, done: int) -> None:
        """Writes what is new of a task; up to attempt `done` all was written."""
        state = await self._writer.state(self._session_id, task_id)
        place = self._places.get(task_id) or Place(self._session_id, task_id, done + 1)
        while place.number <= state.attempts:
            await self._writer.copy(place)
            if place.number == state.attempts and state.live:
                break
            await self._writer.tell_gap(place)
            await self._writer.write_end(place)
            place = Place(self._session_id, task_id, place.number + 1)
        if state.over:
            self._places.pop(task_id, None)
            self._done[task_id] = state.attempts
        else:
            self._places[task_id] = place

    async def _whole_attempt(self, one: _Ran) -> None:
        place = Place(self._session_id, one.task_id, one.number)
        await self._writer.copy(place)
        await self._writer.tell_gap(place)

    async def _tasks(self, statuses: tuple[str, ...]) -> list[_Ran]:
        """Those that ran, in order of their ends; live ones in order of their starts."""
        return sorted([_ran(row) async for row in self._rows(statuses) if row.attempts])

    async def _that_wrote(self) -> set[tuple[str, int]]:
        """Ended attempts with output: to look for that of each silent one would take longer."""
        wrote: set[tuple[str, int]] = set()
        query = AttemptQuery(self._session_id, limit=TASKS_A_READ, with_results=False)
        while True:
            page = await self._writer.engine.read(lambda store: store.read_attempts(query))  # noqa: B023
            wrote.update((row.task_id, row.number) for row, _ in page.rows if row.output_bytes)
            if not page.has_more:
                return wrote
            last = page.rows[-1][0]
            query = query._replace(after=(last.ended_revision, last.task_number, last.number))

    async def _rows(self, statuses: tuple[str, ...]) -> AsyncIterator[TaskRow]:
        after = 0
        while True:
            start = after
            page = await self._writer.engine.read(
                lambda store: store.read_tasks(self._session_id, statuses, start, TASKS_A_READ)  # noqa: B023
            )
            for _, row in page.rows:
                yield row
            after = page.next_ordinal
            if not after:
                return


def _ran(row: TaskRow) -> _Ran:
    return _Ran(row.ended_at_us or row.started_at_us, row.ordinal, row.task_id, row.attempts)
