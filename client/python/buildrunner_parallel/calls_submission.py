"""Getting tasks in, as methods of both clients: in batches, as a plan, or as a plan that is only looked
at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .batches import batches
from .calls import Call, Scope, Steps, new_request_id
from .calls_sessions import create_request
from .convert import all_from_wire, from_wire
from .convert_specs import task_spec_to_wire
from .errors import InvalidRequestError
from .plan_stream import PlanStream
from .records import PlanPreview, Session, TaskSummary
from .specs import TaskSpec
from .v1 import task_service_pb2 as wire
from .v1 import types_pb2

# A plan is validated whole before it is answered: seconds for each thousand tasks, on a slow machine.
_PLAN_S_PER_BATCH = 5.0
_CALL_S = 30.0


def submit_tasks(
    self: Scope,
    session_id: str,
    tasks: Iterable[TaskSpec],
    *,
    seal: bool = False,
    omit_tasks: bool = False,
    request_id: str = "",
) -> Steps[list[TaskSummary]]:
    """Adds tasks to an open session, in requests of up to 1,000, each all or none.

    `tasks` may be a generator of any length: it is read a request at a time. `seal` says that no more will
    come. With `omit_tasks` the list is empty, and nothing is kept of what was sent. `request_id` (at most 120
    bytes, one of your own making) makes it harmless to submit the same once more, from this client. Raises
    InvalidRequestError (unknown need, cycle), RefusedError (an id that exists), WrongStateError (sealed, or
    over); earlier requests stand.
    """
    summaries: list[TaskSummary] = []
    pieces = batches(placed(self, task) for task in tasks)
    numbered = enumerate(_with_last(pieces) if seal else ((piece, False) for piece in pieces))
    for number, (piece, is_last) in numbered:
        request = wire.SubmitTasksRequest(
            request_id=f"{request_id}/{number}" if request_id else new_request_id(),
            session_id=session_id,
            tasks=piece,
            seal=is_last,
            omit_tasks=omit_tasks,
        )
        answer = yield from _submission(request)
        summaries += all_from_wire(TaskSummary, answer.tasks)
    return summaries


def submission(
    self: Scope, session_id: str, task_ids: Sequence[str], tasks: Sequence[TaskSpec]
) -> Iterator[Call[Any]]:
    """The calls that submit `tasks` under these ids, for those who keep count themselves."""
    for piece in batches(_with_ids(self, task_ids, tasks)):
        request = wire.SubmitTasksRequest(
            request_id=new_request_id(), session_id=session_id, tasks=piece, omit_tasks=True
        )
        yield _submission(request)


def _with_ids(
    self: Scope, task_ids: Sequence[str], tasks: Sequence[TaskSpec]
) -> Iterator[types_pb2.TaskSpec]:
    # Into the message: a changed copy of a frozen spec costs as much as all the rest.
    for task_id, task in zip(task_ids, tasks, strict=True):
        message = placed(self, task)
        message.task_id = task_id
        yield message


def _submission(request: wire.SubmitTasksRequest) -> Call[wire.SubmitTasksResponse]:
    return Call(lambda stubs: stubs.tasks.SubmitTasks, request, lambda answer: answer)


def submit_plan(
    self: Scope,
    tasks: Iterable[TaskSpec],
    *,
    session_id: str = "",
    create: Mapping[str, Any] | None = None,
    seal: bool = True,
    start: bool = True,
) -> Steps[tuple[Session, int]]:
    """A whole plan, validated and committed as one, into `session_id` or a session made from `create`
    (the arguments of `create_session`). Returns the session and the number of tasks added.

    `tasks` may be a generator: messages beyond 32 MiB are kept in a temporary file until the answer is there.
    """
    if bool(session_id) == (create is not None):
        raise InvalidRequestError("give a session_id or create, one of the two", reason="INVALID")
    header = wire.PlanHeader(
        request_id=new_request_id(),
        session_id=session_id,
        create=create_request(**create) if create is not None else None,
        seal=seal,
        start=start,
    )
    with PlanStream(wire.SubmitPlanRequest) as messages:
        messages.append(wire.SubmitPlanRequest(header=header))
        for piece in batches(placed(self, task) for task in tasks):
            messages.append(wire.SubmitPlanRequest(tasks=piece))
        answer = yield from _whole(lambda stubs: stubs.tasks.SubmitPlan, messages)
    return from_wire(Session, answer.session), answer.task_count


def preview_plan(self: Scope, tasks: Iterable[TaskSpec], *, session_id: str = "") -> Steps[PlanPreview]:
    """What `submit_plan` would say, and what would wait for whom, without keeping anything.

    Raises what `submit_plan` raises.
    """
    with PlanStream(wire.PreviewPlanRequest) as messages:
        messages.append(wire.PreviewPlanRequest(header=wire.PlanHeader(session_id=session_id)))
        for piece in batches(placed(self, task) for task in tasks):
            messages.append(wire.PreviewPlanRequest(tasks=piece))
        answer = yield from _whole(lambda stubs: stubs.tasks.PreviewPlan, messages)
    return from_wire(PlanPreview, answer)


def _whole(method: Any, messages: PlanStream[Any]) -> Call[Any]:
    timeout_s = _CALL_S + _PLAN_S_PER_BATCH * len(messages)
    return Call(method, messages, lambda answer: answer, streamed=True, timeout_s=timeout_s)


def placed(self: Scope, task: TaskSpec) -> types_pb2.TaskSpec:
    """The message of a task, which runs where it is submitted from unless it says otherwise."""
    message = task_spec_to_wire(task)
    worktree, directory = self._directory
    if worktree and not task.worktree and not task.cwd.startswith("/") and task.external is None:
        message.directory.worktree = worktree
        message.directory.path = task.cwd or directory
    return message


def _with_last(
    pieces: Iterable[list[types_pb2.TaskSpec]],
) -> Iterator[tuple[list[types_pb2.TaskSpec], bool]]:
    """Each piece, and whether it is the last; an empty one when there is none at all."""
    held: list[types_pb2.TaskSpec] = []
    for piece in pieces:
        if held:
            yield held, False
        held = piece
    yield held, True
