"""A core and a store that do as they are told, and a clock that stands until it is moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from buildrunner_coordinator.domain.changes import Changes, MetaRow, SessionRow
from buildrunner_coordinator.domain.model import Settings, Time
from buildrunner_coordinator.domain.replies import Event, Revoke, Send
from buildrunner_coordinator.domain.requests import RequestLog
from buildrunner_coordinator.engine.engine import Engine
from buildrunner_coordinator.engine.feed import Feed
from buildrunner_coordinator.store.base import CommitError


def session_row(session_id: str, revision: int = 0) -> SessionRow:
    values: dict[str, Any] = dict.fromkeys(SessionRow._fields, 0)
    values |= {"session_id": session_id, "revision": revision}
    return SessionRow(**values)


class FakeClock:
    def __init__(self) -> None:
        self.us = 1_000_000

    def now(self) -> Time:
        return Time(self.us, self.us)


class FakeCore:
    """Commands are: a text, which is kept and changes a session of that name; a function, which is
    called at once; anything else is answered with itself and changes nothing."""

    def __init__(self) -> None:
        self.meta = MetaRow("store", "workspace", 7, 0, 0, 1, 1, 1, 1, 0)
        settings = Settings()
        self.requests = RequestLog(settings.request_ttl_ms * 1000, settings.requests_per_client)
        self.revision = 0
        self.deadline_us: int | None = None
        self.story: list[object] = []
        self._changed: list[str] = []
        self._events: list[Event] = []
        self._sends: list[tuple[str, Send]] = []

    def extend_leases(self, gap_us: int) -> None:
        self.story.append(("extend", gap_us))

    def tick(self, now: Time) -> None:
        self.story.append("tick")
        if self.deadline_us is not None and now.us >= self.deadline_us:
            self.deadline_us = None

    def apply(self, command: object, now: Time) -> object:
        if callable(command):
            return command()
        self.story.append(command)
        if isinstance(command, str):
            self._changed.append(command)
            self._sends.append((command, Revoke(command, 1)))
            return f"did {command}"
        return command

    def place(self, now: Time) -> None:
        self.story.append("place")

    def collect(self) -> Changes:
        requests, self.requests.added = self.requests.added, []
        if not self._changed and not requests:
            return Changes()
        self.revision += 1
        self.meta = self.meta._replace(revision=self.revision)
        rows = [session_row(one, self.revision) for one in self._changed]
        self._changed = []
        self._events = [Event(session=row) for row in rows]
        return Changes(revision=self.revision, meta=self.meta, sessions=rows, requests=requests)

    def take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def take_sends(self) -> list[tuple[str, Send]]:
        sends, self._sends = self._sends, []
        return sends

    def next_deadline_us(self) -> int | None:
        return self.deadline_us


class FakeStore:
    """Commits when it is let; tells what it has committed."""

    def __init__(self) -> None:
        self.committed: list[Changes] = []
        self.commits_begun = 0
        self.open = asyncio.Event()
        self.open.set()
        self.fails = False
        self.reads = 0

    async def commit(self, epoch: int, changes: Changes) -> None:
        assert epoch == 7
        self.commits_begun += 1
        await asyncio.sleep(0)
        await self.open.wait()
        if self.fails:
            raise CommitError("the disk is full")
        self.committed.append(changes)

    @property
    def names(self) -> list[str]:
        return [row.session_id for changes in self.committed for row in changes.sessions]


class House:
    """An engine on fakes."""

    def __init__(self) -> None:
        self.core = FakeCore()
        self.store = FakeStore()
        self.clock = FakeClock()
        self.encoded: list[Event] = []
        self.feed = Feed(self._encode, 0)
        store: Any = self.store
        self.engine = Engine(self.core, store, self.clock, feed=self.feed)
        self.run: asyncio.Task[None] | None = None

    def _encode(self, event: Event) -> bytes:
        self.encoded.append(event)
        assert event.session is not None
        return f"<{event.session.session_id}>".encode()

    def start(self) -> None:
        self.run = asyncio.ensure_future(self.engine.run())

    async def settle(self, turns: int = 20) -> None:
        """Lets everything that can go on go on."""
        for _ in range(turns):
            await asyncio.sleep(0)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    one = House()
    yield one
    one.store.open.set()
    one.engine.stop()
    if one.run is not None:
        await asyncio.gather(one.run, return_exceptions=True)


@pytest.fixture
def make_feed() -> Callable[..., Feed]:
    return lambda **limits: Feed(
        lambda event: event.session.session_id.encode(),  # type: ignore[union-attr]
        0,
        **limits,
    )


@pytest.fixture
def make_event() -> Callable[[str], Event]:
    return lambda name: Event(session=session_row(name))
