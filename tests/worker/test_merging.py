"""Branches of attempts come together on their session's branch; nobody's checkout is touched."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from buildrunner_parallel.v1 import worker_service_pb2 as pb
from buildrunner_parallel.worker.git_calls import find_checkout
from buildrunner_parallel.worker.merging import Merge, merge
from buildrunner_parallel.worker.worktrees import Identity, OwnTree, grow, seal

from .conftest import Repository

SESSION_BRANCH = "br/s-1/session"


def own(repository: Repository, task_id: str) -> OwnTree:
    return grow(find_checkout(str(repository.folder)), Identity("s-1", task_id, 1, 41))[0]


def done(repository: Repository, task_id: str, path: str, text: str) -> tuple[OwnTree, str]:
    tree = own(repository, task_id)
    Path(tree.path, path).write_text(text)
    return tree, seal(tree)


def test_the_first_makes_the_branch_and_the_next_ones_are_merged(repository: Repository) -> None:
    before = repository.state()[0], repository.git("rev-parse", "HEAD")
    work = [done(repository, name, f"{name}.txt", name) for name in ("a", "b", "c")]
    for tree, commit in work:
        assert merge(tree, commit) == Merge(pb.MERGE_OUTCOME_MERGED)
    assert {"a.txt", "b.txt", "c.txt"} <= set(repository.files(SESSION_BRANCH))
    assert (repository.state()[0], repository.git("rev-parse", "HEAD")) == before


def test_many_at_once_lose_nothing(repository: Repository) -> None:
    work = [done(repository, f"t{n}", f"{n}.txt", "x") for n in range(12)]
    with ThreadPoolExecutor(12) as pool:
        merged = list(pool.map(lambda one: merge(*one), work))
    assert {one.outcome for one in merged} == {pb.MERGE_OUTCOME_MERGED}
    assert {f"{n}.txt" for n in range(12)} <= set(repository.files(SESSION_BRANCH))


def test_one_that_begins_at_the_session_s_branch_is_merged_without_a_merge_commit(
    repository: Repository,
) -> None:
    merge(*done(repository, "a", "a.txt", "a"))
    tree, commit = done(repository, "b", "b.txt", "b")
    merge(tree, commit)
    assert repository.git("rev-parse", SESSION_BRANCH) == commit


def test_a_conflict_names_the_files_and_changes_nothing(repository: Repository) -> None:
    first = done(repository, "a", "src/app.py", "by a\n")
    second = done(repository, "b", "src/app.py", "by b\n")
    merge(*first)
    state, tip = repository.state()[0], repository.git("rev-parse", SESSION_BRANCH)
    told = "cannot merge br/s-1/b-1 into br/s-1/session: both changed src/app.py"
    assert merge(*second) == Merge(pb.MERGE_OUTCOME_CONFLICT, told)
    assert (repository.state()[0], repository.git("rev-parse", SESSION_BRANCH)) == (state, tip)
    assert repository.git("rev-parse", "br/s-1/b-1") == second[1]


def test_nothing_done_is_nothing_to_merge(repository: Repository) -> None:
    tree = own(repository, "idle")
    assert merge(tree, seal(tree)).outcome == pb.MERGE_OUTCOME_NOTHING
    assert repository.git("branch", "--list", SESSION_BRANCH) == ""


def test_a_branch_that_somebody_has_checked_out_is_not_moved_under_their_feet(
    repository: Repository,
) -> None:
    merge(*done(repository, "a", "a.txt", "a"))
    tree, commit = done(repository, "b", "b.txt", "b")
    repository.git("checkout", "--quiet", SESSION_BRANCH)
    found = merge(tree, commit)
    assert found.outcome == pb.MERGE_OUTCOME_FAILED
    assert found.error == f"cannot merge br/s-1/b-1: {SESSION_BRANCH} is checked out in {repository.folder}"
    assert repository.git("status", "--porcelain") == ""


def test_a_repository_that_is_gone_is_said_in_one_line(repository: Repository) -> None:
    tree, commit = done(repository, "a", "a.txt", "a")
    (repository.folder / ".git").rename(repository.folder / "gone")
    found = merge(tree, commit)
    assert found.outcome == pb.MERGE_OUTCOME_FAILED
    assert found.error.startswith("cannot merge br/s-1/a-1: ")
