"""The blocking side of the calls: a connection, and what turns a call's definition into a method."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from .calls import Pages, PageWalk, Work, show_result
from .connection import Connection

if TYPE_CHECKING:
    from .lock_paths import LockPaths
    from .workspace import Workspace

ParametersT = ParamSpec("ParametersT")
AnswerT = TypeVar("AnswerT")
RecordT = TypeVar("RecordT")


class ClientBase:
    """Base of the client's parts."""

    _connection: Connection
    # Worktree and directory below it that tasks are submitted from, for those that do not say.
    _directory: tuple[str, str] = ("", "")
    _workspace: Workspace | None = None
    # What `connect` was told; None: wherever this process is when it asks.
    _cwd: Path | None = None

    def _lock_paths(self) -> LockPaths:
        from .lock_paths import lock_paths

        return lock_paths(self._cwd, self._workspace)


def blocking(
    define: Callable[Concatenate[Any, ParametersT], Work[AnswerT]],
) -> Callable[Concatenate[ClientBase, ParametersT], AnswerT]:
    """A method that makes the calls that `define` describes, and returns their result."""
    show_result(define)

    @functools.wraps(define)
    def method(self: ClientBase, /, *arguments: ParametersT.args, **options: ParametersT.kwargs) -> AnswerT:
        return self._connection.do(define(self, *arguments, **options))

    return method


def paging(
    define: Callable[Concatenate[Any, ParametersT], Pages[RecordT]],
) -> Callable[Concatenate[ClientBase, ParametersT], Iterator[RecordT]]:
    """A method that yields the records of the pages that `define` describes, and fetches one at a time."""
    show_result(define)

    @functools.wraps(define)
    def method(
        self: ClientBase, /, *arguments: ParametersT.args, **options: ParametersT.kwargs
    ) -> Iterator[RecordT]:
        walk = PageWalk(define(self, *arguments, **options))
        while walk.more:
            yield from walk.take(self._connection.make(walk.next_call()))

    return method
