"""Which paths a commit touches, and which updates of references are commits at all. Real git."""

from __future__ import annotations

import os
import subprocess

import pytest

from buildrunner_parallel.guard import changes
from buildrunner_parallel.guard.check import request_of
from buildrunner_parallel.guard.git import git as real_git

ZERO = "0" * 40


@pytest.fixture
def git(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("GIT_", "BR_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        words = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    run("init", "-q", "-b", "main")
    return run


def write(tmp_path, *names: str, text: str = "x\n") -> None:
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def unreached(git, message: str = "new") -> str:
    """A commit of the index that no reference leads to."""
    parent = ["-p", "HEAD"] if git("rev-list", "--all") else []
    return git("commit-tree", git("write-tree"), *parent, "-m", message)


def test_the_first_commit_touches_all_that_is_in_it(git, tmp_path):
    write(tmp_path, "a", "b/c")
    git("add", ".")
    assert sorted(changes.staged().paths) == ["a", "b/c"]
    update = changes.Update(ZERO, unreached(git), "refs/heads/main")
    assert sorted(changes.committed([update]).paths) == ["a", "b/c"]


def test_renames_have_two_ends_and_odd_names_are_whole(git, tmp_path):
    odd = 'a "quoted"\nname\twith ä'
    write(tmp_path, "old", odd, text="some content that is long enough to be found as a rename\n")
    git("add", ".")
    git("commit", "-qm", "first")
    git("mv", "old", "new")
    git("rm", "-q", odd)
    assert sorted(changes.staged().paths) == sorted(["new", "old", odd])
    update = changes.Update(git("rev-parse", "HEAD"), unreached(git), "refs/heads/main")
    assert sorted(changes.committed([update]).paths) == sorted(["new", "old", odd])


def test_a_merge_touches_what_neither_side_has_so(git, tmp_path):
    write(tmp_path, "both", "left", "right")
    git("add", ".")
    git("commit", "-qm", "base")
    git("checkout", "-qb", "side")
    write(tmp_path, "right", "both", text="side\n")
    git("commit", "-qam", "side")
    git("checkout", "-q", "main")
    write(tmp_path, "left", "both", text="main\n")
    git("commit", "-qam", "main")
    write(tmp_path, "both", text="resolved\n")
    write(tmp_path, "right", text="side\n")
    git("add", ".")
    merge = git("commit-tree", git("write-tree"), "-p", "main", "-p", "side", "-m", "merge")
    update = changes.Update(git("rev-parse", "main"), merge, "refs/heads/main")
    assert changes.committed([update]).paths == ["both"]


def test_commits_that_are_there_already_touch_nothing(git, tmp_path):
    write(tmp_path, "a")
    git("add", ".")
    git("commit", "-qm", "first")
    head = git("rev-parse", "HEAD")
    assert changes.committed([changes.Update(ZERO, head, "refs/heads/copy")]) == (False, [])


def test_an_empty_commit_is_a_commit(git, tmp_path):
    write(tmp_path, "a")
    git("add", ".")
    git("commit", "-qm", "first")
    update = changes.Update(git("rev-parse", "HEAD"), unreached(git), "refs/heads/main")
    assert changes.committed([update]) == (True, [])
    assert changes.staged() == (True, [])


def test_a_merge_that_was_resolved_by_hand_is_staged_as_it_will_be_committed(git, tmp_path):
    write(tmp_path, "both", "theirs")
    git("add", ".")
    git("commit", "-qm", "base")
    git("checkout", "-qb", "side")
    write(tmp_path, "theirs", "both", text="side\n")
    git("commit", "-qam", "side")
    git("checkout", "-q", "main")
    write(tmp_path, "both", text="main\n")
    git("commit", "-qam", "main")
    with pytest.raises(subprocess.CalledProcessError):
        git("merge", "side")
    write(tmp_path, "both", text="resolved\n")
    git("add", "both")
    assert changes.staged().paths == ["both"]


def test_submodules_count_also_where_diffs_leave_them_out(git, tmp_path):
    git("config", "diff.ignoreSubmodules", "all")
    write(tmp_path, "a")
    git("add", ".")
    git("commit", "-qm", "first")
    git("update-index", "--add", "--cacheinfo", f"160000,{git('rev-parse', 'HEAD')},module")
    assert changes.staged().paths == ["module"]
    update = changes.Update(git("rev-parse", "HEAD"), unreached(git), "refs/heads/main")
    assert changes.committed([update]).paths == ["module"]


def test_a_repository_whose_ids_are_long_is_as_any_other(git, tmp_path, monkeypatch):
    git("init", "-q", "-b", "main", "--object-format=sha256", "long")
    monkeypatch.chdir("long")
    write(tmp_path / "long", "a")
    git("add", ".")
    assert changes.staged().paths == ["a"]
    update = changes.Update("0" * 64, unreached(git), "refs/heads/main")
    assert changes.committed([update]).paths == ["a"]


def test_a_thousand_commits_at_once_are_compared_by_their_ends(git, tmp_path, monkeypatch):
    monkeypatch.setattr(changes, "MOST_COMMITS", 2)
    write(tmp_path, "a")
    git("add", ".")
    git("commit", "-qm", "first")
    first = parent = git("rev-parse", "HEAD")
    for number in range(4):
        write(tmp_path, f"n{number}", "a" if number % 2 else "b", text=f"{number}\n")
        git("add", ".")
        parent = git("commit-tree", git("write-tree"), "-p", parent, "-m", str(number))
    update = changes.Update(first, parent, "refs/heads/main")
    assert sorted(changes.committed([update]).paths) == ["a", "b", "n0", "n1", "n2", "n3"]


@pytest.mark.parametrize(
    ("reference", "new", "counts"),
    [
        ("refs/heads/main", "1" * 40, True),
        ("refs/heads/a/b", "1" * 64, True),
        ("HEAD", "1" * 40, True),
        ("refs/heads/main", ZERO, False),
        ("refs/stash", "1" * 40, False),
        ("refs/tags/v1", "1" * 40, False),
        ("refs/remotes/origin/main", "1" * 40, False),
        ("refs/notes/commits", "1" * 40, False),
        ("HEAD", "ref:refs/heads/main", False),
    ],
)
def test_which_updates_count(reference, new, counts):
    assert bool(changes.parse(f"{ZERO} {new} {reference}\n")) == counts


def test_a_branch_and_the_head_on_it_are_told_apart_and_count_once(git, tmp_path):
    write(tmp_path, "a")
    git("add", ".")
    new = unreached(git)
    updates = changes.parse(f"{ZERO} {new} HEAD\n{ZERO} {new} refs/heads/main\n")
    assert [one.reference for one in updates] == ["refs/heads/main", "HEAD"]
    assert changes.committed(updates).paths == ["a"]


def commit(git, tmp_path, name: str, text: str = "x\n") -> str:
    write(tmp_path, name, text=text)
    git("add", ".")
    git("commit", "-qm", name)
    return git("rev-parse", "HEAD")


def test_a_commit_without_paths_is_one_nevertheless(git, tmp_path):
    commit(git, tmp_path, "a")
    update = changes.Update(ZERO, unreached(git), "refs/heads/main")
    assert changes.committed([update]) == changes.Touched(True, [])


def test_a_forced_move_touches_what_the_commits_touched_that_no_branch_has_any_more(git, tmp_path):
    first = commit(git, tmp_path, "a")
    commit(git, tmp_path, "b")
    last = commit(git, tmp_path, "c")
    back = changes.Update(ZERO, first, "refs/heads/main")
    assert sorted(changes.committed([back]).paths) == ["b", "c"]
    git("tag", "kept", last)
    assert sorted(changes.committed([back]).paths) == ["b", "c"]
    git("branch", "kept", last)
    assert not changes.committed([back]).is_commit
    both = [back, changes.Update(last, first, "refs/heads/kept")]
    assert sorted(changes.committed(both).paths) == ["b", "c"]


def test_a_branch_put_in_the_place_of_another_history_touches_both(git, tmp_path):
    first = commit(git, tmp_path, "a")
    commit(git, tmp_path, "mine")
    git("read-tree", first)
    (tmp_path / "mine").unlink()
    write(tmp_path, "theirs")
    git("add", ".")
    other = git("commit-tree", git("write-tree"), "-p", first, "-m", "other")
    assert sorted(changes.committed([changes.Update(ZERO, other, "refs/heads/main")]).paths) == [
        "mine", "theirs",
    ]  # fmt: skip


@pytest.mark.parametrize("reference", ["refs/tags/t", "refs/stash", "refs/notes/n", "refs/other/o"])
def test_no_other_reference_is_a_way_round(git, tmp_path, reference):
    commit(git, tmp_path, "a")
    write(tmp_path, "b")
    git("add", ".")
    new = unreached(git)
    git("update-ref", reference, new)
    assert changes.committed([changes.Update(ZERO, new, "refs/heads/main")]).paths == ["b"]


def test_what_a_remote_has_is_there_already(git, tmp_path):
    commit(git, tmp_path, "a")
    write(tmp_path, "b")
    git("add", ".")
    new = unreached(git)
    git("update-ref", "refs/remotes/origin/main", new)
    assert not changes.committed([changes.Update(ZERO, new, "refs/heads/main")]).is_commit


def test_a_replacement_does_not_hide_what_a_commit_is(git, tmp_path):
    commit(git, tmp_path, "a")
    write(tmp_path, "b")
    git("add", ".")
    new = unreached(git)
    git("replace", new, "HEAD")
    assert changes.committed([changes.Update(ZERO, new, "refs/heads/main")]).paths == ["b"]


def test_many_branches_at_once_are_looked_at_together(git, tmp_path, monkeypatch):
    commit(git, tmp_path, "a")
    updates = []
    for number in range(5):
        write(tmp_path, f"n{number}")
        git("add", ".")
        updates.append(changes.Update(ZERO, unreached(git, str(number)), f"refs/heads/b{number}"))
    calls = []

    def counted(*words: str, input_bytes: bytes | None = None) -> bytes:
        calls.append(words[0])
        return real_git(*words, input_bytes=input_bytes)

    monkeypatch.setattr(changes, "git", counted)
    assert sorted(changes.committed(updates).paths) == [f"n{number}" for number in range(5)]
    assert calls.count("rev-list") == calls.count("diff-tree") == 1


@pytest.mark.parametrize(
    ("name", "path", "kind"),
    [(b"src/[id].py", "src/[id].py", "file"), (b"src/\xff.py", "src", "tree"), (b"\xff", ".", "tree"),
     (b"\xff/a", ".", "tree")],
)  # fmt: skip
def test_a_name_that_no_lock_can_have_stands_for_its_folder(name, path, kind):
    found = request_of(name.decode("utf-8", "surrogateescape"))
    assert (found.path, found.kind) == (path, kind)
