"""Paths of this machine as paths to lock: from whatever directory, checkout and link, by what is there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from buildrunner_parallel.errors import InvalidRequestError
from buildrunner_parallel.lock_paths import LockPaths, escaped, lock_paths, path_items, path_request
from buildrunner_parallel.specs import PathRequest
from buildrunner_parallel.workspace import find_workspace


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    for directory in (".git", "src/deep", "app/[id]", "linked"):
        (root / directory).mkdir(parents=True)
    (root / "src" / "a.py").write_text("")
    (root / "app" / "[id]" / "page.tsx").write_text("")
    (root / "short").symlink_to(root / "src" / "deep")
    return root


def asked(root: Path, item: object, below: str = "", mode: str = "exclusive") -> tuple[str, str, str]:
    places = LockPaths(root / below, root)
    made = path_request(places, item, mode)  # type: ignore[arg-type]
    return made.path, made.mode, made.kind


@pytest.mark.parametrize(
    ("item", "path", "mode", "kind"),
    [
        ("src/a.py", "src/a.py", "exclusive", "file"),
        (Path("src"), "src", "exclusive", "tree"),
        (("src/a.py", "shared"), "src/a.py", "shared", "file"),
        ((Path("src"), "shared"), "src", "shared", "tree"),
        ({"path": "src", "mode": "shared"}, "src", "shared", "tree"),
        ({"path": "src"}, "src", "exclusive", "tree"),
        ({"literal": "src/*.py"}, "src/*.py", "exclusive", "file"),
        ({"glob": "src/a.py", "mode": "shared"}, "src/a.py", "shared", "glob"),
        ("res:db", "res:db", "exclusive", "resource"),
        ({"literal": "res:db"}, "res:db", "exclusive", "file"),
        (PathRequest("as/it/is", "shared", "tree"), "as/it/is", "shared", "tree"),
    ],
)
def test_each_way_of_saying_it(repository, item, path, mode, kind):
    assert asked(repository, item) == (path, mode, kind)


def test_the_mode_for_all_is_for_those_that_name_none(repository):
    assert asked(repository, "src", mode="shared")[1] == "shared"
    assert asked(repository, ("src", "exclusive"), mode="shared")[1] == "exclusive"
    assert asked(repository, {"path": "src"}, mode="shared")[1] == "shared"


@pytest.mark.parametrize(
    ("item", "below", "path", "kind"),
    [
        ("short/x.py", "", "src/deep/x.py", "file"),
        ("short/*.py", "", "src/deep/*.py", "glob"),
        ("short", "", "src/deep", "tree"),
        ("*.py", "short", "src/deep/*.py", "glob"),
        ("../a.py", "short", "src/a.py", "file"),
        ("page.tsx", "app/[id]", "app/[id]/page.tsx", "file"),
        ("*.tsx", "app/[id]", "app/[[]id]/*.tsx", "glob"),
        ("app/[id]/page.tsx", "", "app/[id]/page.tsx", "file"),
        ("**", "", "**", "glob"),
    ],
)
def test_links_are_followed_and_names_with_wildcards_are_names_where_they_exist(
    repository, item, below, path, kind
):
    found, _, found_kind = asked(repository, item, below)
    assert (found, found_kind) == (path, kind)


def test_a_glob_made_of_a_name_matches_that_name_alone():
    assert escaped("a/[x]*?{b,c}.py") == "a/[[]x][*][?][{]b,c}.py"


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("", "empty"),
        ("a\0b", "NUL"),
        ("x" * 4097, "4097 bytes"),
        ("\udcff.py", "not UTF-8"),
        ("../x", "outside the repository"),
        ("/etc/passwd", "outside the repository"),
        ("../*.py", "outside the repository"),
        ({"glob": "../*.py"}, "outside the repository"),
        (7, "expected a path"),
        (b"src", "expected a path"),
        (("a", "b", "c"), "expected a pair"),
        (("a", 1), "expected a pair"),
        ({"path": "a", "glob": "b"}, "one of path, literal and glob"),
        ({"mode": "shared"}, "one of path, literal and glob"),
        ({"path": "a", "kind": "tree"}, "one of path, literal and glob"),
    ],
)
def test_what_is_no_path_to_lock_is_refused_in_one_line(repository, item, told):
    with pytest.raises(InvalidRequestError, match=told) as caught:
        asked(repository, item)
    assert "\n" not in str(caught.value) and "\0" not in str(caught.value)


@pytest.mark.parametrize("items", ["src/a.py", b"src", Path("src"), {"path": "src"}, PathRequest("src")])
def test_a_lone_path_is_not_taken_for_a_list_of_them(items):
    with pytest.raises(InvalidRequestError, match=r"must be a list; for one give \["):
        path_items(items)


def test_a_name_that_no_file_system_would_take_is_the_coordinators_to_judge(repository):
    assert asked(repository, "x" * 300) == ("x" * 300, "exclusive", "file")


@pytest.fixture
def checkouts(tmp_path: Path) -> tuple[Path, Path]:
    """A repository and a second worktree of it."""
    main, other = tmp_path / "main", tmp_path / "other"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*words: str, cwd: Path) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@t")
        subprocess.run(["git", *identity, *words], cwd=cwd, env=clean, check=True, capture_output=True)

    main.mkdir()
    git("init", "-q", cwd=main)
    git("commit", "-q", "--allow-empty", "-m", "first", cwd=main)
    git("worktree", "add", "-q", str(other), cwd=main)
    (other / "src").mkdir()
    return main, other


def test_all_checkouts_of_a_repository_name_the_same_path(checkouts, monkeypatch):
    main, other = checkouts
    workspace = find_workspace(main)
    monkeypatch.chdir(other / "src")
    moved = lock_paths(None, workspace)
    assert moved.request("a.py").path == "src/a.py"
    assert lock_paths(main, workspace).request(str(other / "src" / "a.py")).path == "src/a.py"


def test_relative_paths_are_from_where_the_client_was_told_to_be_or_from_where_the_process_is(
    repository, monkeypatch, tmp_path
):
    workspace = find_workspace(repository)
    monkeypatch.chdir(repository / "app")
    assert lock_paths(repository / "src", workspace).request("a.py").path == "src/a.py"
    assert lock_paths(None, workspace).request("a.py").path == "app/a.py"
    assert lock_paths(None, None).request("a.py").path == "app/a.py"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequestError, match="outside the repository"):
        lock_paths(None, workspace).request("a.py")
    assert lock_paths(None, workspace).request("repo/src/a.py").path == "src/a.py"
