"""The task part of the client: submitting, looking, cancelling, running again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .batches import batches
from .client_base import ClientBase, new_request_id, pages
from .client_sessions import create_request
from .connection import Stubs
from .convert import all_from_wire, from_wire
from .convert_specs import number_of, task_spec_to_wire
from .errors import InvalidRequestError
from .records import EndedAttempt, PlanPreview, Session, Task, TaskExplanation, TaskSummary
from .specs import TaskSpec
from .v1 import task_service_pb2 as wire
from .v1 import types_pb2

# A plan is validated whole before it is answered: seconds for each thousand tasks, on a slow machine.
_PLAN_S_PER_BATCH = 5.0


class TaskCalls(ClientBase):
    """Everything about tasks. Session ids may be unique prefixes; task ids are whole."""

    def submit_tasks(
        self, session_id: str, tasks: Iterable[TaskSpec], *, seal: bool = False, omit_tasks: bool = False
    ) -> list[TaskSummary]:
        """Adds tasks to an open session, in requests of up to 1,000, each all or none.

        `seal` says that no more will come; with `omit_tasks` nothing is returned. Raises InvalidRequestError (unknown need, cycle),
        RefusedError (an id that exists), WrongStateError (sealed, or over).
        """
        summaries: list[TaskSummary] = []
        pieces = list(batches(map(self._placed, tasks))) or [[]]
        for number, piece in enumerate(pieces, start=1):
            request = wire.SubmitTasksRequest(
                request_id=new_request_id(),
                session_id=session_id,
                tasks=piece,
                seal=seal and number == len(pieces),
                omit_tasks=omit_tasks,
            )
            if piece or request.seal:
                answer = self._call(lambda stubs: stubs.tasks.SubmitTasks, request)
                summaries += all_from_wire(TaskSummary, answer.tasks)
        return summaries

    def submit_plan(
        self,
        tasks: Iterable[TaskSpec],
        *,
        session_id: str = "",
        create: Mapping[str, Any] | None = None,
        seal: bool = True,
        start: bool = True,
    ) -> tuple[Session, int]:
        """A whole plan, validated and committed as one, into `session_id` or a session made from `create`
        (the arguments of `create_session`). Returns the session and the number of tasks added."""
        if bool(session_id) == (create is not None):
            raise InvalidRequestError("give a session_id or create, one of the two", reason="INVALID")
        header = wire.PlanHeader(
            request_id=new_request_id(),
            session_id=session_id,
            create=create_request(**create) if create is not None else None,
            seal=seal,
            start=start,
        )
        pieces = batches(map(self._placed, tasks))
        messages = [wire.SubmitPlanRequest(header=header)]
        messages += [wire.SubmitPlanRequest(tasks=piece) for piece in pieces]
        answer = self._stream_plan(messages)
        return from_wire(Session, answer.session), answer.task_count

    def preview_plan(self, tasks: Iterable[TaskSpec], *, session_id: str = "") -> PlanPreview:
        """What `submit_plan` would say, and what would wait for whom, without keeping anything.

        Raises what `submit_plan` raises.
        """
        messages = [wire.PreviewPlanRequest(header=wire.PlanHeader(session_id=session_id))]
        messages += [wire.PreviewPlanRequest(tasks=piece) for piece in batches(map(self._placed, tasks))]
        timeout_s = self._connection.call_timeout_s + _PLAN_S_PER_BATCH * len(messages)

        def attempt(stubs: Stubs) -> wire.PreviewPlanResponse:
            return stubs.tasks.PreviewPlan(iter(messages), timeout=timeout_s)

        return from_wire(PlanPreview, self._connection.run(attempt))

    def _placed(self, task: TaskSpec) -> types_pb2.TaskSpec:
        """The message of a task, which runs where it is submitted from unless it says otherwise."""
        message = task_spec_to_wire(task)
        worktree, directory = self._directory
        if worktree and not task.worktree and not task.cwd.startswith("/") and task.external is None:
            message.directory.worktree = worktree
            message.directory.path = task.cwd or directory
        return message

    def _stream_plan(self, messages: list[wire.SubmitPlanRequest]) -> wire.SubmitPlanResponse:
        timeout_s = self._connection.call_timeout_s + _PLAN_S_PER_BATCH * len(messages)

        def attempt(stubs: Stubs) -> wire.SubmitPlanResponse:
            return stubs.tasks.SubmitPlan(iter(messages), timeout=timeout_s)

        return self._connection.run(attempt)

    def get_task(self, session_id: str, task_id: str) -> Task:
        """One task with its attempts. Raises NotFoundError."""
        request = wire.GetTaskRequest(session_id=session_id, task_id=task_id)
        return from_wire(Task, self._call(lambda stubs: stubs.tasks.GetTask, request).task)

    def list_tasks(
        self, session_id: str, *, statuses: Sequence[str] = (), limit: int | None = None
    ) -> list[TaskSummary]:
        """Summaries in order of submission; all of them, or at most `limit`."""
        return list(self.iter_tasks(session_id, statuses=statuses, limit=limit))

    def iter_tasks(
        self, session_id: str, *, statuses: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[TaskSummary]:
        """The same, fetched a page at a time."""
        numbers = [number_of(types_pb2.TaskStatus, status) for status in statuses]

        def fetch(page_size: int, page_token: str) -> tuple[list[TaskSummary], str]:
            request = wire.ListTasksRequest(
                session_id=session_id, statuses=numbers, page_size=page_size, page_token=page_token
            )
            answer = self._call(lambda stubs: stubs.tasks.ListTasks, request)
            return list(all_from_wire(TaskSummary, answer.tasks)), answer.next_page_token

        return pages(fetch, limit)

    def iter_attempts(
        self,
        session_id: str,
        *,
        task_ids: Sequence[str] = (),
        since_revision: int = 0,
        with_results: bool = True,
        with_specs: bool = False,
        limit: int | None = None,
    ) -> Iterator[EndedAttempt]:
        """Ended attempts, in the order of their ends, fetched a page at a time: all, those of `task_ids`, or
        those that ended after `since_revision`."""

        def fetch(page_size: int, page_token: str) -> tuple[list[EndedAttempt], str]:
            request = wire.ListAttemptsRequest(
                session_id=session_id,
                task_ids=task_ids,
                since_revision=since_revision,
                omit_results=not with_results,
                with_specs=with_specs,
                page_size=page_size,
                page_token=page_token,
            )
            answer = self._call(lambda stubs: stubs.tasks.ListAttempts, request)
            return list(all_from_wire(EndedAttempt, answer.attempts)), answer.next_page_token

        return pages(fetch, limit)

    def cancel_task(self, session_id: str, task_id: str, *, reason: str = "") -> TaskSummary:
        """Stops one task; tasks that need it are skipped. No effect on an ended one."""
        request = wire.CancelTaskRequest(
            request_id=new_request_id(), session_id=session_id, task_id=task_id, reason=reason
        )
        return from_wire(TaskSummary, self._call(lambda stubs: stubs.tasks.CancelTask, request).task)

    def retry_tasks(self, session_id: str, task_ids: Sequence[str] = ()) -> tuple[Session, int]:
        """Runs failed, skipped and cancelled tasks again (all, or those named); how many there are."""
        request = wire.RetryTasksRequest(
            request_id=new_request_id(), session_id=session_id, task_ids=task_ids
        )
        answer = self._call(lambda stubs: stubs.tasks.RetryTasks, request)
        return from_wire(Session, answer.session), answer.task_count

    def explain_tasks(
        self, session_id: str, task_id: str = "", *, limit: int | None = None
    ) -> list[TaskExplanation]:
        """Why a task, or each unfinished one of the session, is not running; the most telling first.

        At most `limit` tasks, in the order of their submission.
        """

        def fetch(page_size: int, page_token: str) -> tuple[list[TaskExplanation], str]:
            request = wire.ExplainTasksRequest(
                session_id=session_id, task_id=task_id, page_size=page_size, page_token=page_token
            )
            answer = self._call(lambda stubs: stubs.tasks.ExplainTasks, request)
            return list(all_from_wire(TaskExplanation, answer.explanations)), answer.next_page_token

        return list(pages(fetch, limit))
