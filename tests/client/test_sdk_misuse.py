"""Programs that use a session wrongly, or do not wait long enough: one line says what to do instead."""

from __future__ import annotations

import concurrent.futures
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import buildrunner_parallel
from buildrunner_parallel import TaskSpec, errors
from buildrunner_parallel.records import TaskStatus
from buildrunner_parallel.task_results import TaskResult
from tests.client.instant import Gone, Instant

DEADLINE_S = 20.0


def held(_spec: Any) -> None:
    """A task that goes on until it is told to end."""


def test_a_session_that_was_not_entered_says_so() -> None:
    session = Instant().client().session("work", workers=1)
    for use in (lambda: session.submit(["true"]), lambda: session.record, lambda: session.wait()):
        with pytest.raises(errors.WrongStateError, match="begins with its block"):
            use()


async def test_a_session_of_asyncio_that_was_not_entered_says_so() -> None:
    async with Instant().aio_client() as client:
        session = client.session("work", workers=1)
        with pytest.raises(errors.WrongStateError, match="begins with its block"):
            await session.submit(["true"])


def test_a_function_for_map_that_does_the_work_itself_is_told_of_handlers() -> None:
    with Instant().client().session("work", workers=1) as session:
        with pytest.raises(errors.InvalidRequestError, match="must return a TaskSpec, not int"):
            list(session.map(lambda number: number * 2, [1]))
        assert [one.ok for one in session.map(lambda _: TaskSpec(handler="a"), [1], retries=2)] == [True]


def test_waiting_too_shortly_for_a_future_says_for_what_and_what_to_look_at() -> None:
    instant = Instant(held)
    with instant.client().session("work", workers=1) as session:
        future = session.submit(["sleep"], task_id="slow")
        for ask in (future.result, future.exception, future.outcome):
            with pytest.raises(TimeoutError, match="task slow is not over yet") as caught:
                ask(0.01)
            assert isinstance(caught.value, errors.DeadlineError)
        assert repr(future) == "<TaskFuture of task slow: not over yet>"
        instant.finish("slow")
        assert concurrent.futures.wait([future], DEADLINE_S).done == {future}
        assert repr(future) == "<TaskFuture of task slow: done>"


def test_a_cancelled_task_is_called_so_once() -> None:
    with pytest.raises(errors.TaskFailedError) as caught:
        TaskResult("a", TaskStatus.CANCELLED, error="CANCELLED").check()
    assert str(caught.value) == "task a was cancelled"


def test_leaving_a_map_cancels_the_newest_tasks_first_and_several_at_a_time() -> None:
    instant = Instant(held)
    together = threading.Barrier(4)
    cancel = instant._CancelTask

    def slow_cancel(request: Any) -> Any:
        if len(instant.requests["CancelTask"]) > 4:
            return cancel(request)
        instant._lock.release()
        try:
            together.wait(DEADLINE_S)  # breaks unless four are asked for at the same time
        finally:
            instant._lock.acquire()
        return cancel(request)

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            if number == 40:
                instant.finish(next(iter(instant.live)))
            yield number

    instant._CancelTask = slow_cancel  # type: ignore[method-assign]
    with instant.client().session("work", workers=1) as session:
        for result in session.map(["task", "{}"], numbers(), window=200):
            assert result.item == 0
            newest = list(instant.live)[-16:]
            break
    asked = [request.task_id for request in instant.requests["CancelTask"]]
    assert set(asked[:4]) <= set(newest) and len(asked) == len(set(asked)) >= 30


def test_a_map_cancels_the_earlier_tasks_although_its_last_ones_were_refused() -> None:
    instant = Instant(held)

    def items() -> Any:
        yield from range(3)
        instant.refuse["SubmitTasks"] = [Gone(_refusal())]
        yield 3

    with instant.client().session("work", workers=1) as session:
        with pytest.raises(errors.BuildRunnerError):
            list(session.map(["task", "{}"], items(), batch_size=1))
        assert not instant.live
    assert session.record.status == "completed"


def _refusal() -> Any:
    import grpc

    return grpc.StatusCode.INVALID_ARGUMENT


def test_every_public_name_is_known_to_type_checkers_too() -> None:
    source = Path(buildrunner_parallel.__file__).read_text(encoding="utf-8")
    for name in buildrunner_parallel.__all__:
        assert f"import {name} as {name}\n" in source
        assert getattr(buildrunner_parallel, name) is not None
    from buildrunner_parallel import worker

    for name in ("EmbeddedWorker", "HandlerContext", "handler"):
        assert getattr(buildrunner_parallel, name) is getattr(worker, name)
