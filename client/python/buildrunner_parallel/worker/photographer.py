"""When pictures of a checkout are taken: one after the other, and one for all who ask while none has begun.

On the worker's loop; git runs on threads.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

from .pictures import Difference, Picture, Studio


class Photographer:
    """Pictures of one checkout, one after the other; who asks before the next has begun shares it."""

    def __init__(self, studio: Studio, threads: Executor) -> None:
        self._studio = studio
        self._threads = threads
        self._camera = asyncio.Lock()
        self._next: asyncio.Task[Picture] | None = None

    async def take(self, *, to_compare: bool) -> Picture:
        """What is there at some moment from now on. Raises GitFailed, OSError. One that is to be compared
        later must be given to `compare` or `drop`."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._shoot())
        self._studio.users += to_compare
        try:
            return await asyncio.shield(self._next)
        except BaseException:  # whatever ended it: nobody will compare it
            self._studio.users -= to_compare
            raise

    async def _shoot(self) -> Picture:
        async with self._camera:
            self._next = None
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._studio.take)

    async def compare(self, before: Picture) -> Difference:
        """What has changed since. Raises GitFailed, OSError."""
        try:
            after = await self.take(to_compare=False)
            async with self._camera:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, self._studio.compare, before, after)
        finally:
            self.drop()

    def drop(self) -> None:
        """A picture is not compared."""
        self._studio.users -= 1
