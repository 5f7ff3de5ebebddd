"""What an attempt changed, and what it is charged with: nothing that somebody else may have done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import ISOLATED, Merge, Outcome

HERE = {"place": "/work/app", "is_audited": True}
PATCH = b"diff --git a/x b/x\n"


def changed(stage: Any, assign: Any, *files: str, outcome: Outcome = Outcome.SUCCEEDED, **more: Any) -> None:
    """Its report, with what the worker saw."""
    audit = c.Audit(patch=PATCH, **more)
    stage.finish(assign, outcome, modified_files=files, audit=audit)


def row(stage: Any, task_id: str) -> Any:
    return [one for batch in stage.changes for one in batch.attempts if one.task_id == task_id][-1]


def warnings(stage: Any, task_id: str) -> list[str]:
    found: list[str] = json.loads(row(stage, task_id).warnings_json)
    return found


def patches(stage: Any) -> list[tuple[str, int, bytes]]:
    return [(one.task_id, one.number, one.patch) for batch in stage.changes for one in batch.patches]


def reason(stage: Any, session_id: str, task_id: str) -> str:
    rows = [one for batch in stage.changes for one in batch.tasks if one[:2] == (session_id, task_id)]
    return str(rows[-1].reason)


@pytest.fixture
def town(stage: Any) -> Any:
    stage.worker(slots=8, host="one")
    return stage


@pytest.mark.parametrize("declared", ["src/app.py", "src/", "src/**/*.py", "./src/../src/app.py"])
def test_what_was_declared_is_recorded_without_a_word(town: Any, task: Any, declared: str) -> None:
    session_id = town.session()
    town.submit(session_id, task("build", files=(declared,), **HERE))
    changed(town, town.one(), "src/app.py")
    assert json.loads(row(town, "build").modified_files_json) == ["src/app.py"]
    assert (warnings(town, "build"), patches(town)) == ([], [])
    assert town.core.sessions[session_id].modified_files == ("src/app.py",)


def test_what_is_free_and_was_not_declared_is_a_warning_with_the_patch_kept(town: Any, task: Any) -> None:
    session_id = town.session()
    town.submit(session_id, task("build", files=("src/",), **HERE))
    changed(town, town.one(), "README.md", "src/a.py", patch_dropped_bytes=3)
    assert town.status(session_id, "build") == "succeeded"
    assert warnings(town, "build") == ["changed without declaring it: README.md"]
    assert patches(town) == [("build", 1, PATCH)]
    assert (row(town, "build").patch_bytes, row(town, "build").patch_dropped_bytes) == (len(PATCH), 3)


def test_what_another_session_holds_by_hand_fails_the_task_without_a_retry(town: Any, task: Any) -> None:
    mine, theirs = town.session("mine"), town.session("theirs")
    town.acquire(theirs, "docs/")
    town.submit(mine, task("build", files=("src/",), max_retries=5, **HERE))
    changed(town, town.one(), "src/a.py", "docs/guide.md")
    assert (town.status(mine, "build"), reason(town, mine, "build")) == ("failed", "UNDECLARED_WRITE")
    told = f"changed what session {theirs} (theirs) holds, without declaring it: docs/guide.md"
    assert (row(town, "build").outcome, row(town, "build").error) == ("failed", told)
    assert patches(town) == [("build", 1, PATCH)]


def test_a_shared_hold_is_a_hold(town: Any, task: Any) -> None:
    mine, theirs = town.session(), town.session()
    town.acquire(theirs, "docs/guide.md:shared", lease_s=30)
    town.submit(mine, task("build", files=("src/",), **HERE))
    changed(town, town.one(), "docs/guide.md")
    assert reason(town, mine, "build") == "UNDECLARED_WRITE"


def test_what_its_own_session_holds_is_its_own(town: Any, task: Any) -> None:
    session_id = town.session()
    town.acquire(session_id, "docs/")
    town.submit(session_id, task("build", files=("src/",), **HERE))
    assign = town.one()
    town.acquire(session_id, "extra.txt", attempt_id=assign.attempt_id, fence=assign.fence)
    changed(town, assign, "docs/guide.md", "extra.txt")
    assert (town.status(session_id, "build"), warnings(town, "build")) == ("succeeded", [])


def test_another_attempt_that_holds_it_here_is_named_and_nobody_charged(town: Any, task: Any) -> None:
    mine, theirs = town.session("mine"), town.session("theirs")
    town.submit(theirs, task("docs", files=("docs/",), **HERE))
    town.submit(mine, task("build", files=("src/",), **HERE))
    _, build = town.assigned()
    changed(town, build, "docs/guide.md")
    assert town.status(mine, "build") == "succeeded"
    assert warnings(town, "build") == [
        f"changed while it ran, by it or by task docs of session {theirs}: docs/guide.md"
    ]


def test_so_is_one_that_ended_meanwhile(town: Any, task: Any) -> None:
    mine, theirs = town.session("mine"), town.session("theirs")
    town.submit(mine, task("build", files=("src/",), **HERE))
    build = town.one()
    town.submit(theirs, task("docs", files=("docs/",), **HERE), task("more", files=("more",), **HERE))
    docs, more = town.assigned()
    town.wait(1)
    changed(town, docs)
    town.acquire(theirs, "docs/")
    changed(town, build, "docs/guide.md", "docs/other.md")
    assert town.status(mine, "build") == "succeeded"
    assert warnings(town, "build") == [
        f"changed while it ran, by it or by session {theirs} (theirs), task docs of session {theirs}: "
        "docs/guide.md, docs/other.md"
    ]
    changed(town, more)
    assert not town.core.departed


def test_one_that_ended_before_it_began_is_no_excuse(town: Any, task: Any) -> None:
    mine, theirs = town.session("mine"), town.session("theirs")
    town.submit(mine, task("old", files=("old",), **HERE))
    old = town.one()
    town.submit(theirs, task("docs", files=("docs/",), **HERE), seal=False)
    changed(town, town.one())
    town.acquire(theirs, "docs/")
    town.wait(1)
    town.submit(mine, task("build", files=("src/",), **HERE))
    changed(town, town.one(), "docs/guide.md")
    assert reason(town, mine, "build") == "UNDECLARED_WRITE"
    changed(town, old)


@pytest.mark.parametrize(("place", "host"), [("/work/other", "one"), (ISOLATED, "one"), ("/work/app", "two")])
def test_an_attempt_in_another_checkout_could_not_have_changed_it(
    town: Any, task: Any, place: str, host: str
) -> None:
    mine, theirs = town.session("mine"), town.session("theirs")
    worker = town.worker(host=host, credit=1)
    more = {"place": place, "is_audited": True, "wanted_worker_id": worker}
    town.submit(theirs, task("docs", files=("docs/",), **more))
    town.submit(mine, task("build", files=("src/",), **HERE))
    docs, build = town.assigned()
    changed(town, build, "docs/guide.md")
    assert reason(town, mine, "build") == "UNDECLARED_WRITE"
    assert f"changed what task docs of session {theirs} holds" in row(town, "build").error
    changed(town, docs)


def test_one_in_a_worktree_of_its_own_has_nobody_to_share_the_blame(town: Any, task: Any) -> None:
    mine, theirs = town.session("mine"), town.session("theirs")
    town.submit(theirs, task("docs", files=("docs/",), **HERE))
    town.submit(mine, task("build", files=("src/",), place=ISOLATED, is_audited=True))
    _, build = town.assigned()
    changed(town, build, "docs/guide.md", branch="br/x", commit="abc")
    assert reason(town, mine, "build") == "UNDECLARED_WRITE"
    assert (row(town, "build").branch, row(town, "build").commit_id) == ("br/x", "abc")


def test_after_a_restart_nobody_is_charged(town: Any, task: Any) -> None:
    mine, theirs = town.session("mine"), town.session("theirs")
    town.acquire(theirs, "docs/")
    town.submit(mine, task("build", files=("src/",), **HERE))
    build = town.one()
    town.wait(1)
    town.restart()
    changed(town, build, "docs/guide.md")
    assert town.status(mine, "build") == "succeeded"
    assert warnings(town, "build") == [
        f"changed without declaring it, and held by session {theirs} (theirs): docs/guide.md"
    ]


def test_spellings_that_differ_in_case_meet_where_checkouts_ignore_it(town: Any, task: Any) -> None:
    session_id = town.session()
    town.do(c.FoldCase())
    town.submit(session_id, task("build", files=("SRC/",), **HERE))
    changed(town, town.one(), "src/app.py")
    assert warnings(town, "build") == []


def test_one_that_is_not_audited_is_not_judged(town: Any, task: Any) -> None:
    mine, theirs = town.session(), town.session()
    town.acquire(theirs, "docs/")
    town.submit(mine, task("build", place=ISOLATED))
    changed(town, town.one(), "docs/guide.md", branch="br/x")
    assert (town.status(mine, "build"), warnings(town, "build")) == ("succeeded", [])
    assert json.loads(row(town, "build").modified_files_json) == ["docs/guide.md"]
    assert patches(town) == [("build", 1, PATCH)]


def test_one_that_was_told_to_stop_is_not_charged(town: Any, task: Any) -> None:
    mine, theirs = town.session(), town.session()
    town.acquire(theirs, "docs/")
    town.submit(mine, task("build", files=("src/",), **HERE))
    build = town.one()
    town.start(build)
    town.do(c.CancelTask(mine, "build"))
    town.take()
    changed(town, build, "docs/guide.md", outcome=Outcome.CANCELLED)
    assert town.status(mine, "build") == "cancelled"
    assert patches(town) == [("build", 1, PATCH)]


def test_the_patch_of_a_failure_is_kept(town: Any, task: Any) -> None:
    session_id = town.session()
    town.submit(session_id, task("build", files=("src/",), **HERE))
    changed(town, town.one(), "src/a.py", outcome=Outcome.FAILED)
    assert patches(town) == [("build", 1, PATCH)]


def test_what_kept_the_worker_from_looking_is_a_warning(town: Any, task: Any) -> None:
    session_id = town.session()
    town.submit(session_id, task("build", **HERE))
    town.finish(town.one(), audit=c.Audit(failure="not audited: no git", more_files=1234))
    assert town.status(session_id, "build") == "succeeded"
    assert warnings(town, "build") == ["not audited: no git", "changed 1,234 files more than are listed"]


@pytest.mark.parametrize(
    ("merge", "why"), [(Merge.CONFLICT, "MERGE_CONFLICT"), (Merge.FAILED, "MERGE_FAILED")]
)
def test_a_merge_that_did_not_work_is_a_failure_of_its_own_kind_and_may_be_retried(
    town: Any, task: Any, merge: Merge, why: str
) -> None:
    session_id = town.session()
    town.submit(session_id, task("build", place=ISOLATED, max_retries=1, backoff_ms=1))
    changed(town, town.one(), "a", outcome=Outcome.FAILED, branch="b", merge=merge)
    assert town.status(session_id, "build") == "queued"
    town.wait(5)
    again = town.one()
    town.finish(again, Outcome.FAILED, exit_code=0, audit=c.Audit(branch="b", merge=merge))
    assert (town.status(session_id, "build"), reason(town, session_id, "build")) == ("failed", why)


def test_what_was_merged_is_remembered(town: Any, task: Any) -> None:
    session_id = town.session()
    town.submit(session_id, task("build", place=ISOLATED))
    town.finish(town.one(), audit=c.Audit(branch="b", merge=Merge.MERGED))
    assert row(town, "build").merged == 1


def test_a_session_s_record_of_files_is_bounded(
    town: Any, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buildrunner_coordinator.domain.audits.MAX_SESSION_FILES", 3)
    session_id = town.session()
    town.submit(session_id, *(task(name, files=("src/",), **HERE) for name in ("one", "two", "three")))
    for name in ("b", "a", "c"):
        changed(town, town.one(), f"src/{name}", f"src/{name}{name}")
    assert town.core.sessions[session_id].modified_files == ("src/a", "src/b", "src/bb")
    told = [one.message for batch in town.changes for one in batch.events if one.kind == "changed"]
    assert told == ["Its list of modified files is full at 3; further ones are told by their attempts"]


def test_many_files_make_few_lines(town: Any, task: Any) -> None:
    session_id = town.session()
    town.submit(session_id, task("build", files=("src/",), **HERE))
    changed(town, town.one(), *(f"out/{number:04}" for number in range(1500)))
    assert warnings(town, "build") == [
        "changed without declaring it: out/0000, out/0001, out/0002, out/0003, out/0004 and 995 more",
        "changed 500 files more without declaring them",
    ]


def test_who_left_is_forgotten_when_nobody_older_lives_and_never_too_many_are_kept(
    town: Any, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buildrunner_coordinator.domain.audits.MAX_DEPARTED", 2)
    session_id = town.session()
    theirs = town.session("theirs")
    town.acquire(theirs, "docs/")
    town.submit(session_id, task("long", files=("long",), **HERE))
    long = town.one()
    for number in range(4):
        town.wait(1)
        town.submit(session_id, task(f"t{number}", files=(f"f{number}",), **HERE))
        changed(town, town.one())
    assert len(town.core.departed) == 2
    changed(town, long, "docs/guide.md")
    assert town.status(session_id, "long") == "succeeded", "who was there and is forgotten may have done it"
    assert not town.core.departed
