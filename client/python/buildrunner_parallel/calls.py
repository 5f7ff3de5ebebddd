"""What a call of the coordinator is, apart from who makes it: a thread that blocks or a coroutine that
awaits.

    def pause_session(self: Scope, session_id: str) -> Call[Session]: ...   defined once, in calls_*.py
    Client.pause_session = blocking(calls_sessions.pause_session)           client_base.py
    AsyncClient.pause_session = awaiting(calls_sessions.pause_session)      aio_base.py

Anything that takes several calls is `Work` too: a generator that yields them and is sent their answers, so
that `task = yield from get_task(...)` reads as `await` does. No I/O here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from .convert import all_from_wire, from_wire

if TYPE_CHECKING:
    from .connection import Stubs
    from .lock_paths import LockPaths

AnswerT = TypeVar("AnswerT")
AnswerT_co = TypeVar("AnswerT_co", covariant=True)
RecordT = TypeVar("RecordT")

PAGE_SIZE = 1000


class Work(Protocol[AnswerT_co]):
    """Whatever yields calls, is sent their answers, and returns a value in the end."""

    def __iter__(self) -> Generator[Call[Any], Any, AnswerT_co]: ...


class Scope(Protocol):
    """What the definition of a call may know of the client that makes it."""

    @property
    def _directory(self) -> tuple[str, str]:
        """Worktree and directory below it that tasks are submitted from, for those that do not say."""

    def _lock_paths(self) -> LockPaths:
        """What paths to lock are relative to."""


@dataclass(frozen=True, slots=True)
class Call(Generic[AnswerT]):
    """One RPC: the stub's method, its request, and how to read the answer.

    A `streamed` request is an iterable of messages that can be iterated over again. `timeout_s` None means
    the connection's; only `repeatable` calls outlive a restart of the coordinator, and of these `waits` also
    one that ends in order: what is waited for there is still to come. `patience_s` None means the
    connection's too.
    """

    method: Callable[[Stubs], Callable[..., Any]]
    request: Any
    read: Callable[[Any], AnswerT]
    streamed: bool = False
    timeout_s: float | None = None
    repeatable: bool = True
    waits: bool = False
    patience_s: float | None = None

    def __iter__(self) -> Generator[Call[Any], Any, AnswerT]:
        answer: AnswerT = yield self
        return answer

    def begin(self, stubs: Stubs, default_timeout_s: float) -> Any:
        """What the stub's method returns: the answer, or for asyncio what awaits it."""
        request = iter(self.request) if self.streamed else self.request
        return self.method(stubs)(request, timeout=self.timeout_s or default_timeout_s)


Steps: TypeAlias = Generator[Call[Any], Any, AnswerT]
Page: TypeAlias = tuple[list[RecordT], str]


@dataclass(frozen=True, slots=True)
class Pages(Generic[RecordT]):
    """A list fetched a page at a time: `fetch(page_size, page_token)` asks for one, `limit` None means
    all."""

    fetch: Callable[[int, str], Call[Page[RecordT]]]
    limit: int | None = None

    def __iter__(self) -> Steps[list[RecordT]]:
        records: list[RecordT] = []
        walk = PageWalk(self)
        while walk.more:
            records += walk.take((yield from walk.next_call()))
        return records


class PageWalk(Generic[RecordT]):
    """Where a reader of pages stands."""

    def __init__(self, pages: Pages[RecordT]) -> None:
        self._pages = pages
        self._token = ""
        self._left = pages.limit
        self.more = self._left is None or self._left > 0

    def next_call(self) -> Call[Page[RecordT]]:
        size = PAGE_SIZE if self._left is None else min(PAGE_SIZE, self._left)
        return self._pages.fetch(size, self._token)

    def take(self, page: Page[RecordT]) -> list[RecordT]:
        """What of this page the reader wanted; `more` says whether to go on."""
        records, self._token = page
        if self._left is not None:
            records = records[: self._left]
            self._left -= len(records)
        self.more = bool(self._token) and self._left != 0
        return records


def read_record(record_class: type[RecordT], field: str) -> Callable[[Any], RecordT]:
    """Reads the record in one field of an answer."""
    return lambda answer: from_wire(record_class, getattr(answer, field))


def read_list(record_class: type[RecordT], field: str) -> Callable[[Any], list[RecordT]]:
    """Reads the records in a repeated field of an answer."""
    return lambda answer: list(all_from_wire(record_class, getattr(answer, field)))


def read_page(record_class: type[RecordT], field: str) -> Callable[[Any], Page[RecordT]]:
    """The same, with the token of the next page."""
    read = read_list(record_class, field)
    return lambda answer: (read(answer), answer.next_page_token)


def new_request_id() -> str:
    """An id that makes a repeated delivery of one call harmless."""
    return uuid.uuid4().hex


def show_result(defined: Any) -> None:
    """Has `help()` of a client's method tell what it returns, `Session` where its definition says
    `Call[Session]`."""
    told = str(defined.__annotations__.get("return", ""))
    for kind in ("Call[", "Steps["):
        if told.startswith(kind):
            told = told.removeprefix(kind).removesuffix("]")
    if told.startswith("Pages["):
        told = f"list[{told.removeprefix('Pages[')}"
    defined.__annotations__["return"] = told
