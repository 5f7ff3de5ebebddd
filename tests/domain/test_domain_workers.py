"""Workers: leases, loss, return, adoption, drain, work sent ahead and taken back."""

from __future__ import annotations

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import Kinds, Outcome, TaskKind
from buildrunner_coordinator.domain.replies import Acknowledge, Disposition, Drain, Revoke, Stop


def test_a_silent_worker_goes_offline_and_its_task_runs_elsewhere_after_the_lock_delay(stage, task):
    session = stage.session()
    lost = stage.worker()
    stage.submit(session, task("a"))
    first = stage.one()
    stage.start(first)
    stage.wait(29)
    spare = stage.worker()
    stage.nothing_is_sent()
    stage.wait(2)
    assert stage.core.workers[lost].status == "offline"
    assert stage.status(session, "a") == "queued"
    _beat(stage, spare)
    stage.wait(8)
    stage.nothing_is_sent()
    stage.wait(3)
    second = stage.one()
    assert (second.spec, second.number, stage.worker_of(second)) == (first.spec, 2, spare)
    late = stage.finish(first, worker_id=lost)
    assert late.disposition is Disposition.STALE


def test_heartbeats_keep_a_worker(stage, task):
    session = stage.session()
    worker = stage.worker()
    stage.submit(session, task("a"))
    assign = stage.one()
    for _ in range(10):
        stage.wait(20)
        _beat(stage, worker, c.Held(assign.attempt_id, assign.fence, started=True, pid=3, started_at_us=5))
    assert stage.status(session, "a") == "running"


def test_a_worker_whose_process_is_seen_dead_is_replaced_at_once(stage, task):
    session = stage.session()
    dead, spare = stage.worker(host="h", pid=7), stage.worker()
    stage.submit(session, task("a"))
    first = stage.one()
    assert stage.worker_of(first) == dead
    stage.start(first)
    assert stage.do(c.WorkerDied(dead, "h", 8, processes_gone=True)) == 0
    assert stage.do(c.WorkerDied(dead, "h", 7, processes_gone=True)) == 1
    assert stage.worker_of(stage.one()) == spare


def test_a_restart_keeps_what_runs_and_the_worker_is_adopted(stage, task):
    session = stage.session()
    worker = stage.worker(slots=2, credit=2)
    stage.submit(session, task("a"), task("b"), seal=True)
    a, b = stage.assigned()
    stage.start(a, pid=77)
    stage.restart()
    held = (c.Held(a.attempt_id, a.fence, started=True, pid=77, started_at_us=stage.now.wall_us),)
    again = stage.do(
        c.Register(9, worker_id=worker, slots=2, credit=2, kinds=Kinds(True), held=held, store_id="store")
    )
    assert (again.worker_id, again.adopted) == (worker, (a.attempt_id,))
    resent = stage.one()
    assert (resent.attempt_id, resent.fence, resent.number) == (b.attempt_id, b.fence, 1)
    stage.finish(a, started_at_us=1)
    stage.finish(b)
    assert stage.session_status(session) == "completed"
    rows = [row for one in stage.changes for row in one.attempts]
    assert next((row.task_id, row.number, row.pid) for row in rows) == ("a", 1, 77)


def test_a_worker_that_comes_back_too_late_is_told_that_its_attempt_is_stale(stage, task):
    session = stage.session()
    worker = stage.worker()
    stage.submit(session, task("a"))
    assign = stage.one()
    stage.start(assign)
    stage.wait(31)
    held = (c.Held(assign.attempt_id, assign.fence, started=True, pid=1, started_at_us=1),)
    back = stage.do(c.Register(9, worker_id=worker, kinds=Kinds(True), held=held, store_id="store"))
    assert back.adopted == ()
    assert stage.take() == [(worker, Acknowledge(assign.attempt_id, assign.fence, Disposition.STALE))]


def test_a_worker_of_another_store_gets_a_new_id(stage):
    worker = stage.worker()
    other = stage.do(c.Register(50, worker_id=worker, store_id="another", kinds=Kinds(True)))
    assert other.worker_id != worker


def test_an_assignment_that_two_heartbeats_do_not_name_is_sent_again_unchanged(stage, task):
    session = stage.session()
    worker = stage.worker()
    stage.submit(session, task("a"))
    first = stage.one()
    _beat(stage, worker)
    stage.nothing_is_sent()
    _beat(stage, worker)
    assert stage.one() == first
    assert stage.core.tasks[session]["a"].attempts == 1


def test_an_order_to_stop_is_repeated_when_the_worker_reconnects(stage, task):
    session = stage.session()
    worker = stage.worker()
    stage.submit(session, task("a"))
    assign = stage.one()
    stage.start(assign)
    stage.do(c.CancelTask(session, "a", "why not"))
    stage.take()
    stage.restart()
    held = (c.Held(assign.attempt_id, assign.fence, True, False, 5, 5),)
    stage.do(c.Register(9, worker_id=worker, kinds=Kinds(True), held=held, store_id="store"))
    assert stage.take() == [(worker, Stop(assign.attempt_id, assign.fence, Outcome.CANCELLED, "why not"))]


def test_free_slots_are_filled_before_anything_is_sent_ahead(stage, task):
    session = stage.session()
    first, second = stage.worker(slots=1, credit=10), stage.worker(slots=1, credit=10)
    stage.submit(session, *(task(f"t{i}") for i in range(4)))
    by_worker = [stage.worker_of(one) for one in stage.assigned()]
    assert [by_worker.count(one) for one in (first, second)] == [2, 2]


def test_a_task_with_locks_is_never_sent_ahead(stage, task):
    session = stage.session()
    stage.worker(slots=1, credit=10)
    stage.submit(session, task("a", files=("x",)), task("b", files=("y",)))
    assert stage.one().spec == b"a"


def test_what_waits_behind_a_long_task_is_taken_back_for_an_idle_worker(stage, task):
    session = stage.session()
    busy = stage.worker(slots=1, credit=3)
    stage.submit(session, task("long"), task("b"), task("c"))
    long, _, c_ahead = stage.assigned()
    stage.start(long)
    idle = stage.worker(slots=1)
    stage.nothing_is_sent()
    stage.wait(0.2)
    assert stage.take() == [(busy, Revoke(c_ahead.attempt_id, c_ahead.fence))]
    stage.do(c.Revoked(busy, c_ahead.attempt_id, c_ahead.fence, started=False))
    moved = stage.one()
    assert (moved.spec, stage.worker_of(moved), moved.number) == (b"c", idle, 1), (
        "what never ran left no trace"
    )


def test_a_worker_without_the_labels_or_the_kind_gets_nothing(stage, task):
    session = stage.session()
    stage.worker(kinds=Kinds(commands=True), labels=("linux",))
    stage.submit(session, task("gpu", labels=("gpu",)), task("h", kind=TaskKind.HANDLER, target="h"))
    stage.nothing_is_sent()
    stage.worker(kinds=Kinds(handlers=("h",)))
    stage.worker(kinds=Kinds(commands=True), labels=("gpu", "linux"))
    assert sorted(one.spec for one in stage.assigned()) == [b"gpu", b"h"]


def test_a_wanted_worker_is_the_only_one_that_gets_the_task(stage, task):
    session = stage.session()
    stage.worker()
    wanted = stage.worker()
    stage.submit(session, task("a", wanted_worker_id=wanted))
    assert stage.worker_of(stage.one()) == wanted


def test_a_heavy_task_takes_its_slots(stage, task):
    session = stage.session()
    stage.worker(slots=3, credit=3)
    stage.submit(session, task("heavy", slots=2), task("heavy2", slots=2), task("light"))
    assert [one.spec for one in stage.assigned()] == [b"heavy", b"light"]


def test_a_draining_worker_gets_nothing_and_gives_back_what_has_not_started(stage, task):
    session = stage.session()
    worker = stage.worker(slots=1, credit=2)
    stage.submit(session, task("a"), task("b"), task("c"))
    a, b = stage.assigned()
    stage.start(a)
    stage.do(c.DrainWorker(worker, "lunch"))
    assert stage.take() == [(worker, Drain("lunch")), (worker, Revoke(b.attempt_id, b.fence))]
    stage.do(c.Revoked(worker, b.attempt_id, b.fence, started=False))
    stage.finish(a)
    stage.nothing_is_sent()
    stage.do(c.Unregister(worker))
    assert stage.core.workers == {}


def test_three_failed_starts_in_a_row_put_a_worker_into_error(stage, task):
    session = stage.session()
    worker = stage.worker()
    stage.submit(session, *(task(f"t{i}") for i in range(3)))
    for _ in range(3):
        stage.finish(stage.one(), Outcome.NOT_STARTED, worker_fault=True, started_at_us=0)
    assert stage.core.workers[worker].status == "error"
    stage.nothing_is_sent()
    assert all(one.status == "queued" and not one.failures for one in stage.core.tasks[session].values())
    stage.do(c.Register(9, worker_id=worker, kinds=Kinds(True), store_id="store"))
    assert len(stage.assigned()) == 1


def test_a_stalled_coordinator_blames_no_worker(stage, task):
    worker = stage.worker()
    stage.now = stage.now._replace(us=stage.now.us + 60_000_000)
    stage.core.extend_leases(60_000_000)
    stage.wait(0)
    assert stage.core.workers[worker].status == "idle"


def test_an_offline_worker_is_forgotten_after_a_day(stage):
    worker = stage.worker()
    stage.wait(31)
    assert stage.core.workers[worker].status == "offline"
    stage.wait(86_401)
    assert stage.core.workers == {}


def _beat(stage, worker, *held):
    return stage.do(c.Heartbeat(worker, stage.core.workers[worker].generation, tuple(held)))


def test_stopping_all_workers_queues_what_runs_again_at_no_cost(stage, task):
    session = stage.session()
    worker = stage.worker(slots=2, credit=3, host="here")
    stage.worker(host="elsewhere", labels=("other",), kinds=Kinds())
    stage.submit(session, task("a"), task("b"), task("ahead"))
    a, b, ahead = stage.assigned()
    stage.start(a)
    stage.do(c.DrainAll("here", "the end", stop_running=True))
    sent = stage.take()
    assert {to for to, _ in sent} == {worker}
    assert [send.attempt_id for _, send in sent if isinstance(send, Stop)] == [
        one.attempt_id for one in (a, b, ahead)
    ]
    for one in (a, b, ahead):
        stage.finish(one, Outcome.REVOKED)
    stage.do(c.Unregister(worker))
    tasks = stage.core.tasks[session].values()
    assert [(one.status, one.crashes, one.failures) for one in tasks] == [("queued", 0, 0)] * 3
