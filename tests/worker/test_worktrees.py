"""Worktrees of their own: made at the same moment, brought to their end, removed."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from buildrunner_parallel.worker import worktrees
from buildrunner_parallel.worker.git_calls import GitFailed, find_checkout, git
from buildrunner_parallel.worker.worktrees import Identity, Owner, OwnTree, escaped, grow, remove, seal

from .conftest import Repository

SESSION = "s-1"


def own(repository: Repository, task_id: str = "build", number: int = 1) -> tuple[OwnTree, Owner]:
    return grow(find_checkout(str(repository.folder)), Identity(SESSION, task_id, number, 40 + number))


def in_tree(tree: OwnTree, line: str) -> None:
    subprocess.run(line, shell=True, cwd=tree.path, check=True)


def test_twenty_made_at_once_all_work_and_are_all_removed(repository: Repository) -> None:
    before = repository.state()[0], repository.git("rev-parse", "HEAD")
    with ThreadPoolExecutor(20) as pool:
        grown = list(pool.map(lambda n: own(repository, f"task-{n}"), range(20)))
        assert len({tree.path for tree, _ in grown}) == 20
        for n, (tree, _) in enumerate(grown):
            Path(tree.path, f"file-{n}.txt").write_text(f"{n}\n")
        commits = list(pool.map(lambda one: seal(one[0]), grown))
        list(pool.map(lambda one: remove(*one, keep_branch=True), grown))
    for n, (tree, _) in enumerate(grown):
        assert f"file-{n}.txt" in repository.files(tree.branch)
        assert repository.git("rev-parse", tree.branch) == commits[n]
        assert not Path(tree.path).exists()
    assert len(repository.git("worktree", "list").split("\n")) == 1
    assert (repository.state()[0], repository.git("rev-parse", "HEAD")) == before
    left = [one.name for one in (repository.folder / ".buildrunner/worktrees/s-1").iterdir()]
    assert left == [worktrees.REPOSITORY_FILE]


def test_one_begins_at_what_is_checked_out_and_then_at_the_branch_of_its_session(
    repository: Repository,
) -> None:
    repository.write("src/app.py", "not committed\n")
    first, _ = own(repository)
    assert Path(first.path, "src/app.py").read_text() == "one\n"
    assert first.branch == "br/s-1/build-1"
    Path(first.path, "more.txt").write_text("more\n")
    repository.git("branch", "br/s-1/session", seal(first))
    second, _ = own(repository, "second")
    assert Path(second.path, "more.txt").exists()


def test_what_is_committed_and_what_is_left_over_are_both_on_the_branch(repository: Repository) -> None:
    tree, _ = own(repository)
    in_tree(tree, "echo 1 > committed.txt; git add -A; git -c user.name=a -c user.email=b commit -qm mine")
    in_tree(tree, "echo 2 > left.txt; rm docs/guide.md; echo noise > run.log")
    commit = seal(tree)
    assert repository.files(commit) == [".gitignore", "committed.txt", "left.txt", "src/app.py"]
    assert repository.git("log", "-1", "--format=%an %s", commit) == (
        "BuildRunner parallel build: what attempt 1 left uncommitted"
    )
    assert seal(tree) == commit


def test_nothing_done_makes_no_commit(repository: Repository) -> None:
    tree, _ = own(repository)
    assert seal(tree) == tree.base


@pytest.mark.parametrize(
    "line",
    [
        "git checkout -q -b elsewhere",
        "git checkout -q --detach",
        "git checkout -q --orphan fresh",
        "rm .git",
        "touch $(git rev-parse --absolute-git-dir)/index.lock",
    ],
)
def test_the_branch_has_all_however_the_checkout_was_left(repository: Repository, line: str) -> None:
    tree, owner = own(repository)
    in_tree(tree, "echo 1 > mine.txt; git add -A; git -c user.name=a -c user.email=b commit -qm mine")
    in_tree(tree, f"{line}; echo 2 > later.txt")
    before = repository.state()[0]
    if "orphan" in line:
        in_tree(tree, "git add -A; git -c user.name=a -c user.email=b commit -qm anew")
    commit = seal(tree)
    remove(tree, owner, keep_branch=True)
    assert {"mine.txt", "later.txt"} <= set(repository.files(commit))
    assert repository.git("rev-parse", tree.branch) == commit
    assert repository.git("log", "--format=%s", commit).split("\n").count("mine") == 1
    assert repository.state()[0] == before
    assert not Path(tree.path).exists()


def test_hooks_and_signing_of_the_user_are_not_in_the_way(repository: Repository) -> None:
    for name in ("pre-commit", "post-checkout", "reference-transaction", "commit-msg"):
        hook = repository.folder / ".git/hooks" / name
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
    repository.git("config", "commit.gpgSign", "true")
    tree, owner = own(repository)
    Path(tree.path, "new.txt").write_text("new\n")
    commit = seal(tree)
    remove(tree, owner, keep_branch=True)
    assert "new.txt" in repository.files(commit)


def test_what_an_earlier_one_left_is_not_taken_for_its_own(repository: Repository) -> None:
    first, _ = own(repository)
    second, _ = own(repository)
    assert (first.branch, second.branch) == ("br/s-1/build-1", "br/s-1/build-1-41")


def test_a_sparse_checkout_stays_sparse(repository: Repository) -> None:
    repository.git("sparse-checkout", "set", "src")
    tree, _ = own(repository)
    assert not Path(tree.path, "docs").exists()
    Path(tree.path, "docs").mkdir()
    Path(tree.path, "docs/outside.md").write_text("outside of the cone\n")
    assert repository.files(seal(tree)) == [".gitignore", "docs/guide.md", "docs/outside.md", "src/app.py"]


def test_a_detached_head_is_a_place_to_begin_at(repository: Repository) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.write("later.txt", "later\n")
    repository.commit("second")
    repository.git("checkout", "--quiet", "--detach", first)
    tree, owner = own(repository)
    assert tree.base == first
    remove(tree, owner, keep_branch=False)
    assert repository.git("rev-parse", "HEAD") == first


def test_submodules_are_left_alone(repository: Repository, tmp_path: Path) -> None:
    library = Repository(tmp_path / "library")
    allow = ("-c", "protocol.file.allow=always")
    repository.git(*allow, "submodule", "--quiet", "add", str(library.folder), "lib")
    repository.commit("with a submodule")
    tree, owner = own(repository)
    Path(tree.path, "new.txt").write_text("new\n")
    commit = seal(tree)
    remove(tree, owner, keep_branch=True)
    assert repository.git("rev-parse", f"{commit}:lib") == repository.git("rev-parse", "HEAD:lib")
    assert (repository.folder / "lib/src/app.py").read_text() == "one\n"
    assert repository.git("status", "--porcelain") == ""
    assert not Path(tree.path).exists()


def test_filters_work_as_in_every_other_checkout(repository: Repository) -> None:
    """As those of Git LFS do."""
    repository.git("config", "filter.shout.clean", "tr a-z A-Z")
    repository.git("config", "filter.shout.smudge", "tr A-Z a-z")
    repository.write(".gitattributes", "*.big filter=shout\n")
    repository.write("data.big", "quiet\n")
    repository.commit("filtered")
    tree, _ = own(repository)
    assert Path(tree.path, "data.big").read_text() == "quiet\n"
    Path(tree.path, "more.big").write_text("more\n")
    assert repository.git("show", f"{seal(tree)}:more.big") == "MORE"


def test_a_repository_without_a_commit_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    git(str(tmp_path), "init", "--quiet")
    with pytest.raises(GitFailed, match=r"has no commit yet"):
        grow(find_checkout(str(tmp_path)), Identity(SESSION, "build", 1, 41))
    assert [one.name for one in (tmp_path / ".buildrunner/worktrees").iterdir()] == ["lock"]
    assert git(str(tmp_path), "status", "--porcelain").text == ""


def test_pruning_by_somebody_else_takes_nothing_away(repository: Repository) -> None:
    tree, owner = own(repository)
    repository.git("worktree", "prune")
    Path(tree.path, "new.txt").write_text("new\n")
    commit = seal(tree)
    remove(tree, owner, keep_branch=True)
    repository.git("worktree", "prune")
    assert "new.txt" in repository.files(commit)


def test_its_record_leads_to_it_and_its_owner_shows_that_it_is_in_use(repository: Repository) -> None:
    tree, owner = own(repository)
    assert worktrees.read_record(Path(f"{tree.path}.json")) == tree
    assert not Owner(tree).take()
    worktrees.keep(tree, owner)
    found = worktrees.read_record(Path(f"{tree.path}.json"))
    assert found is not None
    assert found.is_kept
    assert Owner(tree).take()


@pytest.mark.parametrize(
    "name",
    ["build", "a/b", "..", ".hidden", "x.lock", "a b", "ä", "@{1}", "a~^:?*[\\", "-n", "x" * 256, "ü" * 128],
)
def test_every_id_makes_a_name_that_git_and_the_file_system_take(repository: Repository, name: str) -> None:
    repository.git("check-ref-format", "--branch", f"br/s/{escaped(name)}-1")
    assert len(escaped(name)) < 200


def test_ids_that_look_alike_make_different_names() -> None:
    names = ["a/b", "a%2Fb", "a-b", "a..b", "a.b", "a.%2Eb", "x" * 255 + "y", "x" * 256]
    assert len({escaped(name) for name in names}) == len(names)
