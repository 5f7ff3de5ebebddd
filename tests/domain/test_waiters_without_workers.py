"""Found by the simulator: tasks that could run, and were kept waiting by those that could not."""

from __future__ import annotations

from buildrunner_coordinator.domain import commands as c


def test_a_waiter_whose_only_worker_is_gone_keeps_nobody_waiting(stage, task):
    session_id = stage.session()
    stage.worker(slots=2)
    gpu = stage.worker(labels=("gpu",), slots=1)
    stage.submit(session_id, task("first", files=("out",)))
    stage.submit(session_id, task("gpu", files=("out",), labels=("gpu",)), task("later", files=("out",)))
    first = stage.one()
    stage.do(c.WorkerDied(gpu, "", 0, processes_gone=True))
    stage.finish(first)
    stage.wait(0.1)
    assert stage.status(session_id, "later") == "assigned"
    assert stage.status(session_id, "gpu") == "queued"


def test_a_heavy_task_with_files_passes_a_full_worker_by(stage, task):
    session_id = stage.session()
    narrow = stage.worker(slots=2, credit=5)
    wide = stage.worker(slots=4, credit=5)
    small, large = task("small", wanted_worker_id=narrow), task("large", slots=2, wanted_worker_id=wide)
    stage.submit(session_id, small, large)
    assert [worker.slots_taken for worker in stage.core.workers.values()] == [1, 2]
    stage.submit(session_id, task("heavy", slots=2, files=("out",)))
    assert stage.core.tasks[session_id]["heavy"].worker_id == wide


def test_an_ended_session_leaves_no_pool_behind(stage):
    session_id = stage.session()
    stage.do(c.SetPool(session_id, host="here", wanted=2))
    stage.do(c.SetPool(session_id, wanted=1))
    stage.do(c.CancelSession(session_id))
    assert not stage.core.pools
    assert sorted(stage.changes[-1].removed_pools) == [(session_id, ""), (session_id, "here")]
