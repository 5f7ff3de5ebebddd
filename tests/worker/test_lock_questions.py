"""What a worker asks before it merges, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from buildrunner_parallel.v1 import lock_service_pb2 as pb
from buildrunner_parallel.v1 import types_pb2, worker_service_pb2
from buildrunner_parallel.v1.lock_service_pb2_grpc import (
    LockServiceServicer,
    add_LockServiceServicer_to_server,
)
from buildrunner_parallel.worker import attempt as attempts
from buildrunner_parallel.worker import lock_questions
from buildrunner_parallel.worker.lock_questions import LockQuestions

ATTEMPT = attempts.take(worker_service_pb2.Assignment(attempt_id="a1", fence=7, session_id="mine"))


def conflict(path: str, session_id: str, position: int = 0) -> types_pb2.LockConflict:
    holder = types_pb2.LockHolder(session_id=session_id)
    return types_pb2.LockConflict(asked_path=path, holder=holder, queue_position=position)


class ScriptedLocks(LockServiceServicer):
    """Answers in order: a list of conflicts, or a status to fail with."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.asked: list[pb.PreviewLocksRequest] = []

    async def PreviewLocks(self, request: pb.PreviewLocksRequest, context: Any) -> pb.PreviewLocksResponse:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, grpc.StatusCode):
            await context.abort(answer, "in words")
        return pb.PreviewLocksResponse(conflicts=answer)


@pytest.fixture
async def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedLocks]:
    monkeypatch.setattr(lock_questions, "_PAUSE_S", 0.0)
    scripted = ScriptedLocks()
    server = grpc.aio.server()
    add_LockServiceServicer_to_server(scripted, server)
    server.add_insecure_port(f"unix:{tmp_path}/s")
    await server.start()
    yield scripted
    await server.stop(0)


async def ask(tmp_path: Path, *paths: str, wanted: bool = True) -> str:
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/s") as channel:
        return await LockQuestions(lambda: channel).held_by_others(ATTEMPT, paths, lambda: wanted)


async def test_it_asks_in_the_name_of_the_attempt_for_files(locks: ScriptedLocks, tmp_path: Path) -> None:
    locks.answers = [[]]
    assert await ask(tmp_path, "app/[id].tsx") == ""
    (asked,) = locks.asked
    assert (asked.session_id, asked.attempt_id, asked.fence) == ("mine", "a1", 7)
    assert list(asked.paths) == [types_pb2.PathRequest(path="app/[id].tsx", kind=types_pb2.LOCK_KIND_FILE)]


async def test_holders_of_other_sessions_are_told(locks: ScriptedLocks, tmp_path: Path) -> None:
    locks.answers = [[conflict("a", "mine"), conflict("b", "other"), conflict("c", "waits", 1)]]
    assert await ask(tmp_path, "a", "b", "c") == "b is held by session other"
    locks.answers = [[conflict(str(number), "other") for number in range(7)]]
    assert (await ask(tmp_path, "x")).endswith("4 is held by session other and 2 more")


async def test_a_coordinator_that_is_away_is_waited_for(locks: ScriptedLocks, tmp_path: Path) -> None:
    locks.answers = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE, []]
    assert await ask(tmp_path, "a") == ""
    assert len(locks.asked) == 3


async def test_a_fence_that_counts_no_more_is_a_reason(locks: ScriptedLocks, tmp_path: Path) -> None:
    locks.answers = [grpc.StatusCode.ABORTED]
    assert await ask(tmp_path, "a") == "in words"


async def test_nobody_is_asked_for_an_attempt_that_is_not_wanted(
    locks: ScriptedLocks, tmp_path: Path
) -> None:
    assert await ask(tmp_path, "a", wanted=False) == "the attempt is not wanted any more"
    assert locks.asked == []


async def test_at_most_a_thousand_are_asked_for(locks: ScriptedLocks, tmp_path: Path) -> None:
    locks.answers = [[]]
    await ask(tmp_path, *(f"f{number}" for number in range(1500)))
    assert len(locks.asked[0].paths) == 1000
