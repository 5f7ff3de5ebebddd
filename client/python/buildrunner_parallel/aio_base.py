"""The asyncio side of the calls: a connection, and what turns a call's definition into a coroutine method."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from .aio_connection import AsyncConnection
from .calls import Pages, PageWalk, Work, show_result

if TYPE_CHECKING:
    from .lock_paths import LockPaths
    from .workspace import Workspace

ParametersT = ParamSpec("ParametersT")
AnswerT = TypeVar("AnswerT")
RecordT = TypeVar("RecordT")


class AsyncClientBase:
    """Base of the client's parts."""

    _connection: AsyncConnection
    # Worktree and directory below it that tasks are submitted from, for those that do not say.
    _directory: tuple[str, str] = ("", "")
    _workspace: Workspace | None = None
    # What `connect` was told; None: wherever this process is when it asks.
    _cwd: Path | None = None

    def _lock_paths(self) -> LockPaths:
        from .lock_paths import lock_paths

        return lock_paths(self._cwd, self._workspace)


def awaiting(
    define: Callable[Concatenate[Any, ParametersT], Work[AnswerT]],
) -> Callable[Concatenate[AsyncClientBase, ParametersT], Coroutine[Any, Any, AnswerT]]:
    """A coroutine method that makes the calls that `define` describes, and returns their result."""
    show_result(define)

    @functools.wraps(define)
    async def method(
        self: AsyncClientBase, /, *arguments: ParametersT.args, **options: ParametersT.kwargs
    ) -> AnswerT:
        return await self._connection.do(define(self, *arguments, **options))

    return method


def async_paging(
    define: Callable[Concatenate[Any, ParametersT], Pages[RecordT]],
) -> Callable[Concatenate[AsyncClientBase, ParametersT], AsyncIterator[RecordT]]:
    """A method that yields the records of the pages that `define` describes, and fetches one at a time."""
    show_result(define)

    @functools.wraps(define)
    async def method(
        self: AsyncClientBase, /, *arguments: ParametersT.args, **options: ParametersT.kwargs
    ) -> AsyncIterator[RecordT]:
        walk = PageWalk(define(self, *arguments, **options))
        while walk.more:
            for record in walk.take(await self._connection.make(walk.next_call())):
                yield record

    return method
