"""When pictures of a checkout are taken: one after the other, and one for all who ask while none has begun.

On the worker's loop; git runs on threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from .git_calls import Checkout, GitFailed, GitTimedOut
from .pictures import Difference, Picture, Studio

_REST_S = 600.0


class Photographer:
    """Pictures of one checkout, one after the other; who asks before the next has begun shares it."""

    def __init__(self, checkout: Checkout, studio: Studio, threads: Executor) -> None:
        self.checkout = checkout
        self._studio = studio
        self._threads = threads
        self._camera = asyncio.Lock()
        self._next: asyncio.Task[Picture] | None = None
        self._rests_until_s = 0.0

    async def take(self) -> Picture:
        """What is there at some moment from now on; to be given to `compare` or `drop`. Raises GitFailed,
        OSError."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._shoot())
        self._studio.users += 1
        try:
            picture = await asyncio.shield(self._next)
        except BaseException:  # whatever ended it: there is nothing to drop
            self._studio.users -= 1
            raise
        self._studio.hold(picture)
        return picture

    async def _shoot(self) -> Picture:
        loop = asyncio.get_running_loop()
        async with self._camera:
            self._next = None
            if loop.time() < self._rests_until_s:
                raise GitFailed(f"looking at {self.checkout.top} took too long a short while ago")
            try:
                return await loop.run_in_executor(self._threads, self._studio.take)
            except GitTimedOut:
                # Not every task should be held up for so long.
                self._rests_until_s = loop.time() + _REST_S
                raise

    async def compare(self, before: Picture, wants_patch: Callable[[tuple[str, ...]], bool]) -> Difference:
        """What has changed since, and drops the picture. Raises GitFailed, OSError."""
        try:
            after = await self.take()
            try:
                return await self._compare(before, after, wants_patch)
            finally:
                self.drop(after)
        finally:
            self.drop(before)

    async def _compare(
        self, before: Picture, after: Picture, wants_patch: Callable[[tuple[str, ...]], bool]
    ) -> Difference:
        loop, studio = asyncio.get_running_loop(), self._studio
        async with self._camera:
            return await loop.run_in_executor(self._threads, studio.compare, before, after, wants_patch)

    def drop(self, picture: Picture) -> None:
        """It is not needed any more."""
        self._studio.drop(picture)
        self._studio.users -= 1
