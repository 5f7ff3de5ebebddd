"""What the parts of the client share: the connection, request ids, paging. No call of the protocol here."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .connection import Connection

RecordT = TypeVar("RecordT")

PAGE_SIZE = 1000


def new_request_id() -> str:
    """An id that makes a repeated delivery of one call harmless."""
    return uuid.uuid4().hex


def pages(
    fetch: Callable[[int, str], tuple[list[RecordT], str]], limit: int | None = None
) -> Iterator[RecordT]:
    """Records of all pages, at most `limit`; `fetch(page_size, page_token)` gives a page and a next token."""
    token = ""
    left = limit
    while left is None or left > 0:
        records, token = fetch(PAGE_SIZE if left is None else min(PAGE_SIZE, left), token)
        yield from records if left is None else records[:left]
        left = None if left is None else left - len(records)
        if not token:
            return


class ClientBase:
    """Base of the client's parts."""

    _connection: Connection
    # Worktree and directory below it that tasks are submitted from, for those that do not say.
    _directory: tuple[str, str] = ("", "")

    def _call(self, method: Any, request: Any, *, timeout_s: float | None = None) -> Any:
        return self._connection.call(method, request, timeout_s=timeout_s)
