"""Room for attempts that are prepared first, and where they run then."""

from __future__ import annotations

from typing import Any

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2
from buildrunner_parallel.worker import attempt as attempts
from buildrunner_parallel.worker import supervisor_messages as say
from buildrunner_parallel.worker.attempt import Attempt
from buildrunner_parallel.worker.executors import SlotExecutor
from buildrunner_parallel.worker.ground import Ground
from buildrunner_parallel.worker.host_link import HandlerJob


def attempt_of(attempt_id: str, slots: int = 1, *, handler: bool = False) -> Attempt:
    spec = types_pb2.TaskSpec(task_id="t", slots=slots)
    spec.directory.worktree = "/repository"
    if handler:
        spec.handler.name = "h"
    else:
        spec.command.argv.append("true")
    return attempts.take(worker_service_pb2.Assignment(attempt_id=attempt_id, fence=7, spec=spec))


class RecordingPool:
    """Takes every job."""

    def __init__(self, slots_used: int = 0) -> None:
        self.slots_used = slots_used
        self.jobs: list[HandlerJob] = []

    def feed(self, job: HandlerJob, free_slots: int) -> bool:
        self.jobs.append(job)
        return True


def test_no_more_is_reserved_than_there_are_slots() -> None:
    executor = SlotExecutor(3, "/")
    first, second, third = (attempt_of(name, slots) for name, slots in (("a", 2), ("b", 1), ("c", 1)))
    assert executor.reserve(first)
    assert executor.reserve(second)
    assert not executor.reserve(third)
    executor.release(first)
    assert executor.start(first)
    assert not executor.reserve(third), "what runs takes as much as what is prepared"
    executor.over(first)
    assert executor.reserve(third)


def test_handlers_that_run_count_too() -> None:
    executor = SlotExecutor(2, "/")
    pool: Any = RecordingPool(slots_used=1)
    executor.pool = pool
    assert executor.reserve(attempt_of("a"))
    assert not executor.reserve(attempt_of("b"))


def test_a_task_wider_than_the_worker_gets_all_of_it() -> None:
    assert SlotExecutor(2, "/").reserve(attempt_of("a", 9))


def test_a_command_runs_where_it_was_prepared_for() -> None:
    executor = SlotExecutor(1, "/")
    attempt = attempt_of("a")
    attempt.ground = Ground("/own/src", {"BR_WORKTREE": "/own"})
    assert executor.start(attempt)
    ((name, _, _, directory, env, *_),) = executor.requests
    assert (name, directory, env["BR_WORKTREE"], env["BR_TASK_ID"]) == (say.RUN, "/own/src", "/own", "t")


def test_a_handler_runs_where_it_was_prepared_for() -> None:
    executor = SlotExecutor(1, "/")
    pool: Any = RecordingPool()
    executor.pool = pool
    attempt = attempt_of("a", handler=True)
    attempt.ground = Ground("/own/src", {"BR_WORKTREE": "/own"})
    assert executor.start(attempt)
    assert (pool.jobs[0].directory, pool.jobs[0].environment) == ("/own/src", {"BR_WORKTREE": "/own"})
