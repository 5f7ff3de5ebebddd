"""The unary twins of a worker's stream, for programs that poll. Their sends wait in the same outboxes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from weakref import WeakKeyDictionary

from buildrunner_coordinator.domain.commands import Heartbeat, ReadWorker, Revoked, SetCredit, Unregister
from buildrunner_coordinator.domain.model import PASSIVE
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import (
    Acknowledge,
    Assign,
    HeartbeatAnswer,
    Revoke,
    Send,
    Stop,
    WorkerView,
)
from buildrunner_coordinator.engine.outbox import Outbox
from buildrunner_coordinator.rpc.connect import register
from buildrunner_coordinator.rpc.convert import stream as convert
from buildrunner_coordinator.rpc.convert.basics import MAX_TEXT_BYTES, check_range, one_line
from buildrunner_coordinator.rpc.convert.workers import held_attempts
from buildrunner_coordinator.rpc.house import House
from buildrunner_parallel.v1 import worker_service_pb2 as pb

MAX_WAIT_MS = 30_000
MAX_CLAIM = 1000
MAX_REPORTS = 10_000
CLAIM_BYTES = 3 << 20
"""Of assignments in one answer, so that it stays below what clients take."""


class Polling:
    """Register, Heartbeat, ClaimTasks, ReportTasks, Unregister."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._engine = house.engine
        self._stops: WeakKeyDictionary[Outbox, list[Stop]] = WeakKeyDictionary()

    async def register(self, request: pb.RegisterRequest) -> pb.RegisterResponse:
        registration = await register(self._house, request.hello, polls=True)
        if PASSIVE in request.hello.capabilities and request.hello.kinds.external:
            self._forget(registration.outbox)  # it is sent nothing
        return pb.RegisterResponse(
            welcome=registration.welcome, adopted_attempt_ids=registration.registered.adopted
        )

    async def heartbeat(self, request: pb.HeartbeatRequest) -> pb.HeartbeatResponse:
        outbox = self._engine.outboxes.of(request.worker_id)
        beat = request.heartbeat
        if outbox is None:
            await self._check_passive(request.worker_id)
        generation = outbox.generation if outbox is not None else 0
        answer: HeartbeatAnswer = await self._engine.execute(
            Heartbeat(request.worker_id, generation, held_attempts(beat.held))
        )
        if not answer.known:
            if outbox is not None:
                self._forget(outbox)
            raise _unknown(request.worker_id)
        stops: list[Stop] = []
        if outbox is not None:
            self._sort(outbox)
            stops = self._stops.pop(outbox, [])
        return pb.HeartbeatResponse(
            reply=pb.HeartbeatReply(sequence=beat.sequence, unknown_attempt_ids=answer.unknown_attempt_ids),
            cancellations=[convert.cancellation_message(stop) for stop in stops],
            draining=answer.draining,
        )

    async def claim(self, request: pb.ClaimTasksRequest) -> pb.ClaimTasksResponse:
        outbox = self._outbox(request.worker_id)
        wanted = check_range(request.max_tasks, 0, MAX_CLAIM, "number of tasks") or 1
        wait_ms = check_range(request.wait_ms, 0, MAX_WAIT_MS, "time to wait in milliseconds")
        view = await self._set_credit(outbox, wanted)
        try:
            assignments = await self._await_assignments(outbox, wanted, wait_ms / 1000)
        finally:
            self._engine.post((SetCredit(outbox.worker_id, outbox.generation, 0),))
        return pb.ClaimTasksResponse(
            assignments=[convert.assignment_message(one) for one in assignments],
            draining=view.worker.draining,
        )

    async def report(self, request: pb.ReportTasksRequest) -> pb.ReportTasksResponse:
        worker_id = request.worker_id
        if self._engine.outboxes.of(worker_id) is None:
            await self._check_passive(worker_id)
        count = len(request.started) + len(request.progress) + len(request.reports)
        check_range(count, 0, MAX_REPORTS, "number of reports")
        commands: list[object] = [convert.started_command(worker_id, one) for one in request.started]
        commands += [convert.progress_command(worker_id, one) for one in request.progress]
        commands += [convert.finished_command(worker_id, one) for one in request.reports]
        replies = await self._engine.execute_all(commands)
        answers = [reply for reply in replies if isinstance(reply, Acknowledge)]
        return pb.ReportTasksResponse(
            acknowledgements=[convert.acknowledgement_message(answer) for answer in answers]
        )

    async def unregister(self, request: pb.UnregisterRequest) -> pb.UnregisterResponse:
        reason = one_line(request.reason, MAX_TEXT_BYTES)
        outbox = self._engine.outboxes.of(request.worker_id)
        await self._engine.execute(Unregister(request.worker_id, reason))
        if outbox is not None:
            self._forget(outbox)
        return pb.UnregisterResponse()

    # ------------------------------------------------------------------ within

    async def _check_passive(self, worker_id: str) -> None:
        """One that is sent nothing needs no outbox. Raises Refusal (WORKER_NOT_FOUND) for any other."""
        view: WorkerView = await self._engine.execute(ReadWorker(worker_id))
        if not view.worker.is_passive or view.worker.worker_id != worker_id:
            raise _unknown(worker_id)

    def _outbox(self, worker_id: str) -> Outbox:
        outbox = self._engine.outboxes.of(worker_id)
        if outbox is None:
            raise _unknown(worker_id)
        return outbox

    def _forget(self, outbox: Outbox) -> None:
        self._engine.outboxes.detach(outbox)
        self._stops.pop(outbox, None)

    async def _set_credit(self, outbox: Outbox, wanted: int) -> WorkerView:
        view: WorkerView = await self._engine.execute(ReadWorker(outbox.worker_id))
        credit = len(view.tasks) + wanted
        await self._engine.execute(SetCredit(outbox.worker_id, outbox.generation, credit))
        return view

    async def _await_assignments(self, outbox: Outbox, wanted: int, wait_s: float) -> list[Assign]:
        """Up to `wanted`; none when the time runs out before the first."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_s
        while True:
            self._sort(outbox)
            left_s = deadline_s - loop.time()
            if taken := _bounded(outbox, wanted):
                if due := await self._still_due(outbox, taken):
                    return due
                continue
            if outbox.closed is not None or left_s <= 0:
                return []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await outbox.wait()

    async def _still_due(self, outbox: Outbox, taken: list[Assign]) -> list[Assign]:
        """Without those that were lost, or are over, since they were put there."""
        view: WorkerView = await self._engine.execute(ReadWorker(outbox.worker_id))
        live = set(view.attempt_ids)
        return [one for one in taken if one.attempt_id in live]

    def _sort(self, outbox: Outbox) -> None:
        """Keeps stops for the next heartbeat and gives back what was revoked before it was claimed."""
        others = outbox.take_others()
        revoked = {one.attempt_id: one for one in others if isinstance(one, Revoke)}
        if revoked:
            self._give_back(outbox, revoked)
        stops = [one for one in others if isinstance(one, Stop)]
        if stops:
            self._stops.setdefault(outbox, []).extend(stops)

    def _give_back(self, outbox: Outbox, revoked: dict[str, Revoke]) -> None:
        """What has been claimed counts as started: a program that polls cannot be asked."""
        waiting = outbox.take_assignments(MAX_CLAIM)
        unclaimed = {one.attempt_id for one in waiting}
        for one in waiting:
            if one.attempt_id not in revoked:
                outbox.put(one)
        self._engine.post(
            [
                Revoked(outbox.worker_id, one.attempt_id, one.fence, one.attempt_id not in unclaimed)
                for one in revoked.values()
            ]
        )


def _bounded(outbox: Outbox, wanted: int) -> list[Assign]:
    """At most `wanted` assignments that fit into one message; at least one if there is one."""
    taken: list[Assign] = []
    size_bytes = 0
    while len(taken) < wanted:
        following = outbox.take_assignments(1)
        if not following:
            break
        size_bytes += len(following[0].spec)
        if taken and size_bytes > CLAIM_BYTES:
            _put_back(outbox, following[0])
            break
        taken += following
    return taken


def _put_back(outbox: Outbox, assignment: Assign) -> None:
    rest: Iterable[Send | bytes] = outbox.take()
    outbox.put(assignment)
    for entry in rest:
        outbox.put(entry)


def _unknown(worker_id: str) -> Refusal:
    return Refusal(
        Reason.WORKER_NOT_FOUND, f"Worker {worker_id!r} is not known here. Register it (again).", id=worker_id
    )
