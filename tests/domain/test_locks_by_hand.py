"""Paths taken by hand and by programs: who gets them, who is refused and why, what is given back."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import LockKind, LockMode, PathRequest
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Acquired


def test_a_session_holds_what_it_locks_until_it_gives_it_back(stage):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    got = stage.acquire(alpha, "src/app.py", "src/utils.py")
    assert [lock.path for lock in got.locks] == ["src/app.py", "src/utils.py"]
    error = stage.refused(beta, "src/utils.py", "src/config.py")
    assert error.message == f"Files already locked by session {alpha}: src/utils.py"
    assert stage.holders() == {"src/app.py": alpha, "src/utils.py": alpha}
    stage.do(c.ReleaseLocks(alpha, (PathRequest("src/utils.py", LockMode.EXCLUSIVE, LockKind.FILE),)))
    stage.acquire(beta, "src/utils.py", "src/config.py")
    stage.do(c.ReleaseLocks(alpha))
    assert stage.holders() == {"src/utils.py": beta, "src/config.py": beta}


def test_ten_paths_with_one_held_acquire_nothing(stage):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.acquire(alpha, "p7")
    stage.refused(beta, *(f"p{i}" for i in range(10)))
    assert stage.holders() == {"p7": alpha}


def test_a_refusal_names_every_conflict(stage, task):
    alpha, beta, gamma = (stage.session(name) for name in ("alpha", "beta", "gamma"))
    worker = stage.worker(slots=2)
    stage.submit(alpha, task("build", files=("src/",)))
    assign = stage.one()
    got = stage.acquire(beta, "docs/a.md:shared")
    stage.wait(5)
    error = stage.refused(gamma, "src/a.py", "docs/a.md", "free")
    assert error.message == f"Files already locked by session {beta}: docs/a.md (and by 1 other session)"
    on_docs, on_src = error.conflicts
    assert (on_docs.asked.path, on_docs.held.mode, on_docs.holder.session_name) == (
        "docs/a.md",
        "shared",
        "beta",
    )
    assert (on_docs.holder.grant_id, on_docs.lock_id) == (got.grant_id, got.locks[0].lock_id)
    assert (on_docs.held_us, on_docs.silent_us, on_docs.position) == (5_000_000, 5_000_000, 0)
    assert (on_src.asked.path, on_src.held.path, on_src.held.kind) == ("src/a.py", "src", "tree")
    assert on_src.holder.task_id == "build"
    assert (on_src.holder.worker_id, on_src.holder.attempt_id) == (worker, assign.attempt_id)


def test_taking_what_one_holds_succeeds_and_one_release_frees_it(stage):
    alpha, beta = stage.session(), stage.session()
    first = stage.acquire(alpha, "a")
    again = stage.acquire(alpha, "a", "a:shared")
    assert (again.grant_id, again.fence) == (first.grant_id, first.fence)
    stage.do(c.ReleaseLocks(alpha, (PathRequest("a", LockMode.EXCLUSIVE, LockKind.FILE),)))
    stage.acquire(beta, "a")


def test_shared_locks_stand_beside_each_other_and_one_becomes_exclusive_alone(stage):
    alpha, beta = stage.session(), stage.session()
    stage.acquire(alpha, "a:shared")
    stage.acquire(beta, "a:shared")
    assert stage.refused(alpha, "a").reason is Reason.LOCK_CONFLICT
    stage.do(c.ReleaseLocks(beta))
    upgraded = stage.acquire(alpha, "a")
    assert upgraded.locks[0].mode is LockMode.EXCLUSIVE
    stage.refused(beta, "a:shared")
    stage.do(c.ReleaseLocks(alpha, (PathRequest("a", LockMode.EXCLUSIVE, LockKind.FILE),)))
    assert stage.holders() == {}


def test_a_sessions_tasks_may_take_what_it_holds_and_exclude_each_other(stage, task):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.worker(slots=4)
    stage.acquire(alpha, "src/")
    stage.submit(alpha, task("one", files=("src/a",)), task("two", files=("src/a",)))
    stage.submit(beta, task("other", files=("src/b",)))
    assert stage.one().spec == b"one"
    assert stage.core.tasks[beta]["other"].waits_for == ("src",)


def test_grants_with_a_lease_exclude_each_other_in_one_session(stage):
    alpha = stage.session()
    stage.acquire(alpha, "a", lease_s=30)
    assert "already locked by session" in stage.refused(alpha, "a", lease_s=30).message
    assert isinstance(stage.acquire(alpha, "a"), Acquired), "the session itself is the parent of both"


def test_what_is_taken_within_a_grant_goes_to_its_account(stage):
    alpha, beta = stage.session(), stage.session()
    outer = stage.acquire(alpha, "src/", lease_s=30)
    within = {"held_grant_id": outer.grant_id, "held_fence": outer.fence, "lease_s": 30}
    inner = stage.acquire(alpha, "src/a", **within)
    assert inner.grant_id != outer.grant_id
    assert stage.acquire(alpha, "src/a", **within).grant_id == inner.grant_id
    stage.do(c.ReleaseLocks(alpha, grant_id=outer.grant_id, fence=outer.fence))
    stage.refused(beta, "src/a")
    assert stage.refused(alpha, "x", **within).reason is Reason.STALE


def test_another_grants_fence_releases_nothing(stage):
    alpha = stage.session()
    one, other = stage.acquire(alpha, "a", lease_s=30), stage.acquire(alpha, "b", lease_s=30)
    with pytest.raises(Refusal) as caught:
        stage.do(c.ReleaseLocks(alpha, grant_id=one.grant_id, fence=other.fence))
    assert caught.value.reason is Reason.STALE
    assert stage.holders() == {"a": alpha, "b": alpha}


def test_unlocking_what_one_does_not_hold_frees_nothing_and_says_who_does(stage):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.acquire(alpha, "a")
    stage.acquire(beta, "b")
    both = tuple(PathRequest(path, LockMode.EXCLUSIVE, LockKind.FILE) for path in ("a", "b"))
    with pytest.raises(Refusal) as caught:
        stage.do(c.ReleaseLocks(alpha, both))
    assert caught.value.reason is Reason.LOCK_NOT_HELD
    assert caught.value.message == (
        f"Session {alpha} (alpha) does not hold b itself: session {beta} (beta) holds it."
    )
    assert stage.holders() == {"a": alpha, "b": beta}


def test_a_preview_asks_for_nothing_and_knows_who_asks(stage, task):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.worker()
    stage.submit(alpha, task("t", files=("a",)))
    assign = stage.one()
    files = (PathRequest("a", LockMode.EXCLUSIVE, LockKind.FILE),)
    (conflict,) = stage.do(c.PreviewLocks(files))
    assert conflict.holder.task_id == "t"
    assert stage.do(c.PreviewLocks(files, attempt_id=assign.attempt_id, fence=assign.fence)) == []
    assert len(stage.do(c.PreviewLocks(files, session_id=beta))) == 1
    with pytest.raises(Refusal) as caught:
        stage.do(c.PreviewLocks(files, attempt_id=assign.attempt_id, fence=assign.fence - 1))
    assert caught.value.reason is Reason.STALE
    assert stage.do(c.ListLocks()).waiters == []
