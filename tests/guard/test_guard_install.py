"""Hooks put in and taken out, with real git in a throwaway repository: nothing is lost, nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from buildrunner_parallel.errors import NotFoundError, RefusedError
from buildrunner_parallel.guard import install as hooks
from buildrunner_parallel.guard import script

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
    assert hooks.remove(repository) == list(NAMES)
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


def test_folders_that_were_made_for_a_hooks_path_go_again_but_not_those_of_others(repository):
    git(repository, "config", "core.hooksPath", "tools/git/hooks")
    hooks.install(repository)
    hooks.remove(repository)
    assert not (repository / "tools").exists()
    hooks.install(repository)
    put(repository / "tools" / "git" / "readme", "x")
    hooks.remove(repository)
    assert sorted(picture(repository / "tools")) == ["git", "git/readme"]


def test_where_hooks_are_turned_off_that_is_said(repository):
    git(repository, "config", "core.hooksPath", "/dev/null")
    for call in (hooks.install, hooks.remove, hooks.look):
        with pytest.raises(RefusedError, match="/dev/null, no directory: hooks are turned off here"):
            call(repository)


def test_worktrees_with_hooks_of_their_own_are_named(repository, tmp_path):
    git(repository, "commit", "-qm", "a", "--allow-empty")
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"))
    assert hooks.others_without(repository) == []
    git(repository, "config", "core.hooksPath", "hooks")
    hooks.install(repository)
    assert hooks.others_without(repository) == [tmp_path / "linked"]
    assert hooks.others_without(tmp_path / "linked") == [repository]
    git(repository, "config", "core.hooksPath", str(tmp_path / "hooks"))
    assert hooks.others_without(repository) == []


def test_what_husky_manages_is_left_to_it_and_the_other_hook_is_put_beside(repository):
    git(repository, "config", "core.hooksPath", ".husky/_")
    folder = repository / ".husky" / "_"
    put(folder / "h", '#!/usr/bin/env sh\nn=$(basename "$0")\n')
    put(folder / "pre-commit", '#!/usr/bin/env sh\n. "$(dirname "$0")/h"')
    before = picture(repository / ".husky")
    assert [one.state for one in hooks.install(repository)] == ["foreign", "installed"]
    assert (folder / "pre-commit").read_text().startswith("#!/usr/bin/env sh")
    assert hooks.remove(repository) == ["reference-transaction"]
    assert picture(repository / ".husky") == before


def test_a_hook_that_goes_by_its_name_is_not_renamed(repository):
    put(repository / ".git" / "hooks" / "pre-commit", '#!/bin/sh\nexec run-hook "$(basename "$0")" "$@"\n')
    before = picture(repository / ".git")
    with pytest.raises(RefusedError, match="goes by its own name"):
        hooks.install(repository)
    assert picture(repository / ".git") == before


def test_another_tool_that_puts_its_hook_in_front_is_noticed(repository):
    hooks.install(repository)
    path = repository / ".git" / "hooks" / "pre-commit"
    path.rename(path.with_name("pre-commit.legacy"))
    put(path, "#!/bin/sh\nexec .git/hooks/pre-commit.legacy\n")
    assert [one.state for one in hooks.look(repository)] == ["changed", "installed"]
    with pytest.raises(RefusedError, match="another hook was put in front of it"):
        hooks.install(repository)


def test_a_tracked_folder_behind_a_link_is_part_of_the_repository(repository):
    put(repository / "hooks" / "pre-commit", "#!/bin/sh\n")
    git(repository, "add", "hooks")
    (repository / ".git" / "hooks").symlink_to("../hooks")
    with pytest.raises(RefusedError, match="is part of the repository"):
        hooks.install(repository)


def test_an_installation_that_was_interrupted_loses_nothing(repository, monkeypatch):
    path = repository / ".git" / "hooks" / "pre-commit"
    put(path, "#!/bin/sh\nexit 0\n")
    before = picture(repository / ".git")

    def die(*_arguments: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", die)
        with pytest.raises(OSError, match="no space left"):
            hooks.install(repository)
    assert path.read_text() == "#!/bin/sh\nexit 0\n"
    assert [one.chained for one in hooks.install(repository)] == [True, False]
    hooks.remove(repository)
    assert picture(repository / ".git") == before
    os.link(path, path.with_name("pre-commit.before-br-guard"))
    hooks.remove(repository)
    assert picture(repository / ".git") == before


def test_a_hook_of_another_version_is_brought_up_to_date(repository):
    hooks.install(repository)
    path = repository / ".git" / "hooks" / "pre-commit"
    now = path.read_bytes()
    other = now.replace(b"tasks may not commit", b"tasks must not commit")
    unsealed = script._SEAL.sub(script._UNSEALED.encode(), other)
    path.write_bytes(script._SEAL.sub(script._seal_of(unsealed).encode(), other))
    assert [one.state for one in hooks.look(repository)] == ["installed", "installed"]
    hooks.install(repository)
    assert path.read_bytes() == now


def test_warnings_of_commits_that_were_not_finished_are_forgotten_with_the_hooks(repository, tmp_path):
    git(repository, "commit", "-qm", "a", "--allow-empty")
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"))
    before = picture(repository / ".git")
    hooks.install(repository)
    (repository / ".git" / "br-guard-told").touch()
    (repository / ".git" / "worktrees" / "linked" / "br-guard-told").touch()
    hooks.remove(repository)
    assert picture(repository / ".git") == before


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


def test_two_who_install_at_once_lose_no_hook(repository):
    put(repository / ".git" / "hooks" / "pre-commit", "#!/bin/sh\nexit 0\n")
    before = picture(repository / ".git")
    code = "from buildrunner_parallel.guard import install; install.install()"
    started = [subprocess.Popen([sys.executable, "-c", code], cwd=repository) for _ in range(4)]
    assert [one.wait(timeout=60) for one in started] == [0] * 4
    hooks.remove(repository)
    assert picture(repository / ".git") == before
