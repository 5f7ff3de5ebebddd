"""SubmitPlan and PreviewPlan: a whole plan collected within bounds, checked piece by piece, and submitted by
one command, or only looked at."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator

from buildrunner_coordinator.domain.commands import CreateSession, NewTask, PreviewPlan, SubmitPlan
from buildrunner_coordinator.domain.previews import Conflict, Shape, conflicts_of, shape_of
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import PlanLook, Submitted
from buildrunner_coordinator.rpc.convert import specs
from buildrunner_coordinator.rpc.convert.basics import invalid
from buildrunner_coordinator.rpc.convert.enums import TASK_STATUS
from buildrunner_coordinator.rpc.convert.locks import request_message
from buildrunner_coordinator.rpc.convert.sessions import create_command, session_message
from buildrunner_coordinator.rpc.convert.tasks import wait_message
from buildrunner_coordinator.rpc.house import House, Limits, digest_of
from buildrunner_coordinator.rpc.interceptors import Context
from buildrunner_parallel.v1 import task_service_pb2 as pb

_CHAIN_BYTES = 1 << 20
"""Of ids in an answer, which a client takes up to 4 MiB of."""


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


async def preview_plan(
    house: House, messages: AsyncIterator[pb.PreviewPlanRequest]
) -> pb.PreviewPlanResponse:
    """What SubmitPlan would say. The graph is worked out beside the loop, which has others to serve."""
    plan = _Plan(house.limits, needs_session=False)
    async for message in messages:
        plan.add(message)
        await asyncio.sleep(0)
    command = plan.preview()
    look: PlanLook = await house.engine.execute(command)
    shape = await asyncio.to_thread(shape_of, command.tasks)
    conflicts, conflict_count = await asyncio.to_thread(conflicts_of, command.tasks)
    return _preview(len(command.tasks), look, shape, conflicts, conflict_count)


class _Plan:
    """What has come so far."""

    def __init__(self, limits: Limits, *, needs_session: bool = True) -> None:
        self._limits = limits
        self._needs_session = needs_session
        self._header: pb.PlanHeader | None = None
        self._create: CreateSession | None = None
        self._tasks: list[NewTask] = []
        self._size_bytes = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, message: pb.SubmitPlanRequest | pb.PreviewPlanRequest) -> None:
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
        header = self._complete()
        command = SubmitPlan(tuple(self._tasks), header.session_id, self._create, header.seal, header.start)
        return command, header

    def preview(self) -> PreviewPlan:
        return PreviewPlan(tuple(self._tasks), self._complete().session_id)

    def digest(self) -> bytes:
        return self._hash.digest()

    def _complete(self) -> pb.PlanHeader:
        if self._header is None:
            raise invalid("A plan came without a message. Send its header, then its tasks.")
        return self._header

    def _take_header(self, header: pb.PlanHeader) -> None:
        if self._header is not None:
            raise invalid("A plan has two headers. Only the first message may carry one.")
        parts = bool(header.session_id) + header.HasField("create")
        if parts == 2 or (self._needs_session and parts == 0):
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


def _preview(
    task_count: int, look: PlanLook, shape: Shape, conflicts: list[Conflict], conflict_count: int
) -> pb.PreviewPlanResponse:
    return pb.PreviewPlanResponse(
        task_count=task_count,
        need_count=shape.need_count,
        longest_chain=_fitting(shape.longest_chain),
        level_widths=shape.level_widths,
        conflicts=[
            pb.PlanConflict(
                task_id=one.task_id,
                other_task_id=one.other_task_id,
                path=request_message(one.path),
                other_path=request_message(one.other_path),
            )
            for one in conflicts
        ],
        conflict_count=conflict_count,
        waits=[
            pb.TaskExplanation(
                task_id=task_id,
                status=TASK_STATUS.wire(status.value),
                waits=[wait_message(wait) for wait in waits],
            )
            for task_id, status, waits in look.waits
        ],
    )


def _fitting(chain: list[str]) -> list[str]:
    """As much of the chain's beginning as one message has room for; its length is that of the widths."""
    size_bytes = 0
    for index, task_id in enumerate(chain):
        size_bytes += len(task_id.encode()) + 3
        if size_bytes > _CHAIN_BYTES:
            return chain[:index]
    return chain
