"""Whether somebody else holds what an isolated attempt changed: asked before that is merged.

Waits for a coordinator that is away. Decides nothing about the attempt; its report does that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import grpc

from buildrunner_parallel.v1 import lock_service_pb2, lock_service_pb2_grpc, types_pb2

from .attempt import Attempt

MOST_PATHS = 1_000
_SHOWN = 5
_TIMEOUT_S = 10.0
_PAUSE_S = 0.5
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
_log = logging.getLogger(__name__)


class LockQuestions:
    """Asks over the channel that `read_channel` gives, when it is needed."""

    def __init__(self, read_channel: Callable[[], grpc.aio.Channel]) -> None:
        self._read_channel = read_channel

    async def held_by_others(
        self, attempt: Attempt, paths: Sequence[str], is_wanted: Callable[[], bool]
    ) -> str:
        """Who else holds which of the paths, at most the first thousand, for people; empty when nobody does.

        Also what keeps that from being known, such as a fence that counts no more.
        """
        request = lock_service_pb2.PreviewLocksRequest(
            session_id=attempt.assignment.session_id,
            attempt_id=attempt.attempt_id,
            fence=attempt.fence,
            paths=[
                types_pb2.PathRequest(path=one, kind=types_pb2.LOCK_KIND_FILE) for one in paths[:MOST_PATHS]
            ],
        )
        while is_wanted():
            stub = lock_service_pb2_grpc.LockServiceStub(self._read_channel())
            try:
                return told((await stub.PreviewLocks(request, timeout=_TIMEOUT_S)).conflicts, attempt)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _AWAY:
                    return str(error.details())
                _log.info("asking who holds what %s changed: %s", attempt.attempt_id, error.details())
            await asyncio.sleep(_PAUSE_S)
        return "the attempt is not wanted any more"


def told(conflicts: Sequence[types_pb2.LockConflict], attempt: Attempt) -> str:
    """Of holders, those of other sessions; waiters hold nothing."""
    held = [
        one
        for one in conflicts
        if not one.queue_position and one.holder.session_id != attempt.assignment.session_id
    ]
    names = [f"{one.asked_path} is held by session {one.holder.session_id}" for one in held]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
