"""SubmitPlan: a whole plan collected within bounds, checked piece by piece, submitted by one command."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator

from buildrunner_coordinator.domain.commands import CreateSession, NewTask, SubmitPlan
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Submitted
from buildrunner_coordinator.rpc.convert import specs
from buildrunner_coordinator.rpc.convert.basics import invalid
from buildrunner_coordinator.rpc.convert.sessions import create_command, session_message
from buildrunner_coordinator.rpc.house import House, Limits, digest_of
from buildrunner_coordinator.rpc.interceptors import Context
from buildrunner_parallel.v1 import task_service_pb2 as pb


async def submit_plan(
    house: House, messages: AsyncIterator[pb.SubmitPlanRequest], context: Context
) -> pb.SubmitPlanResponse:
    """Nothing is kept of a plan that does not come to its end. Raises Refusal."""
    plan = _Plan(house.limits)
    async for message in messages:
        plan.add(message)
        # A plan of a million tasks must not hold up heartbeats between its messages.
        await asyncio.sleep(0)
    command, header = plan.command()
    return await house.mutate(
        context, header, command, pb.SubmitPlanResponse, _response, digest=plan.digest()
    )


class _Plan:
    """What has come so far."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._header: pb.PlanHeader | None = None
        self._create: CreateSession | None = None
        self._tasks: list[NewTask] = []
        self._size_bytes = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, message: pb.SubmitPlanRequest) -> None:
        if message.HasField("header"):
            self._take_header(message.header)
        elif self._header is None:
            raise invalid("The first message of a plan must carry its header.")
        if self._header is not None and self._header.request_id:
            self._hash.update(digest_of(message))
        specs.check_count(len(message.tasks))
        self._count(len(message.tasks), message.ByteSize())
        self._tasks += specs.new_tasks(message.tasks)

    def command(self) -> tuple[SubmitPlan, pb.PlanHeader]:
        header = self._header
        if header is None:
            raise invalid("A plan came without a message. Send its header, then its tasks.")
        command = SubmitPlan(tuple(self._tasks), header.session_id, self._create, header.seal, header.start)
        return command, header

    def digest(self) -> bytes:
        return self._hash.digest()

    def _take_header(self, header: pb.PlanHeader) -> None:
        if self._header is not None:
            raise invalid("A plan has two headers. Only the first message may carry one.")
        if bool(header.session_id) == header.HasField("create"):
            raise invalid("A plan's header must have either session_id or create.")
        if header.HasField("create"):
            self._create = create_command(header.create, secrets.randbits(64))
        self._header = header

    def _count(self, tasks: int, size_bytes: int) -> None:
        self._size_bytes += size_bytes
        limits = self._limits
        if len(self._tasks) + tasks > limits.plan_tasks or self._size_bytes > limits.plan_bytes:
            raise Refusal(
                Reason.LIMIT,
                f"The plan is too large: at most {limits.plan_tasks:,} tasks and {limits.plan_bytes:,} bytes "
                f"are taken at once. Split it.",
            )


def _response(reply: Submitted) -> pb.SubmitPlanResponse:
    return pb.SubmitPlanResponse(session=session_message(reply.session), task_count=reply.added)
