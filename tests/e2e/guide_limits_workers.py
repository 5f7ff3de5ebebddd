"""Many light workers in one process, written against the public stubs: they hold leases and report, and run
nothing. For test_e2e_guide_limits: `guide_limits_workers.py ADDRESS TOKEN_FILE GO_FILE JOURNAL SESSION...`.

Tasks whose id begins with `wide` end once GO_FILE is there, all others at once. The journal has, for each
attempt, when it was in hand, on the machine's monotonic clock, and how its report was answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from buildrunner_parallel.channel import open_aio_channel
from buildrunner_parallel.v1 import types_pb2, worker_service_pb2, worker_service_pb2_grpc

WORKERS_A_SESSION = 10
CREDIT = 24
REQUEST_LISTS = ("started", "reports", "revocation_answers")


class LightWorker:
    """One slot, one session, one stream."""

    def __init__(self, channel: Any, session_id: str, go: asyncio.Event) -> None:
        self._call = worker_service_pb2_grpc.WorkerServiceStub(channel).Connect()
        self._session_id = session_id
        self._go = go
        self._waiting: dict[str, Any] = {}
        self._running: Any = None
        self._said = worker_service_pb2.ConnectRequest()
        self._to_say = asyncio.Event()
        self._to_run = asyncio.Event()
        self._is_leaving = False
        self._unanswered: dict[str, dict[str, Any]] = {}
        self.journal: list[dict[str, Any]] = []

    async def live(self) -> list[dict[str, Any]]:
        """Until the coordinator drains it, at the end of its session."""
        hello = worker_service_pb2.Hello(
            host="here", pid=os.getpid(), slots=1, credit=CREDIT, session_id=self._session_id,
            kinds=types_pb2.WorkerKinds(commands=True),
        )  # fmt: skip
        await self._call.write(worker_service_pb2.ConnectRequest(hello=hello))
        response: Any = await self._call.read()
        interval_s = response.welcome.heartbeat_interval_ms / 1000
        helpers = [asyncio.create_task(one) for one in (self._write(interval_s), self._run())]
        while isinstance(response, worker_service_pb2.ConnectResponse):
            self._take(response)
            response = await self._call.read()
        for helper in helpers:
            helper.cancel()
        assert self._is_leaving, f"the stream ended: {await self._call.code()} {await self._call.details()}"
        assert not self._unanswered, self._unanswered
        return self.journal

    def _take(self, response: Any) -> None:
        for assignment in response.assignments:
            self._waiting.setdefault(assignment.attempt_id, assignment)
            self._to_run.set()
        for one in response.revocations:
            given_back = self._waiting.pop(one.attempt_id, None) is not None
            self._said.revocation_answers.add(
                attempt_id=one.attempt_id, fence=one.fence, started=not given_back
            )
        for one in response.acknowledgements:
            entry = self._unanswered.pop(one.attempt_id)
            entry["answer"] = worker_service_pb2.Disposition.Name(one.disposition)
        self._is_leaving = self._is_leaving or response.HasField("drain")
        self._to_say.set()

    async def _run(self) -> None:
        while True:
            while not self._waiting:
                self._to_run.clear()
                await self._to_run.wait()
            assignment = self._waiting.pop(next(iter(self._waiting)))
            self._running, taken_ns, started_at_us = assignment, time.monotonic_ns(), time.time_ns() // 1000
            if assignment.spec.task_id.startswith("wide"):
                ids = {"attempt_id": assignment.attempt_id, "fence": assignment.fence}
                self._said.started.add(**ids, pid=os.getpid(), started_at_us=started_at_us)
                self._to_say.set()
                await self._go.wait()
            self._report(assignment, taken_ns, started_at_us)
            self._running = None
            await asyncio.sleep(0)

    def _report(self, assignment: Any, taken_ns: int, started_at_us: int) -> None:
        entry = {
            "session": assignment.session_id, "task": assignment.spec.task_id, "number": assignment.number,
            "fence": assignment.fence, "taken_ns": taken_ns, "over_ns": time.monotonic_ns(), "answer": "",
        }  # fmt: skip
        self.journal.append(entry)
        self._unanswered[assignment.attempt_id] = entry
        self._said.reports.add(
            attempt_id=assignment.attempt_id, fence=assignment.fence, outcome=types_pb2.OUTCOME_SUCCEEDED,
            exit_code=0, pid=os.getpid(), started_at_us=started_at_us, ended_at_us=time.time_ns() // 1000,
        )  # fmt: skip
        self._to_say.set()

    async def _write(self, interval_s: float) -> None:
        beat_at_s, sequence = 0.0, 0
        while True:
            said, self._said = self._said, worker_service_pb2.ConnectRequest()
            self._to_say.clear()
            if time.monotonic() >= beat_at_s:
                beat_at_s, sequence = time.monotonic() + interval_s, sequence + 1
                said.heartbeat.CopyFrom(worker_service_pb2.Heartbeat(sequence=sequence, held=self._held()))
            if said.ByteSize():
                await self._call.write(said)
            if self._is_leaving and not self._unanswered and not self._said.ByteSize():
                await self._call.write(
                    worker_service_pb2.ConnectRequest(goodbye=worker_service_pb2.Goodbye(reason="done"))
                )
                await self._call.done_writing()
                return
            try:
                async with asyncio.timeout(max(beat_at_s - time.monotonic(), 0.0)):
                    await self._to_say.wait()
            except TimeoutError:
                continue

    def _held(self) -> list[Any]:
        running = [self._running] if self._running is not None else []
        held = [
            worker_service_pb2.HeldAttempt(attempt_id=one.attempt_id, fence=one.fence, started=one in running)
            for one in [*self._waiting.values(), *running]
        ]
        held += [
            worker_service_pb2.HeldAttempt(
                attempt_id=attempt_id, fence=entry["fence"], started=True, ended=True
            )
            for attempt_id, entry in self._unanswered.items()
        ]
        return held


async def main(address: str, token_file: str, go_file: str, journal: str, *sessions: str) -> None:
    """Ten workers for each session, until all of them have been drained."""
    go = asyncio.Event()

    async def look_for_go() -> None:
        while not Path(go_file).exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.05)
        go.set()

    looking = asyncio.create_task(look_for_go())
    token = Path(token_file).read_text().strip()  # noqa: ASYNC240
    async with open_aio_channel(address, token) as channel:
        workers = [LightWorker(channel, one, go) for one in sessions for _ in range(WORKERS_A_SESSION)]
        journals = await asyncio.gather(*(worker.live() for worker in workers))
    await looking
    Path(journal).write_text(json.dumps([entry for one in journals for entry in one]))  # noqa: ASYNC240


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
