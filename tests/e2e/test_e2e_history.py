"""The past as the Python client reads it: ended attempts and histories, over a restart of the coordinator."""

from __future__ import annotations

import signal

import pytest

from buildrunner_parallel.client import Client
from buildrunner_parallel.errors import InvalidRequestError, NotFoundError
from buildrunner_parallel.specs import TaskSpec

from .conftest import Town, eventually

pytestmark = pytest.mark.e2e

TASKS = 150


def _tasks() -> list[TaskSpec]:
    flaky = 'test "$BR_ATTEMPT" = 2 || exit 7'
    return [
        *(TaskSpec(task_id=f"t{n}", argv=("true",)) for n in range(TASKS)),
        TaskSpec(task_id="flaky", argv=("sh", "-c", flaky), retries=1, backoff_s=0.01),
    ]


def _read(client: Client, session_id: str, worker_id: str) -> list[object]:
    """All there is to read of the past."""
    subjects = ((session_id, "", ""), (session_id, "flaky", ""), (session_id, "t0", ""), ("", "", worker_id))
    histories = [list(client.iter_history(one, task, worker_id=worker)) for one, task, worker in subjects]
    return [list(client.iter_attempts(session_id)), *histories]


def _check_attempts(client: Client, session_id: str) -> None:
    found = list(client.iter_attempts(session_id, with_specs=True))
    assert len(found) == TASKS + 2
    assert {one.task_number for one in found} == set(range(1, TASKS + 2))
    ends = [one.attempt.ended_revision for one in found]
    assert ends == sorted(ends)
    assert all(one.spec is not None and one.spec.argv for one in found)
    half = ends[len(ends) // 2]
    later = list(client.iter_attempts(session_id, since_revision=half))
    assert [one.attempt.attempt_id for one in later] == [
        one.attempt.attempt_id for one in found if one.attempt.ended_revision > half
    ]
    named = list(client.iter_attempts(session_id, task_ids=("flaky", "t3")))
    assert sorted((one.task_id, one.attempt.exit_code) for one in named) == [
        ("flaky", 0), ("flaky", 7), ("t3", 0),
    ]  # fmt: skip
    assert len(list(client.iter_attempts(session_id, limit=120))) == 120


def _check_histories(client: Client, session_id: str, worker_id: str) -> None:
    flaky = list(client.iter_history(session_id, "flaky"))
    assert [event.kind for event in flaky] == [
        "submitted", "assigned", "started", "ended", "requeued", "assigned", "started", "ended",
    ]  # fmt: skip
    assert "exit code 7" in flaky[3].message and "retry 1 of 1" in flaky[4].message
    assert "Attempt 2 succeeded" in flaky[-1].message
    of_session = [event.kind for event in client.iter_history(session_id)]
    assert of_session == ["created", "sealed", "started", "requeued", "ended"]
    assert [event.kind for event in client.iter_history(worker_id=worker_id)] == ["registered", "requeued"]
    with pytest.raises(NotFoundError):
        list(client.iter_history(session_id, "no-such-task"))
    with pytest.raises(InvalidRequestError):
        list(client.iter_history(session_id, worker_id=worker_id))


def test_the_past_is_read_the_same_before_and_after_a_restart(town: Town) -> None:
    first = town.coordinator()
    town.worker("--slots", "2")
    with town.client() as client:
        session, _ = client.submit_plan(_tasks(), create={"name": "past"})
        session_id = session.session_id
        assert client.wait_session(session_id, timeout_s=60).counts.succeeded == TASKS + 1
        (worker,) = client.list_workers()
        _check_attempts(client, session_id)
        _check_histories(client, session_id, worker.worker_id)
        before = _read(client, session_id, worker.worker_id)
    first.send_signal(signal.SIGKILL)
    first.wait(60)
    town.coordinator()
    with town.client() as client:
        assert _read(client, session_id, worker.worker_id) == before


def test_the_death_of_a_worker_is_told_to_all_whom_it_concerns(town: Town) -> None:
    town.coordinator("--lease", "3s", "--lock-delay", "1s", "--heartbeat-interval", "500ms")
    victim = town.worker()
    with town.client() as client:
        once = 'test "$BR_ATTEMPT" = 2 || sleep 60'
        tasks = [TaskSpec(task_id="long", argv=("sh", "-c", once))]
        session, _ = client.submit_plan(tasks, create={"name": "past"})
        eventually(lambda: client.list_tasks(session.session_id, statuses=("running",)), "it runs")
        (worker,) = client.list_workers()
        victim.kill()
        victim.wait(60)
        town.worker()
        client.wait_session(session.session_id, timeout_s=60)
        (lost, done) = client.iter_attempts(session.session_id)
        assert (str(lost.attempt.outcome), str(done.attempt.outcome)) == ("lost", "succeeded")
        events = list(client.iter_history(session.session_id, "long"))
        kinds = [event.kind for event in events]
        assert kinds[:4] == ["submitted", "assigned", "started", "lost"] and kinds[-1] == "ended"
        assert [event.revision for event in events] == sorted(event.revision for event in events)
        told = [event.kind for event in client.iter_history(worker_id=worker.worker_id[:6])]
        assert told == ["registered", "lost", "requeued", "offline"]
