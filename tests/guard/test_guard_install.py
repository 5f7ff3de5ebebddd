"""Hooks put in and taken out, with real git in a throwaway repository: nothing is lost, nothing is left."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from buildrunner_parallel.errors import NotFoundError, RefusedError
from buildrunner_parallel.guard import install as hooks

NAMES = ("pre-commit", "reference-transaction")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("GIT_", "BR_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "global"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "--template=")
    git(folder, "config", "user.name", "a")
    git(folder, "config", "user.email", "a@b")
    return folder


def git(folder: Path, *arguments: str, check: bool = True) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout + done.stderr


def picture(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder: mode, and content or where it points to."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            str(path.readlink()).encode()
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else b"",
        )
        for path in sorted(folder.rglob("*"))
    }


def put(path: Path, text: str, mode: int = 0o755) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_without_a_folder_of_hooks_one_is_made_and_taken_away_again(repository):
    before = picture(repository / ".git")
    assert [one.state for one in hooks.install(repository)] == ["installed", "installed"]
    assert [one.name for one in hooks.remove(repository)] == list(NAMES)
    assert picture(repository / ".git") == before


def test_hooks_that_were_there_come_back_byte_by_byte(repository, tmp_path):
    folder = repository / ".git" / "hooks"
    put(folder / "pre-commit", "#!/bin/sh\nexit 0\n", 0o711)
    put(tmp_path / "shared-hook", "#!/bin/sh\n")
    (folder / "reference-transaction").symlink_to(tmp_path / "shared-hook")
    put(folder / "post-commit", "#!/bin/sh\n")
    before = picture(repository / ".git")
    assert all(one.chained for one in hooks.install(repository, strict=True))
    assert (folder / "pre-commit.before-br-guard").read_text() == "#!/bin/sh\nexit 0\n"
    hooks.remove(repository)
    assert picture(repository / ".git") == before


def test_a_second_install_changes_nothing_but_what_is_asked(repository):
    put(repository / ".git" / "hooks" / "pre-commit", "#!/bin/sh\n")
    hooks.install(repository)
    before = picture(repository / ".git")
    hooks.install(repository)
    assert picture(repository / ".git") == before
    assert [one.strict for one in hooks.install(repository, strict=True)] == [True, True]
    assert [one.state for one in hooks.look(repository)] == ["installed", "installed"]


def test_a_hook_from_before_runs_first_with_its_words_and_its_input(repository, tmp_path):
    folder, log = repository / ".git" / "hooks", tmp_path / "log"
    put(folder / "pre-commit", f'#!/bin/sh\necho "pre-commit $*" >> {log}\n')
    put(folder / "reference-transaction", f'#!/bin/sh\necho "transaction $1 $(wc -l)" >> {log}\n')
    hooks.install(repository)
    (repository / "a").write_text("a")
    git(repository, "add", "a")
    git(repository, "commit", "-qm", "a")
    said = log.read_text().splitlines()
    assert "pre-commit " in said
    assert {"transaction prepared 2", "transaction committed 2"} <= set(said)


def test_a_hook_from_before_that_says_no_is_obeyed(repository):
    put(repository / ".git" / "hooks" / "pre-commit", "#!/bin/sh\necho never >&2\nexit 3\n")
    hooks.install(repository)
    (repository / "a").write_text("a")
    git(repository, "add", "a")
    assert "never" in git(repository, "commit", "-m", "a", check=False)
    assert git(repository, "rev-list", "--all").strip() == ""


def test_a_hook_that_was_not_active_stays_inactive(repository):
    put(repository / ".git" / "hooks" / "pre-commit", "#!/bin/sh\nexit 3\n", 0o644)
    hooks.install(repository)
    (repository / "a").write_text("a")
    git(repository, "add", "a")
    git(repository, "commit", "-qm", "a")


@pytest.mark.parametrize("where", ["relative", "absolute"])
def test_a_hooks_path_of_the_repository_is_honoured(repository, tmp_path, where):
    folder = repository / "my hooks" if where == "relative" else tmp_path / "outside"
    git(repository, "config", "core.hooksPath", "my hooks" if where == "relative" else str(folder))
    states = hooks.install(repository)
    assert [one.path for one in states] == [folder / name for name in NAMES]
    assert not (repository / ".git" / "hooks").exists()
    hooks.remove(repository)
    assert not folder.exists()


def test_a_hooks_path_for_all_repositories_is_refused(repository, tmp_path):
    (tmp_path / "global").write_text(f"[core]\n\thooksPath = {tmp_path}/everywhere\n")
    with pytest.raises(RefusedError, match=r"core\.hooksPath is set for all of your repositories"):
        hooks.install(repository)
    assert not (tmp_path / "everywhere").exists()


def test_a_hook_that_is_part_of_the_repository_is_left_alone(repository):
    git(repository, "config", "core.hooksPath", "hooks")
    put(repository / "hooks" / "pre-commit", "#!/bin/sh\n")
    git(repository, "add", "hooks")
    before = picture(repository)
    with pytest.raises(RefusedError, match="is part of the repository: add a call of"):
        hooks.install(repository)
    assert picture(repository) == before


def test_in_a_linked_worktree_it_is_the_same_hooks(repository, tmp_path):
    (repository / "a").write_text("a")
    git(repository, "add", "a")
    git(repository, "commit", "-qm", "a")
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"))
    hooks.install(tmp_path / "linked")
    assert [one.state for one in hooks.look(repository)] == ["installed", "installed"]


def test_one_of_ours_that_was_changed_is_neither_replaced_nor_removed(repository):
    hooks.install(repository)
    path = repository / ".git" / "hooks" / "pre-commit"
    path.write_text(path.read_text() + "echo more\n")
    before = picture(repository / ".git")
    assert [one.state for one in hooks.look(repository)] == ["changed", "installed"]
    for call in (hooks.install, hooks.remove):
        with pytest.raises(RefusedError, match="was changed since the guard was installed"):
            call(repository)
    assert picture(repository / ".git") == before


def test_removing_what_is_not_there_does_nothing(repository):
    put(repository / ".git" / "hooks" / "pre-commit", "#!/bin/sh\n")
    before = picture(repository / ".git")
    assert hooks.remove(repository) == []
    assert picture(repository / ".git") == before


def test_outside_of_a_repository_there_is_nothing_to_guard(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(NotFoundError, match="no git repository"):
        hooks.install(tmp_path)
