"""External workers that look up what they have: placement, leases of their own, counts, pools."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import Driver, Kinds, Outcome, TaskKind, TaskStatus, WorkerStatus
from buildrunner_coordinator.domain.refusals import Reason, Refusal

SECOND = 1_000_000
POOL = "pool"


def passive(stage, *, pool=POOL, lease_ms=0, metadata="{}"):
    return stage.worker(
        kinds=Kinds(external=True), pool=pool, capabilities=("passive",), polls=True, lease_ms=lease_ms,
        metadata_json=metadata,
    )  # fmt: skip


def submit(stage, task, session, *names, **traits):
    tasks = [task(name, kind=TaskKind.EXTERNAL, target=POOL, **traits) for name in names]
    return stage.submit(session, *tasks)


def view(stage, worker_id):
    return stage.do(c.ReadWorker(worker_id))


def finish(stage, worker_id, outcome=Outcome.SUCCEEDED):
    """Reports what the worker has, as its record tells it."""
    found = view(stage, worker_id)
    (attempt_id,), (_, _, _, fence) = found.attempt_ids, found.tasks[0]
    return stage.do(c.Finished(worker_id, attempt_id, fence, outcome))


@pytest.fixture
def session(stage):
    return stage.session(driver=Driver.OWNER)


def test_the_first_idle_one_in_order_of_registration_has_it_at_once_and_runs_it(stage, task, session):
    first, second = passive(stage), passive(stage)
    answer = submit(stage, task, session, "a", "b", "c")
    assert [one.row.worker_id for one in answer.tasks] == [first, second, ""]
    assert [one.row.status for one in answer.tasks] == ["running", "running", "queued"]
    stage.nothing_is_sent()


def test_the_end_of_a_task_brings_the_next_in_the_same_batch(stage, task, session):
    worker = passive(stage)
    submit(stage, task, session, "a", "b")
    finish(stage, worker)
    found = view(stage, worker)
    assert found.tasks[0][:2] == (session, "b")
    assert (found.worker.status, found.worker.succeeded) == ("busy", 1)


def test_its_own_lease_ends_it_and_the_task_goes_to_another_at_once(stage, task, session):
    silent, other = passive(stage, lease_ms=2000), passive(stage)
    submit(stage, task, session, "a")
    stage.wait(1.9)
    assert view(stage, silent).worker.status == "busy"
    stage.wait(0.2)
    assert view(stage, silent).worker.status == "offline"
    assert view(stage, other).tasks[0][:2] == (session, "a")
    stage.nothing_is_sent()


def test_a_late_report_of_the_silent_one_is_stale(stage, task, session):
    silent, other = passive(stage, lease_ms=2000), passive(stage)
    submit(stage, task, session, "a")
    before = view(stage, silent)
    stage.wait(3)
    late = c.Finished(silent, before.attempt_ids[0], before.tasks[0][3], Outcome.SUCCEEDED)
    assert stage.do(late).disposition == "stale"
    assert stage.status(session, "a") == "running"
    assert view(stage, other).worker.succeeded == view(stage, silent).worker.succeeded == 0


def test_who_tells_the_end_of_a_task_is_not_silent(stage, task, session):
    worker = passive(stage, lease_ms=2000)
    submit(stage, task, session, "a", "b", "c")
    for _ in range(3):
        stage.wait(1.5)
        finish(stage, worker)
    found = view(stage, worker).worker
    assert (found.status, found.succeeded, found.heartbeat_at_us) == ("idle", 3, stage.now.wall_us)
    stage.wait(2.1)
    assert view(stage, worker).worker.status == "offline"


def test_a_heartbeat_revives_it(stage, task, session):
    worker = passive(stage, lease_ms=2000)
    stage.wait(3)
    submit(stage, task, session, "a")
    assert stage.status(session, "a") == "queued"
    stage.do(c.Heartbeat(worker, 0))
    assert view(stage, worker).tasks[0][:2] == (session, "a")


def test_what_was_heard_of_it_can_be_set_back(stage, task, session):
    worker = passive(stage)
    submit(stage, task, session, "a")
    stage.do(c.UpdateWorker(worker, heartbeat_at_us=stage.now.wall_us - 60 * SECOND))
    stage.wait(0)
    assert view(stage, worker).worker.status == "offline"
    assert stage.status(session, "a") == "queued"


def test_a_changed_lease_counts_from_the_last_heartbeat(stage):
    worker = passive(stage)
    stage.wait(10)
    stage.do(c.UpdateWorker(worker, lease_ms=15_000))
    stage.wait(4)
    assert view(stage, worker).worker.status == "idle"
    stage.wait(1.1)
    assert view(stage, worker).worker.status == "offline"


def test_busy_by_its_owners_word_gets_nothing_and_idle_gets_it(stage, task, session):
    worker = passive(stage)
    stage.do(c.UpdateWorker(worker, status=WorkerStatus.BUSY))
    submit(stage, task, session, "a")
    assert stage.status(session, "a") == "queued"
    stage.do(c.UpdateWorker(worker, status=WorkerStatus.IDLE))
    assert stage.status(session, "a") == "running"


def test_idle_is_not_believed_of_one_that_has_a_task(stage, task, session):
    worker = passive(stage)
    submit(stage, task, session, "a")
    stage.do(c.UpdateWorker(worker, status=WorkerStatus.IDLE))
    assert view(stage, worker).worker.status == "busy"


def test_offline_by_its_owners_word_gives_its_task_back(stage, task, session):
    worker = passive(stage)
    submit(stage, task, session, "a")
    stage.do(c.UpdateWorker(worker, status=WorkerStatus.OFFLINE))
    assert view(stage, worker).worker.status == "offline"
    assert stage.status(session, "a") == "queued"


def test_a_goodbye_costs_its_task_nothing(stage, task, session):
    submit(stage, task, session, "a")
    for _ in range(5):  # more often than the crash limit
        worker = passive(stage)
        stage.do(c.Unregister(worker))
        assert stage.status(session, "a") == "queued"


def test_tasks_that_it_did_by_itself_are_added_to_its_counts(stage):
    worker = passive(stage)
    stage.do(c.UpdateWorker(worker, succeeded=2, failed=1))
    assert (view(stage, worker).worker.succeeded, view(stage, worker).worker.failed) == (2, 1)


def test_only_owners_of_external_workers_may_set_these(stage):
    worker = stage.worker()
    for more in ({"status": WorkerStatus.BUSY}, {"lease_ms": 5}, {"heartbeat_at_us": 5}, {"failed": 1}):
        with pytest.raises(Refusal) as caught:
            stage.do(c.UpdateWorker(worker, **more))
        assert caught.value.reason is Reason.UNSUPPORTED


def test_a_wanted_worker_that_is_gone_binds_no_external_task(stage, task, session):
    wanted, other = passive(stage), passive(stage)
    submit(stage, task, session, "a", "b", wanted_worker_id=wanted)
    assert view(stage, other).tasks == ()
    stage.do(c.Unregister(wanted))
    assert view(stage, other).tasks[0][:2] == (session, "a")
    assert stage.status(session, "b") == "queued"


def test_it_serves_on_behind_a_restart_without_a_hello(stage, task, session):
    worker = passive(stage, lease_ms=5000)
    submit(stage, task, session, "a", "b")
    stage.restart()
    assert view(stage, worker).worker.lease_ms == 5000
    finish(stage, worker)
    assert view(stage, worker).tasks[0][:2] == (session, "b")


def test_the_tasks_of_a_pool_are_those_that_are_not_over_of_all_sessions(stage, task, session):
    worker = passive(stage)
    other = stage.session("other", driver=Driver.OWNER)
    submit(stage, task, session, "a", "b")
    submit(stage, task, other, "c")
    stage.submit(other, task("d", kind=TaskKind.EXTERNAL, target="elsewhere"), task("e"))
    page = stage.do(c.ListPoolTasks(POOL))
    assert ([one.row.task_id for one in page.tasks], page.total, page.next_after) == (["a", "b", "c"], 3, 0)
    finish(stage, worker)
    queued = stage.do(c.ListPoolTasks(POOL, statuses=(TaskStatus.QUEUED,), limit=1))
    assert [one.row.task_id for one in queued.tasks] == ["c"]
    first = stage.do(c.ListPoolTasks(POOL, limit=1))
    rest = stage.do(c.ListPoolTasks(POOL, after=first.next_after))
    assert [first.tasks[0].row.task_id, *(one.row.task_id for one in rest.tasks)] == ["b", "c"]
    stage.restart()
    assert stage.do(c.ListPoolTasks(POOL)).specs == [b"b", b"c"]


def test_the_number_that_an_owner_expects_is_no_limit(stage, task):
    session = stage.session(driver=Driver.OWNER, declared_tasks=1)
    submit(stage, task, session, "a")
    submit(stage, task, session, "b")
    assert stage.core.sessions[session].open


@pytest.mark.parametrize("names", ["a", "ab", "abc"])
def test_a_cancelled_session_takes_its_tasks_off_the_workers(stage, task, session, names):
    """With the last of them the session was over in the middle of its cancellation, which then fell."""
    first, second = passive(stage), passive(stage)
    submit(stage, task, session, *names)
    stage.do(c.CancelSession(session))
    assert stage.session_status(session) == "cancelled"
    assert [view(stage, one).worker.status for one in (first, second)] == ["idle", "idle"]
