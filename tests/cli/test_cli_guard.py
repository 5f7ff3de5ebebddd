"""guard install, remove, status: what they say, in a terminal, a pipe and as JSON; bad places."""

from __future__ import annotations

import json
import os
import subprocess

import pytest


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q", "--template="], check=True)
    return tmp_path


def test_the_way_of_a_guard(repository, br):
    assert br("guard", "status").stdout.startswith("No guards are installed here\n")
    installed = br("guard", "install")
    assert (installed.exit_code, installed.stdout.splitlines()[0]) == (0, "Guards are installed")
    hook = repository / ".git" / "hooks" / "pre-commit"
    assert f"pre-commit\tinstalled\twarned\t\t{hook}" in installed.stdout
    br("guard", "install", "--strict")
    assert "pre-commit\tinstalled\trefused" in br("guard", "status").stdout
    removed = br("guard", "remove")
    assert (removed.exit_code, removed.stdout.splitlines()[0]) == (0, "Guards are removed")
    assert not hook.exists()
    again = br("guard", "remove")
    assert (again.exit_code, again.stdout) == (0, "No guards are installed here\n")


def test_json_tells_each_hook(repository, br):
    told = json.loads(br("guard", "install", "--strict", "--json").stdout)
    assert told["schema_version"] == 1
    assert [(one["name"], one["status"], one["strict"], one["chained"]) for one in told["hooks"]] == [
        ("pre-commit", "installed", True, False), ("reference-transaction", "installed", True, False),
    ]  # fmt: skip


def test_outside_of_a_repository_is_4_and_one_line(tmp_path, monkeypatch, br):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    for words in (("install",), ("remove",), ("status",)):
        result = br("guard", *words)
        assert (result.exit_code, result.stderr) == (4, "this is no git repository: guards are git hooks\n")


def test_a_hook_that_was_changed_is_1_and_stays(repository, br):
    br("guard", "install")
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.write_text(hook.read_text() + "true\n")
    result = br("guard", "remove")
    assert result.exit_code == 1
    assert "was changed since the guard was installed" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert hook.exists()


def test_a_hook_from_before_is_named_and_remove_tells_what_is_there_then(repository, br):
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\n")
    assert f"pre-commit\tinstalled\twarned\tthe hook from before\t{hook}\n" in br("guard", "install").stdout
    removed = json.loads(br("guard", "remove", "--json").stdout)["hooks"]
    assert [(one["status"], one["chained"]) for one in removed] == [("absent", False)] * 2
    assert json.loads(br("guard", "remove", "--json").stdout)["hooks"] == []


def test_where_hooks_are_turned_off_is_1_and_one_line(repository, br):
    subprocess.run(["git", "config", "core.hooksPath", "/dev/null"], check=True)
    for words in (("install",), ("remove",), ("status",)):
        result = br("guard", *words)
        assert result.exit_code == 1
        assert result.stderr == "git looks for hooks in /dev/null, no directory: hooks are turned off here\n"


def test_what_is_left_to_do_by_hand_is_told(repository, br):
    subprocess.run(["git", "config", "core.hooksPath", ".husky/_"], check=True)
    managed = repository / ".husky" / "_" / "pre-commit"
    managed.parent.mkdir(parents=True)
    managed.write_text("#!/bin/sh\n")
    done = br("guard", "install")
    assert done.exit_code == 0
    assert f"{managed} is husky's; to be told before a commit too, add `" in done.stderr
    assert f"-P -m buildrunner_parallel.guard pre-commit 0` to {repository}/.husky/pre-commit" in done.stderr
