"""The tasks of a pool of external workers that are not over, in pages that fit into a message."""

from __future__ import annotations

from buildrunner_coordinator.domain.commands import ListPoolTasks
from buildrunner_coordinator.domain.replies import PoolTaskPage
from buildrunner_coordinator.engine.engine import Engine
from buildrunner_coordinator.rpc.convert import tasks as convert
from buildrunner_coordinator.rpc.convert.basics import check_name, page_size, page_start, page_token
from buildrunner_coordinator.rpc.convert.enums import TASK_STATUS
from buildrunner_parallel.v1 import task_service_pb2 as pb
from buildrunner_parallel.v1 import types_pb2 as types

PAGE_BYTES = 3 << 20


async def list_pool_tasks(engine: Engine, request: pb.ListTasksRequest) -> pb.ListTasksResponse:
    """Raises Refusal."""
    command = ListPoolTasks(
        check_name(request.pool, "pool's name"),
        request.session_id,
        TASK_STATUS.known(request.statuses),
        page_start(request.page_token),
        page_size(request.page_size, 100),
    )
    page: PoolTaskPage = await engine.execute(command)
    kept = _fitting(page.specs) if request.with_specs else len(page.tasks)
    after = page.tasks[kept - 1].row.ordinal if kept < len(page.tasks) else page.next_after
    return pb.ListTasksResponse(
        tasks=[convert.summary_message(view) for view in page.tasks[:kept]],
        specs=[types.TaskSpec.FromString(spec) for spec in page.specs[:kept]] if request.with_specs else (),
        next_page_token=page_token(after),
        total_count=page.total,
    )


def _fitting(specs: list[bytes]) -> int:
    """How many of them go into one answer; one at least, if there is one."""
    size_bytes = 0
    for count, spec in enumerate(specs):
        size_bytes += len(spec)
        if count and size_bytes > PAGE_BYTES:
            return count
    return len(specs)
