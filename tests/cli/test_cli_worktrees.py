"""show, status and cleanup of what isolated and audited tasks left: files, warnings, branches, patches."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from buildrunner_parallel.errors import NotFoundError
from buildrunner_parallel.records import Attempt, Outcome, Patch, Task, TaskSpec, TaskStatus, TaskSummary
from buildrunner_parallel.workspace import find_workspace

SESSION = "a3f2e1d9"


@pytest.fixture
def isolated(build, tmp_path, monkeypatch):
    """A task with a worktree of its own, failed and then merged, in a workspace of its own."""
    monkeypatch.delenv("BR_STATE_DIR", raising=False)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    build.workspace = find_workspace(tmp_path)
    first = Attempt("f1", 1, outcome=Outcome.FAILED, branch=f"br/{SESSION}/t-1", patch_bytes=7,
                    modified_files=("a", "b"), warnings=("changed without declaring it: b",))  # fmt: skip
    second = replace(first, attempt_id="f2", number=2, outcome=Outcome.SUCCEEDED, merged=True,
                     branch=f"br/{SESSION}/t-2", warnings=())  # fmt: skip
    spec = TaskSpec(task_id="t", argv=("make",), isolation="worktree", merge=True, audit="on")
    summary = TaskSummary(SESSION, "t", TaskStatus.SUCCEEDED, "make", 2)
    build.full_tasks["t"] = Task(summary, spec, (first, second))
    return build


def test_files_warnings_and_branches_are_told(isolated, br):
    lines = br("show", "last", "t").stdout.splitlines()
    assert "audit\ton" in lines
    assert "isolated\tworktree, merged when it succeeds" in lines
    assert "attempt 1: warning: changed without declaring it: b" in lines
    assert "attempt 1: changed: a, b" in lines
    assert f"attempt 1: branch: br/{SESSION}/t-1" in lines
    assert f"attempt 2: branch: br/{SESSION}/t-2, merged" in lines
    assert not [line for line in lines if ": worktree: " in line]


def test_a_worktree_that_is_still_there_is_told(isolated, br, tmp_path):
    kept = tmp_path / ".buildrunner/worktrees" / SESSION / "t-1"
    kept.mkdir(parents=True)
    assert f"attempt 1: worktree: {kept}" in br("show", "last", "t").stdout.splitlines()


@pytest.mark.parametrize(("count", "branch"), [(2, f"br/{SESSION}/session"), (1, f"br/{SESSION}/t-1")])
def test_how_to_merge_is_said(isolated, terminal, count, branch):
    task = isolated.full_tasks["t"]
    isolated.full_tasks["t"] = replace(task, attempts=task.attempts[:count])
    result = terminal("show", "last", "t")
    assert f"To merge it:     git merge {branch}" in result.stdout + result.stderr
    assert f"show {SESSION} t --patch" in result.stdout + result.stderr


def test_status_says_how_to_merge_once_something_is_merged(isolated, terminal, tmp_path):
    told = f"git merge br/{SESSION}/session"
    assert told not in terminal("status", SESSION, "-v").stdout
    who = ("-c", "user.name=a", "-c", "user.email=b")
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "x"], cwd=tmp_path, check=True)
    subprocess.run(["git", "branch", f"br/{SESSION}/session"], cwd=tmp_path, check=True)
    assert f"To merge its work: {told}" in terminal("status", SESSION, "-v").stdout


PATCH = b"diff --git a/x b/x\n+\xff\x00\x1b[2J\n"


def test_the_patch_comes_byte_for_byte(isolated, br):
    isolated.patches["t"] = Patch(2, PATCH)
    result = br("show", "last", "t", "--patch")
    assert (result.exit_code, result.stdout_bytes, result.stderr) == (0, PATCH, "")


def test_a_terminal_is_kept_from_the_bytes_of_a_patch(isolated, terminal):
    isolated.patches["t"] = Patch(2, PATCH)
    assert "\x1b[2J" not in terminal("show", "last", "t", "--patch").stdout


def test_what_was_cut_off_is_told_beside_it(isolated, br):
    isolated.patches["t"] = Patch(2, PATCH, 3 << 20)
    result = br("show", "last", "t", "--patch")
    assert result.stdout_bytes == PATCH
    assert result.stderr == "Attempt 2: 3.0 MiB at the end were not kept\n"


def test_no_patch_is_one_line(isolated, br):
    isolated.failing["get_patch"] = NotFoundError("No attempt of task 't' has a patch.", reason="NO_PATCH")
    result = br("show", "last", "t", "--patch")
    assert (result.exit_code, result.stderr) == (4, "No attempt of task 't' has a patch.\n")


@pytest.mark.parametrize("other", ["--json", "--result"])
def test_a_patch_and_something_else_at_once_are_wrong_usage(isolated, br, other):
    assert br("show", "last", "t", "--patch", other).exit_code == 2


def test_options_of_submit_reach_the_task(build, br):
    br("submit", "last", "--audit", "off", "--isolate", "worktree", "--merge", "--", "true")
    (spec,) = next(call[2] for call in build.calls if call[0] == "submit_tasks")
    assert (spec.audit, spec.isolation, spec.merge) == ("off", "worktree", True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--audit", "maybe"), "expected on, off or auto, found 'maybe'"),
        (("--isolate", "yes"), "expected worktree or none, found 'yes'"),
        (("--merge",), "needs --isolate worktree"),
    ],
)
def test_other_words_are_wrong_usage(build, br, options, told):
    result = br("submit", "last", *options, "--", "true")
    assert result.exit_code == 2
    assert told in result.stderr
    assert not [call for call in build.calls if call[0] == "submit_tasks"]
