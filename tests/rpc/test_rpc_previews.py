"""PreviewPlan over the wire: the checks of SubmitPlan, the shape, the conflicts, and nothing kept."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import grpc.aio
import pytest

from buildrunner_coordinator.rpc.house import Limits
from buildrunner_parallel.v1 import session_service_pb2 as session_pb
from buildrunner_parallel.v1 import task_service_pb2 as task_pb
from buildrunner_parallel.v1 import types_pb2 as types


def preview_of(*batches: list[types.TaskSpec], **header) -> Iterator[task_pb.PreviewPlanRequest]:
    yield task_pb.PreviewPlanRequest(header=task_pb.PlanHeader(**header))
    for batch in batches:
        yield task_pb.PreviewPlanRequest(tasks=batch)


def plan_of(*batches: list[types.TaskSpec], **header) -> Iterator[task_pb.SubmitPlanRequest]:
    yield task_pb.SubmitPlanRequest(header=task_pb.PlanHeader(**header))
    for batch in batches:
        yield task_pb.SubmitPlanRequest(tasks=batch)


def path(text: str) -> types.PathRequest:
    return types.PathRequest(path=text)


async def refusal(call) -> tuple[grpc.StatusCode, str | None]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), raised.value.details()


async def test_the_shape_the_conflicts_and_the_waits_of_a_plan(coordinator, make):
    busy = await coordinator.running_session("busy")
    worker = await coordinator.connect(slots=2)
    await coordinator.submit(busy.session_id, make.task("holder", files=[path("out/")]))
    await worker.receive_assignments()
    tasks = [
        make.task("a", files=[path("x")]),
        make.task("b", needs=["a"], files=[path("x")]),
        make.task("c", files=[path("x")]),
        make.task("d", needs=["b"], files=[path("out/log")]),
    ]
    answer = await coordinator.call(coordinator.tasks.PreviewPlan, preview_of(tasks[:2], tasks[2:]))
    assert (answer.task_count, answer.need_count) == (4, 2)
    assert list(answer.longest_chain) == ["a", "b", "d"]
    assert list(answer.level_widths) == [2, 1, 1]
    assert [(one.task_id, one.other_task_id, one.path.path) for one in answer.conflicts] == [
        ("a", "c", "x"), ("b", "c", "x")
    ]  # fmt: skip
    assert answer.conflict_count == 2
    (waiting,) = answer.waits
    assert (waiting.task_id, waiting.status) == ("d", types.TASK_STATUS_BLOCKED)
    assert waiting.waits[0].kind == types.WAIT_KIND_LOCKS
    assert waiting.waits[0].holders[0].task_id == "holder"
    assert waiting.waits[0].holders[0].session_name == "busy"


async def test_nothing_is_kept_of_a_preview(coordinator, make):
    revision = coordinator.engine.core.revision
    create = session_pb.CreateSessionRequest(name="never")
    for header in ({}, {"create": create}):
        await coordinator.call(coordinator.tasks.PreviewPlan, preview_of([make.task("a")], **header))
    page = await coordinator.call(coordinator.sessions.ListSessions, session_pb.ListSessionsRequest())
    assert not page.sessions
    assert coordinator.engine.core.revision == revision


async def test_a_plan_for_a_session_that_is_there_is_checked_with_its_tasks(coordinator, make):
    session = await coordinator.running_session("one")
    await coordinator.submit(session.session_id, make.task("a"))
    fine = preview_of([make.task("b", needs=["a"])], session_id=session.session_id)
    answer = await coordinator.call(coordinator.tasks.PreviewPlan, fine)
    assert (answer.need_count, list(answer.level_widths)) == (1, [1])


@pytest.mark.parametrize(
    "specs",
    [
        [types.TaskSpec(task_id="a")],
        [types.TaskSpec(task_id="a", command=types.CommandWork(argv=[""]))],
        [types.TaskSpec(task_id="a", command=types.CommandWork(argv=["x"]), files=[path("../x")])],
        [types.TaskSpec(task_id="a", command=types.CommandWork(argv=["x"]), slots=5000)],
        [types.TaskSpec(task_id="a", command=types.CommandWork(argv=["x"]), needs=["b"])],
        [types.TaskSpec(task_id="a", command=types.CommandWork(argv=["x"]), needs=["a"])],
        [types.TaskSpec(task_id="a", command=types.CommandWork(argv=["x"]))] * 2,
        [types.TaskSpec(task_id="a", command=types.CommandWork(argv=["x"]))] * 1001,
    ],
)
async def test_faults_are_answered_as_by_submit_plan(coordinator, specs):
    create = session_pb.CreateSessionRequest(name="plan")
    submitted = await refusal(coordinator.call(coordinator.tasks.SubmitPlan, plan_of(specs, create=create)))
    looked_at = await refusal(coordinator.call(coordinator.tasks.PreviewPlan, preview_of(specs)))
    assert looked_at == submitted


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [task_pb.PreviewPlanRequest(tasks=[types.TaskSpec(task_id="a")])],
        [task_pb.PreviewPlanRequest(header=task_pb.PlanHeader())] * 2,
        [
            task_pb.PreviewPlanRequest(
                header=task_pb.PlanHeader(session_id="x", create=session_pb.CreateSessionRequest(name="n"))
            )
        ],
    ],
)
async def test_a_preview_without_one_fit_header_is_refused(coordinator, messages):
    code, _ = await refusal(coordinator.call(coordinator.tasks.PreviewPlan, iter(messages)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


class TestSmallLimits:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(plan_tasks=3, plan_bytes=10_000)

    async def test_a_plan_over_the_limits_is_not_looked_at(self, coordinator, make):
        batches = [[make.task(name) for name in names] for names in ("ab", "cd")]
        code, message = await refusal(coordinator.call(coordinator.tasks.PreviewPlan, preview_of(*batches)))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert message is not None
        assert "The plan is too large" in message


async def test_the_ids_of_a_chain_longer_than_a_message_are_cut(coordinator, make, monkeypatch):
    monkeypatch.setattr("buildrunner_coordinator.rpc.plans._CHAIN_BYTES", 30)
    tasks = [make.task(f"task-{i}", needs=[f"task-{i - 1}"] if i else []) for i in range(9)]
    answer = await coordinator.call(coordinator.tasks.PreviewPlan, preview_of(tasks))
    assert list(answer.longest_chain) == ["task-0", "task-1", "task-2"]
    assert len(answer.level_widths) == 9
