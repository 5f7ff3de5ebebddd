"""Pictures of a checkout: what they see, and that they leave no trace."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from buildrunner_parallel.worker import git_calls
from buildrunner_parallel.worker.git_calls import GitFailed, find_checkout, git
from buildrunner_parallel.worker.pictures import (
    MOST_FILES,
    PATCH_LIMIT_BYTES,
    Difference,
    Picture,
    Studio,
    bounded,
    cut_patch,
)

from .conftest import Repository


@pytest.fixture
def studio(repository: Repository, tmp_path: Path) -> Studio:
    return Studio(find_checkout(str(repository.folder)), str(tmp_path / "studio"))


def held(studio: Studio) -> Picture:
    """A picture that is needed until the end of the test."""
    studio.users += 1
    picture = studio.take()
    studio.hold(picture)
    return picture


def changed(repository: Repository, studio: Studio, work: str) -> Difference:
    """What a shell line changes, as two pictures tell it."""
    before = held(studio)
    subprocess.run(work, shell=True, cwd=repository.folder, check=True)
    return studio.compare(before, held(studio))


@pytest.mark.parametrize(
    ("work", "files"),
    [
        ("echo two > src/app.py", ("src/app.py",)),
        ("echo new > 'src/new file.py'", ("src/new file.py",)),
        ("rm docs/guide.md", ("docs/guide.md",)),
        ("mv docs/guide.md docs/manual.md", ("docs/guide.md", "docs/manual.md")),
        ("chmod +x src/app.py", ("src/app.py",)),
        ("ln -s app.py src/link", ("src/link",)),
        ("echo noise > run.log", ()),
        ("touch src/app.py", ()),
        ("rm -r docs && echo file > docs", ("docs", "docs/guide.md")),
        ("printf 'one\\n' > src/app.py", ()),
        ("true", ()),
    ],
)
def test_a_picture_sees_what_git_would_call_a_change(
    repository: Repository, studio: Studio, work: str, files: tuple[str, ...]
) -> None:
    assert changed(repository, studio, work).files == files


def test_what_was_changed_before_is_no_change(repository: Repository, studio: Studio) -> None:
    repository.write("src/app.py", "dirty\n")
    repository.write("untracked.txt", "here before\n")
    assert changed(repository, studio, "echo 3 > third.txt").files == ("third.txt",)


def test_what_a_task_commits_itself_counts_also_when_it_was_changed_before(
    repository: Repository, studio: Studio
) -> None:
    repository.write("src/app.py", "dirty\n")
    line = "git -c user.name=a -c user.email=b commit --quiet --all --message=mine"
    found = changed(repository, studio, line)
    assert found.files == ("src/app.py",)
    assert found.patch == b""


@pytest.mark.parametrize(
    "place",
    ["git pack-refs --all", "git checkout --quiet --detach", "git checkout --quiet -b feature/x", "true"],
)
def test_the_commit_that_is_checked_out_is_known_wherever_git_keeps_it(
    repository: Repository, studio: Studio, place: str
) -> None:
    subprocess.run(place, shell=True, cwd=repository.folder, check=True)
    assert studio.take().head == repository.git("rev-parse", "HEAD")


def test_what_was_changed_back_in_the_end_is_no_change(repository: Repository, studio: Studio) -> None:
    before = held(studio)
    repository.write("src/app.py", "two\n")
    repository.write("new.txt", "new\n")
    held(studio)  # somebody else's look
    repository.write("src/app.py", "one\n")
    assert studio.compare(before, held(studio)).files == ("new.txt",)


def test_each_pair_of_pictures_has_its_own_difference(repository: Repository, studio: Studio) -> None:
    first = held(studio)
    repository.write("a.txt", "a\n")
    second = held(studio)
    repository.write("b.txt", "b\n")
    third = held(studio)
    assert studio.compare(first, second).files == ("a.txt",)
    assert studio.compare(second, third).files == ("b.txt",)
    found = studio.compare(first, third)
    assert found.files == ("a.txt", "b.txt")
    assert found.patch.count(b"diff --git") == 2
    studio.drop(first)
    studio.drop(second)
    repository.write("c.txt", "c\n")
    assert studio.compare(third, held(studio)).files == ("c.txt",)


def test_a_patch_is_made_only_when_it_is_wanted(repository: Repository, studio: Studio) -> None:
    before = held(studio)
    repository.write("src/app.py", "two\n")
    asked: list[tuple[str, ...]] = []
    found = studio.compare(before, held(studio), lambda files: bool(asked.append(files)))  # type: ignore[func-returns-value]
    assert (found.files, found.patch, asked) == (("src/app.py",), b"", [("src/app.py",)])


@pytest.mark.parametrize("name", ["a'b", 'a"b', "a\tb", "a\nb", " a ", "add 'x'", "ä", "a\\b"])
def test_names_of_every_kind_are_told_as_they_are(repository: Repository, studio: Studio, name: str) -> None:
    before = held(studio)
    repository.write(name, "new\n")
    found = studio.compare(before, held(studio))
    assert found.files == (name,)
    assert b"+new\n" in found.patch


def test_a_name_that_is_no_text_is_written_with_escapes(repository: Repository, studio: Studio) -> None:
    before = held(studio)
    (repository.folder / os.fsdecode(b"a\xff")).write_text("new\n")
    assert studio.compare(before, held(studio)).files == ("a\\xff",)


def test_pictures_leave_nothing_in_the_repository(repository: Repository, studio: Studio) -> None:
    repository.write("src/app.py", "dirty\n")
    repository.write("untracked.bin", "\0" * 5000)
    before = repository.state()
    studio.compare(held(studio), held(studio))
    assert repository.state() == before


def test_the_patch_makes_the_change_again_binary_files_too(
    repository: Repository, studio: Studio, tmp_path: Path
) -> None:
    line = r"printf 'a\000b' > picture.bin; echo two > src/app.py; rm docs/guide.md"
    patch = changed(repository, studio, line).patch
    repository.git("clone", "--quiet", ".", str(tmp_path / "clone"))
    (tmp_path / "change.patch").write_bytes(patch)
    subprocess.run(["git", "apply", "../change.patch"], cwd=tmp_path / "clone", check=True)
    assert (tmp_path / "clone/picture.bin").read_bytes() == b"a\0b"
    assert (tmp_path / "clone/src/app.py").read_text() == "two\n"
    assert not (tmp_path / "clone/docs").exists()


def test_a_large_patch_is_cut_between_files_and_the_rest_counted(
    repository: Repository, studio: Studio
) -> None:
    lines = "".join(f"line {number}\n" for number in range(50_000))
    before = held(studio)
    for name in ("a.txt", "b.txt", "c.txt"):
        repository.write(name, lines)
    found = studio.compare(before, held(studio))
    assert found.files == ("a.txt", "b.txt", "c.txt")
    assert len(found.patch) <= PATCH_LIMIT_BYTES
    assert found.patch.count(b"\ndiff --git") == 0
    assert found.patch.endswith(b"+line 49999\n")
    assert len(found.patch) + found.patch_dropped_bytes == 3 * len(found.patch)


def test_one_file_that_is_larger_than_the_limit_is_cut_at_a_line() -> None:
    assert cut_patch(b"diff --git a/x b/x\n+one\n+tw") == b"diff --git a/x b/x\n+one\n"
    assert cut_patch(b"diff --git a b\n+1\ndiff --git c d\n+2") == b"diff --git a b\n+1\n"


def test_a_report_names_so_many_files_and_counts_the_others() -> None:
    names = [f"file-{number}" for number in range(MOST_FILES + 7)]
    files, more = bounded(names)
    assert (len(files), more) == (MOST_FILES, 7)
    files, more = bounded(["x" * 600_000, "y" * 600_000])
    assert (len(files), more) == (1, 1)


def test_a_repository_without_a_commit_has_pictures_too(tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    folder.mkdir()
    git(str(folder), "init", "--quiet")
    studio = Studio(find_checkout(str(folder)), str(tmp_path / "studio"))
    before = held(studio)
    (folder / "first.txt").write_text("first\n")
    assert studio.compare(before, held(studio)).files == ("first.txt",)


def test_a_file_that_cannot_be_read_hides_no_other(repository: Repository, studio: Studio) -> None:
    os.mkfifo(repository.folder / "pipe")
    repository.git("init", "--quiet", "nested")
    assert "new.txt" in changed(repository, studio, "echo new > new.txt").files


def test_of_a_submodule_the_commit_is_seen(repository: Repository, studio: Studio, tmp_path: Path) -> None:
    library = Repository(tmp_path / "library")
    repository.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library.folder), "lib"
    )
    repository.commit("with a submodule")
    before = held(studio)
    (repository.folder / "lib/dirty.txt").write_text("dirty\n")
    after = held(studio)
    assert studio.compare(before, after).files == ()
    line = "git -C lib -c user.name=a -c user.email=b commit --quiet --allow-empty --message=mine"
    assert changed(repository, studio, line).files == ("lib",)


def test_a_linked_worktree_is_seen_alone(repository: Repository, tmp_path: Path) -> None:
    repository.git("worktree", "add", "--quiet", str(tmp_path / "linked"))
    checkout = find_checkout(str(tmp_path / "linked/src"))
    assert checkout.top == str(tmp_path / "linked")
    studio = Studio(checkout, str(tmp_path / "studio"))
    before = held(studio)
    repository.write("elsewhere.txt", "in the main checkout\n")
    (tmp_path / "linked/here.txt").write_text("in this one\n")
    assert studio.compare(before, held(studio)).files == ("here.txt",)


def test_a_studio_starts_afresh_only_while_nobody_holds_a_picture(
    repository: Repository, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buildrunner_parallel.worker.pictures._FRESH_AFTER", 1)
    before = held(studio)
    repository.write("new.txt", "new\n")
    after = held(studio)
    assert studio.compare(before, after).files == ("new.txt",)
    for picture in (before, after):
        studio.drop(picture)
    studio.users = 1
    (tmp_path / "studio/mark").touch()
    studio.take()
    assert not (tmp_path / "studio/mark").exists()


@pytest.mark.parametrize("kind", ["nothing", "bare"])
def test_where_no_checkout_is_that_is_said_in_one_line(tmp_path: Path, kind: str) -> None:
    if kind == "bare":
        git(str(tmp_path), "init", "--quiet", "--bare")
    with pytest.raises(
        GitFailed, match=r"^git rev-parse in \S+: .*(not a git repository|work tree)"
    ) as caught:
        find_checkout(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_no_git_and_no_directory_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GitFailed, match="the directory is not there"):
        find_checkout(str(tmp_path / "gone"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitFailed, match="git is not on PATH"):
        find_checkout(str(tmp_path))


def test_a_git_that_takes_too_long_is_ended_with_all_its_children(
    repository: Repository, tmp_path: Path
) -> None:
    told = tmp_path / "pid"
    repository.git("config", "alias.wait", f"!sh -c 'echo $$ > {told}; exec sleep 600'")
    with pytest.raises(GitFailed, match=r"took longer than 4 s"):
        git_calls.git(str(repository.folder), "wait", timeout_s=4.0)
    command_line = Path(f"/proc/{int(told.read_text())}/cmdline")
    assert not command_line.exists() or not command_line.read_bytes(), "it is more than an unread exit code"
