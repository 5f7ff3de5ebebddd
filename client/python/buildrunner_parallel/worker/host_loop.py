"""The event loop on which a handler host runs async handlers: one for the host's life, one handler at a time.

What a module keeps on the loop between its tasks (a connection pool, say) stays usable; tasks that a handler
has left behind are cancelled with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from .handler_context import Cancellation


class HostLoop:
    """`cancel` may be called by a signal handler."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._present: asyncio.Task[object] | None = None

    def run(self, awaitable: Awaitable[object], cancellation: Cancellation) -> object:
        """Waits for the awaitable and returns or raises what it does."""

        async def supervise() -> object:
            self._present = asyncio.current_task()
            if cancellation.is_set:
                self.cancel()
            try:
                return await awaitable
            finally:
                self._present = None
                await self._end_leftovers()

        return self._runner.run(supervise())

    async def _end_leftovers(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.gather(*left, return_exceptions=True)

    def cancel(self) -> None:
        """CancelledError for the handler that runs now, once."""
        present, self._present = self._present, None
        if present is not None:
            self._loop.call_soon_threadsafe(present.cancel)
