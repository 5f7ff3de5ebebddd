"""The asyncio twin of connection.py: one coordinator connection that survives the coordinator's restarts.

Belongs to the event loop that it was opened in. Looking for the coordinator and starting it happen in a
thread.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import grpc
import grpc.aio

from .calls import Call, Work
from .channel import open_aio_channel
from .connection import CALL_TIMEOUT_S, PATIENCE_S, Patience, Relocate, Stubs, pauses
from .discovery import Target
from .error_mapping import from_rpc_error
from .errors import BuildRunnerError, CoordinatorStartError, UnreachableError

AnswerT = TypeVar("AnswerT")


class ChannelClosed(Exception):
    """A call ended because its channel was closed or replaced by another coroutine."""


class AsyncStubs(Stubs):
    """The services' stubs on one asyncio channel."""

    async def aclose(self) -> None:
        """Ends the channel and every call on it."""
        self._closed = True
        await self._channel.close()

    async def attempt(self, begin: Callable[[Stubs], Awaitable[AnswerT]]) -> AnswerT:
        """Awaits what `begin` makes; raises ChannelClosed when the channel ends under it."""
        try:
            return await begin(self)
        except asyncio.CancelledError:
            # Closing a channel cancels its calls, which looks as if somebody had cancelled this task.
            if not self._closed or _is_being_cancelled():
                raise
            raise ChannelClosed from None
        except (grpc.aio.UsageError, ValueError) as error:
            if not self._closed:
                raise
            raise ChannelClosed from error

    async def stream(self, begin: Callable[[Stubs], Any]) -> AsyncGenerator[Any, None]:
        """The answers of the streaming call that `begin` makes, which ends with this iterator."""

        async def start(stubs: Stubs) -> Any:
            return begin(stubs)

        call = await self.attempt(start)
        try:
            while (answer := await self.attempt(lambda _stubs: call.read())) is not grpc.aio.EOF:
                yield answer
        finally:
            call.cancel()


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class AsyncConnection:
    """Calls to the coordinator at `target`; parameters as those of Connection."""

    def __init__(
        self,
        target: Target,
        *,
        relocate: Relocate | None = None,
        client_id: str | None = None,
        patience_s: float = PATIENCE_S,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self.client_id = client_id or uuid.uuid4().hex
        self.patience_s = patience_s
        self.call_timeout_s = call_timeout_s
        self._relocate = relocate
        self._lock = asyncio.Lock()
        self._closed = False
        self._open(target)

    @property
    def address(self) -> str:
        return self._target.address

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def stubs(self) -> AsyncStubs:
        return self._stubs

    async def close(self) -> None:
        """Ends the channel and every call on it."""
        self._closed = True
        await self._stubs.aclose()

    async def do(self, work: Work[AnswerT]) -> AnswerT:
        """Makes the calls of `work` one after the other. Raises the errors of errors.py, and what `work`
        does."""
        steps = iter(work)
        try:
            call = next(steps)
            while True:
                try:
                    answer = await self.make(call)
                except BuildRunnerError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(answer)
        except StopIteration as end:
            result: AnswerT = end.value
            return result
        finally:
            steps.close()

    async def make(self, call: Call[AnswerT]) -> AnswerT:
        """One call; a repeatable one outlives a restart. Cancelling the awaiting task cancels it."""

        def begin(stubs: Stubs) -> Awaitable[Any]:
            begun: Awaitable[Any] = call.begin(stubs, self.call_timeout_s)
            return begun

        patience = Patience(self.patience_s if call.patience_s is None else call.patience_s, waits=call.waits)
        return call.read(await self.run(begin, repeatable=call.repeatable, patience=patience))

    async def run(
        self,
        begin: Callable[[Stubs], Awaitable[AnswerT]],
        *,
        repeatable: bool = True,
        patience: Patience | None = None,
    ) -> AnswerT:
        """Awaits what `begin` makes of the present stubs, and again after the coordinator came back."""
        patience = patience or Patience(self.patience_s)
        for pause_s in pauses():
            stubs = self._stubs
            patience.begin()
            try:
                return await stubs.attempt(begin)
            except grpc.RpcError as error:
                lost = patience.is_loss(error) or await self._token_changed(error)
                if self._closed or not (repeatable and lost) or patience.is_over:
                    raise from_rpc_error(error, self.address) from error
                await self.recover(stubs, patience.deadline_s, pause_s, start=patience.starts)
            except ChannelClosed as error:
                if self._closed:
                    raise UnreachableError("the client is closed", address=self.address) from error
                if not repeatable:
                    raise UnreachableError(
                        "the coordinator went away meanwhile", address=self.address
                    ) from error
        raise AssertionError("pauses never end")

    async def recover(
        self, broken: AsyncStubs, deadline_s: float, pause_s: float = 0.0, *, start: bool = True
    ) -> bool:
        """Looks for the coordinator again and opens a new channel; whether it could be found.

        `broken` are the stubs that failed: when another coroutine has replaced them there is nothing to do.
        With `start` False it is not started when it is not there.
        """
        await asyncio.sleep(max(0.0, min(pause_s, deadline_s - time.monotonic())))
        async with self._lock:
            if self._stubs is not broken or self._closed:
                return not self._closed
            target = self._target
            if self._relocate is not None:
                left_s = max(0.1, deadline_s - time.monotonic())
                try:
                    target = await asyncio.to_thread(self._relocate, left_s, start)
                except CoordinatorStartError:
                    # It was tried for long enough, and there is a reason to tell.
                    raise
                except UnreachableError:
                    if time.monotonic() >= deadline_s:
                        raise
                    return False
            if not self._closed:
                self._open(target)
                await broken.aclose()
            return not self._closed

    def _open(self, target: Target) -> None:
        self._target = target
        channel = open_aio_channel(target.address, target.token, client_id=self.client_id)
        self._stubs = AsyncStubs(channel)

    async def _token_changed(self, error: Any) -> bool:
        """Whether a refused token has been replaced since, as when the state was made anew."""
        if error.code() != grpc.StatusCode.UNAUTHENTICATED or self._relocate is None:
            return False
        try:
            found = await asyncio.to_thread(self._relocate, 1.0, False)
        except BuildRunnerError:
            return False
        return found.token != self._target.token
