"""What dead workers and deleted sessions leave: cleared up, with nothing lost and nobody disturbed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from buildrunner_parallel.worker import worktrees
from buildrunner_parallel.worker.git_calls import find_checkout
from buildrunner_parallel.worker.leftovers import clear
from buildrunner_parallel.worker.merging import merge
from buildrunner_parallel.worker.worktrees import Identity, Owner, OwnTree, grow, keep, remove, seal

from .conftest import Repository

FENCE = os.getpid() * 1000


@pytest.fixture
def place(repository: Repository) -> Path:
    return repository.folder / ".buildrunner/worktrees"


def own(repository: Repository, task_id: str, session_id: str = "s-1") -> tuple[OwnTree, Owner]:
    return grow(find_checkout(str(repository.folder)), Identity(session_id, task_id, 1, FENCE))


def write(tree: OwnTree, name: str) -> None:
    Path(tree.path, name).write_text("x\n")


def branches(repository: Repository) -> list[str]:
    return repository.git("for-each-ref", "--format=%(refname:short)", "refs/heads/br/").split()


def gone(_: str) -> bool:
    return True


def there(_: str) -> bool:
    return False


def test_what_a_dead_worker_left_goes_to_its_branch(repository: Repository, place: Path) -> None:
    tree, owner = own(repository, "lost")
    write(tree, "half.txt")
    owner.release()  # as the end of its process does
    assert clear(place, there) == [tree.path]
    assert not Path(tree.path).exists()
    assert "half.txt" in repository.files(tree.branch)


def test_one_in_which_nothing_was_done_goes_with_its_branch(repository: Repository, place: Path) -> None:
    _, owner = own(repository, "idle")
    owner.release()
    assert len(clear(place, there)) == 1
    assert branches(repository) == []


@pytest.mark.parametrize("answer", [there, gone])
def test_what_is_in_use_stays(repository: Repository, place: Path, answer: object) -> None:
    tree, _owner = own(repository, "busy")
    assert clear(place, answer) == []  # type: ignore[arg-type]
    assert Path(tree.path).exists()


def test_what_a_process_of_the_attempt_still_works_in_stays(repository: Repository, place: Path) -> None:
    tree, owner = own(repository, "orphan")
    owner.release()
    with subprocess.Popen(
        ["sleep", "600"], env={"PATH": os.environ["PATH"], "BR_FENCE": str(FENCE)}
    ) as process:
        assert clear(place, there) == []
        process.kill()
    assert clear(place, there) == [tree.path]


def test_a_kept_one_stays_until_its_session_is_gone(repository: Repository, place: Path) -> None:
    tree, owner = own(repository, "failed")
    write(tree, "bad.txt")
    seal(tree)
    keep(tree, owner)
    write(tree, "looked-at.txt")
    assert clear(place, there) == []
    assert clear(place, gone, {"another"}) == []
    assert clear(place, gone) == [tree.path]
    assert {"bad.txt", "looked-at.txt"} <= set(repository.files(tree.branch))
    assert not (place / "s-1").exists()


def test_merged_branches_go_with_their_session_and_the_others_stay(
    repository: Repository, place: Path
) -> None:
    for task_id in ("merged", "alone"):
        tree, owner = own(repository, task_id)
        write(tree, f"{task_id}.txt")
        commit = seal(tree)
        if task_id == "merged":
            merge(tree, commit)
        remove(tree, owner, keep_branch=True)
    other, other_owner = own(repository, "other", "s-10")
    write(other, "other.txt")
    remove(other, other_owner, keep_branch=bool(seal(other)))
    assert clear(place, there) == []
    assert len(branches(repository)) == 4
    assert clear(place, lambda session_id: session_id == "s-1") == []
    assert branches(repository) == ["br/s-1/alone-1", "br/s-1/session", "br/s-10/other-1"]
    assert [one.name for one in sorted(place.iterdir())] == ["lock", "s-10"]


def test_a_repository_that_is_gone_holds_nothing_up(repository: Repository, place: Path) -> None:
    tree, owner = own(repository, "failed")
    keep(tree, owner)
    (repository.folder / ".git").rename(repository.folder / "elsewhere")
    assert clear(place, gone) == [tree.path]
    assert not (place / "s-1").exists()


def test_files_that_are_no_records_are_passed_over(repository: Repository, place: Path) -> None:
    tree, owner = own(repository, "failed")
    keep(tree, owner)
    (place / "s-1/strange.json").write_text("{")
    (place / "s-1/number.json").write_text("3")
    assert clear(place, there) == []
    assert worktrees.read_record(place / "s-1/strange.json") is None


def test_where_there_is_nothing_nothing_is_done(tmp_path: Path) -> None:
    assert clear(tmp_path / "none", gone) == []
