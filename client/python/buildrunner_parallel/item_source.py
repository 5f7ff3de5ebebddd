"""Reading the items of an asyncio `map` in batches, from iterables of both kinds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from itertools import islice
from typing import Any

_PATIENCE_S = 0.02


class ItemSource:
    """Batches of items; one that comes late does not hold up those before it. Close it by `async with`."""

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any]) -> None:
        self._slow: AsyncIterator[Any] | None = None
        if isinstance(items, AsyncIterable):
            self._slow = aiter(items)
        else:
            self._quick = iter(items)
        self._coming: asyncio.Task[tuple[Any, ...]] | None = None
        self.ended = False

    async def read(self, most: int) -> list[Any]:
        """Up to `most` items, at least one unless there are no more."""
        if self._slow is None:
            items = list(islice(self._quick, most))
            self.ended = len(items) < most
            return items
        items = []
        while len(items) < most and not self.ended:
            if self._coming is None:
                self._coming = asyncio.get_running_loop().create_task(self._one(self._slow))
            done, _ = await asyncio.wait([self._coming], timeout=_PATIENCE_S if items else None)
            if not done:
                break
            item, self._coming = self._coming.result(), None
            self.ended = not item
            items += item
        return items

    async def _one(self, source: AsyncIterator[Any]) -> tuple[Any, ...]:
        """The next item, alone in a tuple; an empty tuple when there is none."""
        try:
            return (await anext(source),)
        except StopAsyncIteration:
            return ()

    async def __aenter__(self) -> ItemSource:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops waiting for an item."""
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.wait([self._coming])
