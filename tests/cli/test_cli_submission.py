"""How paths and directories of this machine become those of a record."""

from __future__ import annotations

import pytest

from buildrunner_parallel.cli.submission import Submitter
from buildrunner_parallel.errors import InvalidRequestError
from buildrunner_parallel.plan import PlanFile, PlanTask


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repo"
    (root / "src" / "deep").mkdir(parents=True)
    (root / "app").mkdir()
    (root / "app" / "[id].tsx").write_text("")
    (root / "src" / "a.c").write_text("")
    (root / "link.c").symlink_to(root / "src" / "a.c")
    (root / "out").symlink_to(tmp_path)
    return root


def requested(root, directory, file):
    (made,) = Submitter(directory, root, {}).specs([PlanTask("t", 0, run="x", files=(file,))])
    (request,) = made.files
    return request.path, request.kind


@pytest.mark.parametrize(
    ("below", "file", "path", "kind"),
    [
        ("", PlanFile("src/a.c"), "src/a.c", "file"),
        ("src", PlanFile("a.c"), "src/a.c", "file"),
        ("src/deep", PlanFile("../a.c"), "src/a.c", "file"),
        ("", PlanFile("src"), "src", "tree"),
        ("", PlanFile("new/"), "new", "tree"),
        ("", PlanFile("new.c"), "new.c", "file"),
        ("", PlanFile("link.c"), "src/a.c", "file"),
        ("", PlanFile("app/[id].tsx"), "app/[id].tsx", "file"),
        ("", PlanFile("app/[xy].tsx"), "app/[xy].tsx", "glob"),
        ("src", PlanFile("**/*.c"), "src/**/*.c", "glob"),
        ("", PlanFile("app/*.tsx", form="literal"), "app/*.tsx", "file"),
        ("", PlanFile("plain", form="glob"), "plain", "glob"),
        ("src", PlanFile("res:db"), "res:db", "resource"),
        ("", PlanFile("."), ".", "tree"),
    ],
)
def test_paths_are_told_from_the_repository_and_by_what_is_there(repository, below, file, path, kind):
    assert requested(repository, repository / below, file) == (path, kind)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "out/secret", "src/../../x", "../*.c"])
def test_what_leaves_the_repository_is_refused(repository, path):
    with pytest.raises(InvalidRequestError, match="outside the repository"):
        requested(repository, repository, PlanFile(path))


def test_a_repository_reached_through_a_link_is_the_same_one(repository, tmp_path):
    (tmp_path / "alias").symlink_to(repository)
    assert requested(repository, tmp_path / "alias" / "src", PlanFile("a.c")) == ("src/a.c", "file")
    assert requested(repository, tmp_path / "alias" / "src", PlanFile("*.h")) == ("src/*.h", "glob")


@pytest.mark.parametrize(
    ("below", "cwd", "told"), [("", None, ""), ("src", None, "src"), ("src", "deep", "src/deep")]
)
def test_the_working_directory_is_told_below_the_worktree(repository, below, cwd, told):
    (made,) = Submitter(repository / below, repository, {}).specs([PlanTask("t", 0, run="x", cwd=cwd)])
    assert (made.worktree, made.cwd) == (str(repository), told)


def test_a_working_directory_elsewhere_stands_for_itself(repository, tmp_path):
    (made,) = Submitter(repository, repository, {}).specs([PlanTask("t", 0, run="x", cwd=str(tmp_path))])
    assert made.cwd == str(tmp_path)
