"""What is done before an attempt's start and after its end, with real repositories and without processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2
from buildrunner_parallel.worker import attempt as attempts
from buildrunner_parallel.worker.attempt import Attempt
from buildrunner_parallel.worker.framing import Message
from buildrunner_parallel.worker.ground import Ground
from buildrunner_parallel.worker.groundwork import CLOSED, PREPARED, Groundwork

from .conftest import Repository

WORKTREE = types_pb2.ISOLATION_MODE_WORKTREE


class Yard:
    """A groundwork whose events are awaited."""

    def __init__(self, folder: Path, directory: Path) -> None:
        self.events: asyncio.Queue[Message] = asyncio.Queue()
        self.has_lease = True
        self.held = ""
        self.asked: list[list[str]] = []
        self.groundwork = Groundwork(
            str(folder / "pictures"),
            str(directory),
            self.events.put_nowait,
            lambda: self.has_lease,
            self._held_by_others,
        )

    async def _held_by_others(
        self, attempt: Attempt, paths: Sequence[str], is_wanted: Callable[[], bool]
    ) -> str:
        self.asked.append(list(paths))
        return self.held

    async def prepared(self, attempt: Attempt) -> str:
        self.groundwork.prepare(attempt)
        name, attempt_id, ground, failure = await self.events.get()
        assert (name, attempt_id) == (PREPARED, attempt.attempt_id)
        attempt.ground = ground
        return str(failure)

    async def closed(
        self, attempt: Attempt, outcome: types_pb2.Outcome.ValueType = types_pb2.OUTCOME_SUCCEEDED
    ) -> worker_service_pb2.TaskReport:
        report = worker_service_pb2.TaskReport(attempt_id=attempt.attempt_id, outcome=outcome)
        self.groundwork.close(attempt, report, lambda: True)
        name, _, found = await self.events.get()
        assert name == CLOSED
        assert isinstance(found, worker_service_pb2.TaskReport)
        return found


@pytest.fixture
def yard(tmp_path: Path, repository: Repository) -> Iterator[Yard]:
    made = Yard(tmp_path, repository.folder)
    yield made
    made.groundwork.close_down()


def attempt_of(fence: int = 41, files: tuple[str, ...] = (), **spec: Any) -> Attempt:
    task = types_pb2.TaskSpec(
        task_id=f"task-{fence}", files=[types_pb2.PathRequest(path=one) for one in files], **spec
    )
    assignment = worker_service_pb2.Assignment(
        attempt_id=f"a{fence}", fence=fence, session_id="s-1", number=1, spec=task
    )
    return attempts.take(assignment)


def put(folder: str, path: str, text: str) -> None:
    Path(folder, path).write_text(text)


def has(path: str) -> bool:
    return Path(path).exists()


def ground_of(attempt: Attempt) -> Ground:
    assert attempt.ground is not None
    return attempt.ground


def test_who_declares_paths_is_audited_where_git_is(yard: Yard, tmp_path: Path) -> None:
    def needs(directory: Path, *files: str, **spec: Any) -> bool:
        place = types_pb2.WorkingDirectory(worktree=str(directory))
        return yard.groundwork.is_needed(attempt_of(files=files, directory=place, **spec))

    inside = tmp_path / "repository/src"
    assert needs(inside, "src/")
    assert not needs(inside)
    assert not needs(inside, "res:database")
    assert not needs(tmp_path, "src/")
    assert not needs(inside, "src/", audit=types_pb2.AUDIT_MODE_OFF)
    assert needs(inside, audit=types_pb2.AUDIT_MODE_ON)
    assert needs(tmp_path, audit=types_pb2.AUDIT_MODE_ON)
    assert needs(inside, isolation=WORKTREE, audit=types_pb2.AUDIT_MODE_OFF)


async def test_a_report_has_what_changed_in_the_shared_checkout(yard: Yard, repository: Repository) -> None:
    attempt = attempt_of(files=("src/",))
    assert await yard.prepared(attempt) == ""
    assert ground_of(attempt).directory == str(repository.folder)
    repository.write("src/new.py", "new\n")
    report = await yard.closed(attempt)
    assert list(report.modified_files) == ["src/new.py"]
    assert not report.audit.patch
    attempt = attempt_of(42, files=("src/",))
    await yard.prepared(attempt)
    repository.write("stray.txt", "stray\n")
    report = await yard.closed(attempt)
    assert list(report.modified_files) == ["stray.txt"]
    assert b"+stray\n" in report.audit.patch
    assert not report.audit.branch


async def test_a_repository_that_was_made_anew_is_looked_at_anew(
    yard: Yard, repository: Repository, tmp_path: Path
) -> None:
    await yard.prepared(attempt_of(41, ("src/",)))
    (repository.folder / ".git").rename(tmp_path / "moved")
    put(str(repository.folder), ".git", f"gitdir: {tmp_path}/moved\n")
    attempt = attempt_of(42, ("src/",))
    await yard.prepared(attempt)
    repository.write("src/new.py", "new\n")
    report = await yard.closed(attempt)
    assert (list(report.modified_files), report.audit.failure) == (["src/new.py"], "")


async def test_those_that_start_at_the_same_moment_share_a_picture(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [attempt_of(41, ("a",)), attempt_of(42, ("b",)), attempt_of(43, ("c",))]
    await yard.prepared(attempt_of(40, ("z",)))  # the checkout is known from now on
    for one in both:
        yard.groundwork.prepare(one)
    grounds = [(await yard.events.get())[2] for _ in both]
    assert len({id(one.before) for one in grounds}) < len(both)


async def test_without_git_the_report_says_why_there_is_nothing_to_tell(tmp_path: Path) -> None:
    yard = Yard(tmp_path, tmp_path)
    attempt = attempt_of(audit=types_pb2.AUDIT_MODE_ON)
    assert await yard.prepared(attempt) == ""
    report = await yard.closed(attempt)
    assert report.outcome == types_pb2.OUTCOME_SUCCEEDED
    assert report.audit.failure.startswith("not audited: git rev-parse in ")
    assert "not a git repository" in report.audit.failure
    yard.groundwork.close_down()


async def test_an_isolated_one_runs_at_the_same_place_of_its_own_checkout(
    yard: Yard, repository: Repository
) -> None:
    place = types_pb2.WorkingDirectory(worktree=str(repository.folder), path="src")
    attempt = attempt_of(directory=place, isolation=WORKTREE)
    assert await yard.prepared(attempt) == ""
    tree = str(repository.folder / ".buildrunner/worktrees/s-1/task-41-1")
    ground = ground_of(attempt)
    assert ground.directory == f"{tree}/src"
    assert ground.environment == {"BR_WORKTREE": tree, "BR_BRANCH": "br/s-1/task-41-1"}
    put(ground.directory, "new.py", "new\n")
    report = await yard.closed(attempt)
    assert list(report.modified_files) == ["src/new.py"]
    assert (report.audit.branch, report.audit.merge) == ("br/s-1/task-41-1", 0)
    assert repository.git("rev-parse", "br/s-1/task-41-1") == report.audit.commit
    assert not has(tree)
    assert repository.git("status", "--porcelain") == ""


async def test_what_a_failed_one_did_is_on_its_branch_and_its_checkout_is_kept(
    yard: Yard, repository: Repository
) -> None:
    attempt = attempt_of(isolation=WORKTREE, merge=True)
    await yard.prepared(attempt)
    tree = ground_of(attempt).directory
    put(tree, "half.txt", "half\n")
    report = await yard.closed(attempt, types_pb2.OUTCOME_FAILED)
    assert b"+half\n" in report.audit.patch
    assert has(f"{tree}/half.txt")
    assert report.audit.merge == worker_service_pb2.MERGE_OUTCOME_UNSPECIFIED
    assert repository.git("branch", "--list", "br/s-1/session") == ""


async def test_one_that_did_nothing_leaves_no_branch(yard: Yard, repository: Repository) -> None:
    attempt = attempt_of(isolation=WORKTREE, merge=True)
    await yard.prepared(attempt)
    report = await yard.closed(attempt)
    assert (report.audit.branch, list(report.modified_files)) == ("", [])
    assert report.audit.merge == worker_service_pb2.MERGE_OUTCOME_NOTHING
    assert repository.git("branch", "--list", "br/*") == ""


async def test_a_conflict_makes_the_attempt_fail(yard: Yard, repository: Repository) -> None:
    both = [attempt_of(fence, isolation=WORKTREE, merge=True) for fence in (41, 42)]
    for one in both:
        await yard.prepared(one)
        put(ground_of(one).directory, "src/app.py", one.attempt_id)
    assert (await yard.closed(both[0])).audit.merge == worker_service_pb2.MERGE_OUTCOME_MERGED
    report = await yard.closed(both[1])
    assert report.outcome == types_pb2.OUTCOME_FAILED
    assert report.error == report.audit.merge_error
    assert report.error.endswith("both changed src/app.py")
    assert repository.git("show", "br/s-1/session:src/app.py") == "a41"


@pytest.mark.parametrize(
    ("outcome", "then"),
    [
        (types_pb2.OUTCOME_SUCCEEDED, types_pb2.OUTCOME_FAILED),
        (types_pb2.OUTCOME_TIMED_OUT, types_pb2.OUTCOME_TIMED_OUT),
    ],
)
async def test_what_cannot_be_committed_is_kept_and_is_no_success(
    yard: Yard,
    repository: Repository,
    outcome: types_pb2.Outcome.ValueType,
    then: types_pb2.Outcome.ValueType,
) -> None:
    attempt = attempt_of(isolation=WORKTREE)
    await yard.prepared(attempt)
    tree = ground_of(attempt).directory
    put(tree, "work.txt", "work\n")
    put(str(repository.folder / ".git/worktrees/task-41-1"), "HEAD", "ref: nonsense\n")
    report = await yard.closed(attempt, outcome)
    assert report.outcome == then
    assert report.audit.failure.startswith(f"what it did could not be committed and is kept in {tree}: git ")
    assert has(f"{tree}/work.txt")


async def test_what_somebody_else_holds_is_not_merged(yard: Yard, repository: Repository) -> None:
    attempt = attempt_of(files=("src/",), isolation=WORKTREE, merge=True)
    await yard.prepared(attempt)
    put(ground_of(attempt).directory, "src/app.py", "two\n")
    put(ground_of(attempt).directory, "stray.txt", "stray\n")
    yard.held = "stray.txt is held by session abc"
    report = await yard.closed(attempt)
    assert yard.asked == [["stray.txt"]]
    assert (report.outcome, report.audit.merge) == (
        types_pb2.OUTCOME_FAILED,
        worker_service_pb2.MERGE_OUTCOME_FAILED,
    )
    assert report.error == "br/s-1/task-41-1 was not merged: stray.txt is held by session abc"
    assert list(report.modified_files) == ["src/app.py", "stray.txt"]
    assert repository.git("branch", "--list", "br/s-1/session") == ""


@pytest.mark.parametrize(
    "spec", [{"files": ("src/",)}, {}, {"files": ("a",), "audit": types_pb2.AUDIT_MODE_OFF}]
)
async def test_nobody_is_asked_about_what_was_declared_or_is_not_audited(
    yard: Yard, repository: Repository, spec: dict[str, Any]
) -> None:
    attempt = attempt_of(**spec, isolation=WORKTREE, merge=True)
    await yard.prepared(attempt)
    put(ground_of(attempt).directory, "src/app.py", "two\n")
    assert (await yard.closed(attempt)).audit.merge == worker_service_pb2.MERGE_OUTCOME_MERGED
    assert yard.asked == []


async def test_nothing_is_merged_while_the_lease_does_not_hold(yard: Yard, repository: Repository) -> None:
    attempt = attempt_of(isolation=WORKTREE, merge=True)
    await yard.prepared(attempt)
    put(ground_of(attempt).directory, "new.txt", "new\n")
    yard.has_lease = False
    answers = iter([True, True, False])
    report = worker_service_pb2.TaskReport(attempt_id="a41", outcome=types_pb2.OUTCOME_SUCCEEDED)
    yard.groundwork.close(attempt, report, lambda: next(answers, False))
    await yard.events.get()
    assert repository.git("branch", "--list", "br/s-1/session") == ""
    assert repository.git("rev-parse", "br/s-1/task-41-1") == report.audit.commit


async def test_one_that_cannot_be_isolated_says_why(yard: Yard, tmp_path: Path) -> None:
    outside = types_pb2.WorkingDirectory(worktree=str(tmp_path / "repository"), path="/tmp")
    told = await yard.prepared(attempt_of(directory=outside, isolation=WORKTREE))
    assert told == f"no worktree of its own: its directory /tmp is not within {tmp_path}/repository"
    elsewhere = types_pb2.WorkingDirectory(worktree=str(tmp_path))
    told = await yard.prepared(attempt_of(directory=elsewhere, isolation=WORKTREE))
    assert "not a git repository" in told


async def test_what_an_abandoned_one_did_is_on_its_branch(yard: Yard, repository: Repository) -> None:
    attempt = attempt_of(isolation=WORKTREE)
    await yard.prepared(attempt)
    tree = ground_of(attempt).directory
    put(tree, "half.txt", "half\n")
    yard.groundwork.abandon(attempt)
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    assert not has(tree)
    assert "half.txt" in repository.files("br/s-1/task-41-1")
