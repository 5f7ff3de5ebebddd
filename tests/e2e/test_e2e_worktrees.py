"""Audited tasks and worktrees of their own, with a real coordinator, real workers and a real repository."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import Town, eventually


def git(town: Town, *arguments: str) -> str:
    settings = ("-c", "user.name=Somebody", "-c", "user.email=somebody@localhost")
    done = subprocess.run(
        ["git", *settings, *arguments], cwd=town.folder, capture_output=True, text=True, check=True
    )
    return done.stdout.rstrip("\n")


@pytest.fixture
def repository(town: Town) -> Town:
    town.write("src/app.py", "one\n")
    town.write("docs/guide.md", "guide\n")
    town.write(".gitignore", "*.log\nplan.json\n")
    git(town, "add", "--all")
    git(town, "commit", "--quiet", "--message", "first")
    return town


def run_plan(town: Town, *tasks: dict[str, Any], code: int = 0, workers: int = 2) -> str:
    """The session's id, once it has ended."""
    town.write("plan.json", json.dumps({"name": "plan", "workers": workers, "tasks": tasks}))
    session_id = town.json("parallel", "start", "--plan", "plan.json")["session"]["session_id"]
    town.br("parallel", "wait", session_id, check=code)
    return str(session_id)


def shown(town: Town, session_id: str, task_id: str) -> Any:
    return town.json("parallel", "show", session_id, task_id)["task"]


def branch_of(town: Town, session_id: str, task_id: str, attempt: int = 0) -> str:
    """Its name has the fence in it when an offer that was taken back still had the plain one."""
    branch = shown(town, session_id, task_id)["attempts"][attempt]["branch"]
    assert branch.startswith(f"br/{session_id}/{task_id}-{attempt + 1}")
    return str(branch)


def tree_of(town: Town, branch: str) -> Path:
    return town.state / "worktrees" / branch.removeprefix("br/")


def test_what_tasks_change_is_recorded_with_them_and_with_their_session(repository: Town) -> None:
    session_id = run_plan(
        repository,
        {"id": "declared", "run": "echo two > src/app.py; echo new > src/new.py", "files": ["src/"]},
        {"id": "quiet", "run": "true", "files": ["docs/"], "needs": ["declared"]},
        {"id": "astray", "run": "echo x > stray.txt", "files": ["docs/"], "needs": ["quiet"]},
        {"id": "off", "run": "echo x > unseen.txt", "files": ["a"], "audit": "off", "needs": ["astray"]},
    )
    (attempt,) = shown(repository, session_id, "declared")["attempts"]
    assert (attempt["modified_files"], attempt["warnings"]) == (["src/app.py", "src/new.py"], [])
    assert shown(repository, session_id, "quiet")["attempts"][0]["modified_files"] == []
    (attempt,) = shown(repository, session_id, "astray")["attempts"]
    assert attempt["warnings"] == ["changed without declaring it: stray.txt"]
    assert shown(repository, session_id, "off")["attempts"][0]["modified_files"] == []
    session = repository.json("parallel", "status", session_id)["session"]
    assert session["modified_files"] == ["src/app.py", "src/new.py", "stray.txt"]
    patch = repository.br("parallel", "show", session_id, "astray", "--patch").stdout
    assert "+++ b/stray.txt" in patch


def test_what_another_session_holds_by_hand_fails_the_task_and_its_patch_is_kept(repository: Town) -> None:
    with _started(repository) as client:
        other = client.create_session("by hand")
        client.start_session(other.session_id)
        client.acquire_locks(other.session_id, ["docs/guide.md"])
        session_id = run_plan(
            repository,
            {"id": "astray", "run": "echo mine > docs/guide.md", "files": ["src/"], "retries": 3},
            code=6,
        )
        task = shown(repository, session_id, "astray")
        assert task["reason"] == "UNDECLARED_WRITE"
        assert f"session {other.session_id} (by hand) holds" in task["error"]
        assert len(task["attempts"]) == 1
        patch = client.get_patch(session_id, "astray")
        assert b"+mine\n" in patch.patch
        client.cancel_session(other.session_id)


def test_what_another_session_holds_is_not_merged_either(repository: Town) -> None:
    with _started(repository) as client:
        other = client.create_session("by hand")
        client.start_session(other.session_id)
        client.acquire_locks(other.session_id, ["docs/"])
        session_id = run_plan(
            repository,
            {
                "id": "astray", "run": "echo mine > docs/guide.md", "files": ["src/"],
                "isolate": "worktree", "merge": "on",
            },
            {
                "id": "free", "run": "echo mine > free.txt", "files": ["src/*.py"],
                "isolate": "worktree", "merge": "on",
            },
            code=6,
        )  # fmt: skip
        assert shown(repository, session_id, "astray")["reason"] == "UNDECLARED_WRITE"
        astray = branch_of(repository, session_id, "astray")
        assert git(repository, "show", f"{astray}:docs/guide.md") == "mine"
        assert git(repository, "show", f"br/{session_id}/session:docs/guide.md") == "guide"
        assert git(repository, "show", f"br/{session_id}/session:free.txt") == "mine"
        client.cancel_session(other.session_id)


def _started(town: Town) -> Any:
    town.br("parallel", "list")
    town.json("parallel", "start", "warm", "--workers", "0")
    return town.client()


def test_six_isolated_tasks_at_once_are_merged_and_the_checkout_stays_as_it_is(repository: Town) -> None:
    repository.write("src/app.py", "changed by hand\n")
    before = git(repository, "rev-parse", "HEAD"), git(repository, "status", "--porcelain")
    make = 'mkdir -p out && echo "$BR_TASK_ID" > "out/$BR_TASK_ID"; test "$PWD" = "$BR_WORKTREE"'
    session_id = run_plan(
        repository,
        *({"id": f"t{n}", "run": make, "isolate": "worktree", "merge": True} for n in range(6)),
        {
            "id": "last", "run": "cat out/* > all.txt; git log -1 --format=%s > /dev/null",
            "needs": ["t*"], "isolate": "worktree", "merge": "on",
        },
        workers=6,
    )  # fmt: skip
    branch = f"br/{session_id}/session"
    assert git(repository, "show", f"{branch}:all.txt").split() == [f"t{n}" for n in range(6)]
    assert git(repository, "show", f"{branch}:src/app.py") == "one"
    assert (git(repository, "rev-parse", "HEAD"), git(repository, "status", "--porcelain")) == before
    assert len(git(repository, "worktree", "list").split("\n")) == 1
    (attempt,) = shown(repository, session_id, "t3")["attempts"]
    assert (attempt["branch"], attempt["merged"]) == (branch_of(repository, session_id, "t3"), True)
    assert attempt["modified_files"] == ["out/t3"]


def test_a_conflict_fails_the_task_keeps_the_branch_and_leaves_the_checkout_alone(repository: Town) -> None:
    before = git(repository, "rev-parse", "HEAD")
    wait = (
        "touch ../$BR_TASK_ID.here; while [ ! -e ../left.here ] || [ ! -e ../right.here ]; do sleep 0.1; done"
    )
    session_id = run_plan(
        repository,
        *(
            {"id": name, "run": f"{wait}; echo {name} > src/app.py", "isolate": "worktree", "merge": "on"}
            for name in ("left", "right")
        ),
        code=6,
    )
    tasks = [shown(repository, session_id, name) for name in ("left", "right")]
    (failed,) = [task for task in tasks if task["reason"]]
    name = failed["task_id"]
    assert failed["reason"] == "MERGE_CONFLICT"
    assert failed["error"].endswith("both changed src/app.py")
    assert git(repository, "show", f"{branch_of(repository, session_id, name)}:src/app.py") == name
    assert git(repository, "show", f"br/{session_id}/session:src/app.py") != name
    assert (git(repository, "rev-parse", "HEAD"), git(repository, "status", "--porcelain")) == (before, "")
    kept = tree_of(repository, branch_of(repository, session_id, name))
    assert (kept / "src/app.py").read_text() == f"{name}\n"
    assert str(kept) in repository.br("parallel", "show", session_id, name).stdout.replace("\n", "")


def test_where_no_worktree_can_be_made_the_task_says_why(town: Town) -> None:
    session_id = run_plan(town, {"id": "t", "run": "true", "isolate": "worktree"}, code=6)
    summary = shown(town, session_id, "t")
    assert (summary["outcome"], summary["reason"]) == ("not_started", "NOT_STARTED")
    assert "has no commit yet" in summary["error"]


def test_a_deleted_session_takes_its_worktrees_and_merged_branches_with_it(repository: Town) -> None:
    session_id = run_plan(
        repository,
        {"id": "good", "run": "echo 1 > good.txt", "isolate": "worktree", "merge": "on"},
        {"id": "bad", "run": "echo 1 > bad.txt; exit 3", "isolate": "worktree"},
        code=6,
    )
    kept = repository.state / "worktrees" / session_id
    bad = branch_of(repository, session_id, "bad")
    assert (tree_of(repository, bad) / "bad.txt").exists()
    repository.br("parallel", "cleanup", "--days", "0", "--yes")
    eventually(lambda: not kept.exists(), "the worktrees are gone")
    branches = git(repository, "for-each-ref", "--format=%(refname:short)", f"refs/heads/br/{session_id}/")
    assert branches.split("\n") == [bad, f"br/{session_id}/session"]
    assert "bad.txt" in git(repository, "ls-tree", "--name-only", bad)


def test_what_a_killed_worker_left_is_on_the_branch_and_its_worktree_goes(repository: Town) -> None:
    # The parent of the task's parent, its supervisor, is the worker.
    kill = "kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); sleep 60"
    run = f"echo half > half.txt; [ $BR_ATTEMPT = 2 ] || {{ {kill}; }}"
    session_id = run_plan(repository, {"id": "t", "isolate": "worktree", "run": run}, workers=1)
    tasks = shown(repository, session_id, "t")
    assert [one["outcome"] for one in tasks["attempts"]] == ["lost", "succeeded"]
    tree = repository.state / "worktrees" / session_id / "t-1"
    eventually(lambda: not tree.exists(), "the worktree of the lost attempt is gone")
    assert git(repository, "show", f"br/{session_id}/t-1:half.txt") == "half"
