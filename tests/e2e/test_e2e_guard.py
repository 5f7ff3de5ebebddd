"""Guards with real git and a real coordinator: however a commit is made, what others hold stays theirs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from buildrunner_parallel.specs import PathRequest, TaskSpec

from .conftest import Town, eventually

pytestmark = pytest.mark.e2e

IN_TASK = ("BR_ATTEMPT_ID", "BR_FENCE", "BR_SESSION_ID", "BR_TASK_ID")


class Checkout:
    """Git in the town, with a person's environment or a task's."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.folder = town.folder
        self.env = town.env | {
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
        }  # fmt: skip

    def git(
        self, *arguments: str, fails: bool = False, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> str:
        """What it prints, standard error behind it."""
        done = subprocess.run(
            ["git", *arguments], cwd=cwd or self.folder, env=self.env | (env or {}), capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def change(self, *paths: str, text: str = "x") -> None:
        for path in paths:
            self.town.write(path, f"{text}\n")
        self.git("add", "--", *paths)


@pytest.fixture
def checkout(town: Town) -> Checkout:
    made = Checkout(town)
    made.change("held.py", "free.py", "old.py")
    made.git("commit", "-qm", "first")
    made.git("branch", "-M", "main")
    town.br("parallel", "guard", "install")
    town.coordinator()
    return made


@pytest.fixture
def held(town: Town, checkout: Checkout) -> str:
    """A session that holds held.py."""
    with town.client() as client:
        session = client.create_session("holder").session_id
        client.acquire_locks(session, [PathRequest("held.py"), PathRequest("taken/", kind="tree")])
    return session


def task_environment(town: Town) -> dict[str, str]:
    """Of a task that runs and holds mine.py."""
    town.worker()
    with town.client() as client:
        script = 'env | grep ^BR_ > "$0"; exec sleep 600'
        task = TaskSpec(task_id="t", argv=("sh", "-c", script, str(town.folder.parent / "env")),
                        cwd=str(town.folder), files=(PathRequest("mine.py"),))  # fmt: skip
        client.submit_plan([task], create={"name": "tasks"})
    told = town.folder.parent / "env"
    eventually(lambda: told.exists() and "BR_FENCE" in told.read_text(), "the task runs")
    pairs = (line.split("=", 1) for line in told.read_text().splitlines())
    return {name: value for name, value in pairs if name in IN_TASK}


def test_a_person_is_warned_once_and_the_commit_goes_on(checkout: Checkout, held: str) -> None:
    checkout.change("held.py", text="mine")
    said = checkout.git("commit", "-m", "second")
    assert said.count(f"held.py is held by session {held} (holder) for ") == 1
    assert said.count("the commit goes on; it may be in somebody's way") == 1
    assert "second" in checkout.git("log", "--oneline")


def test_a_commit_of_free_paths_hears_nothing(checkout: Checkout, held: str) -> None:
    checkout.change("free.py", text="mine")
    assert "br guard" not in checkout.git("commit", "-m", "second")


def test_with_strict_a_person_is_refused_with_plumbing_too(town: Town, checkout: Checkout, held: str) -> None:
    town.br("parallel", "guard", "install", "--strict")
    checkout.change("held.py", text="mine")
    assert "the commit is refused. See br parallel locks held.py" in checkout.git(
        "commit", "-m", "no", fails=True
    )
    assert "is held by" in checkout.git("commit", "--no-verify", "-m", "no", fails=True)
    tree = checkout.git("write-tree").strip()
    commit = checkout.git("commit-tree", tree, "-p", "HEAD", "-m", "no").strip()
    assert "is held by" in checkout.git("update-ref", "HEAD", commit, fails=True)
    assert "is held by" in checkout.git("update-ref", "refs/heads/other", commit, fails=True)
    checkout.git("checkout", "-q", "--detach")
    assert "is held by" in checkout.git("commit", "--no-verify", "-m", "no", fails=True)
    assert checkout.git("rev-list", "--count", "--all").strip() == "1"


def test_renames_and_deletes_need_both_ends(town: Town, checkout: Checkout, held: str) -> None:
    town.br("parallel", "guard", "install", "--strict")
    checkout.git("mv", "held.py", "elsewhere.py")
    assert "held.py is held by" in checkout.git("commit", "-m", "no", fails=True)
    checkout.git("reset", "-q", "--hard")
    (town.folder / "taken").mkdir()
    checkout.git("mv", "old.py", "taken/new.py")
    assert "taken/new.py is held by" in checkout.git("commit", "-m", "no", fails=True)
    checkout.git("reset", "-q", "--hard")
    checkout.git("rm", "-q", "held.py")
    assert "held.py is held by" in checkout.git("commit", "--no-verify", "-m", "no", fails=True)


def test_linked_worktrees_amends_and_merges_are_seen(town: Town, checkout: Checkout, held: str) -> None:
    town.br("parallel", "guard", "install", "--strict")
    other = town.folder.parent / "linked"
    checkout.git("worktree", "add", "-q", str(other), "-b", "side")
    (other / "held.py").write_text("side\n")
    assert "is held by" in checkout.git("commit", "-qam", "no", fails=True, cwd=other)
    checkout.git("checkout", "-q", "--", "held.py", cwd=other)
    (other / "free.py").write_text("side\n")
    checkout.git("commit", "-qam", "free", cwd=other)
    (other / "held.py").write_text("side\n")
    assert "is held by" in checkout.git("commit", "-qa", "--amend", "--no-edit", fails=True, cwd=other)
    checkout.git("checkout", "-q", "--", "held.py", cwd=other)
    # What a merge brings is there already; the merge itself changes nothing that neither side has.
    checkout.change("old.py", text="here")
    checkout.git("commit", "-qm", "here")
    assert "br guard" not in checkout.git("merge", "-q", "--no-edit", "side")


def test_wherever_git_is_called_from_and_by_a_push_the_same_is_seen(
    town: Town, checkout: Checkout, held: str
) -> None:
    town.br("parallel", "guard", "install", "--strict")
    checkout.change("held.py", text="mine")
    tree = checkout.git("write-tree").strip()
    commit = checkout.git("commit-tree", tree, "-p", "HEAD", "-m", "no").strip()
    checkout.git("reset", "-q", "--hard")
    repository, elsewhere = town.folder / ".git", town.folder.parent / "elsewhere"
    elsewhere.mkdir()
    for words in ([f"--git-dir={repository}"], [f"--git-dir={repository}", f"--work-tree={elsewhere}"]):
        said = checkout.git(*words, "update-ref", "refs/heads/other", commit, fails=True, cwd=elsewhere)
        assert "held.py is held by" in said
    assert "is held by" in checkout.git("update-ref", "refs/heads/other", commit, fails=True, cwd=repository)
    copy = town.folder.parent / "copy"
    checkout.git("clone", "-q", str(town.folder), str(copy))
    (copy / "held.py").write_text("theirs\n")
    checkout.git("commit", "-qam", "theirs", cwd=copy)
    assert "is held by" in checkout.git("push", "origin", "HEAD:refs/heads/other", fails=True, cwd=copy)
    assert checkout.git("for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]


def test_cherry_picks_and_rebases_are_seen_and_a_merge_resolved_by_hand_counts_once(
    town: Town, checkout: Checkout, held: str
) -> None:
    checkout.git("checkout", "-qb", "side")
    checkout.change("held.py", "old.py", text="side")
    checkout.git("commit", "-qm", "both")
    town.br("parallel", "guard", "install", "--strict")
    checkout.git("checkout", "-q", "main")
    checkout.change("free.py", text="main")
    checkout.git("commit", "-qm", "main")
    assert "held.py is held by" in checkout.git("cherry-pick", "side", fails=True)
    checkout.git("cherry-pick", "--abort")
    assert "held.py is held by" in checkout.git("rebase", "main", "side", fails=True)
    checkout.git("rebase", "--abort")
    checkout.git("checkout", "-q", "main")
    checkout.change("old.py", text="main")
    checkout.git("commit", "-qm", "old")
    checkout.git("merge", "side", fails=True)
    checkout.change("old.py", text="resolved")
    assert "br guard" not in checkout.git("commit", "-qm", "merged")


def test_a_coordinator_that_is_silent_is_told_and_one_that_is_dead_is_not(
    town: Town, checkout: Checkout
) -> None:
    pid = town.coordinator_pid()
    checkout.change("free.py", text="one")
    os.kill(pid, signal.SIGSTOP)
    said = checkout.git("commit", "-m", "one")
    assert "br guard: nobody can tell who holds what: " in said
    assert "The commit goes on unguarded." in said
    checkout.change("free.py", text="two")
    town.br("parallel", "guard", "install", "--strict")
    assert "The commit is refused." in checkout.git("commit", "-m", "two", fails=True)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not town.coordinator_pid(), "the coordinator is dead")
    assert (town.state / "coordinator.json").exists()
    assert "br guard" not in checkout.git("commit", "-m", "two")


def test_moving_branches_stashes_and_fetches_are_nobodys_business(
    town: Town, checkout: Checkout, held: str
) -> None:
    town.br("parallel", "guard", "install", "--strict")
    checkout.change("free.py", text="two")
    checkout.git("commit", "-qm", "two")
    checkout.git("branch", "copy")
    checkout.git("reset", "-q", "--hard", "HEAD~1")
    checkout.git("tag", "v1")
    checkout.change("held.py", text="stashed")
    checkout.git("stash", "-q")
    checkout.git("branch", "-D", "copy")
    upstream = town.folder.parent / "upstream"
    checkout.git("clone", "-q", str(town.folder), str(upstream))
    (upstream / "held.py").write_text("theirs\n")
    checkout.git("commit", "-qam", "theirs", cwd=upstream)
    checkout.git("fetch", "-q", str(upstream), "HEAD:refs/remotes/up/main")
    assert "br guard" not in checkout.git("merge", "-q", "--ff-only", "refs/remotes/up/main")


def test_in_a_task_what_others_hold_is_refused_and_its_own_is_not(
    town: Town, checkout: Checkout, held: str
) -> None:
    task = task_environment(town)
    checkout.change("held.py", text="task")
    assert "held.py is held by session" in checkout.git("commit", "-m", "no", fails=True, env=task)
    checkout.git("reset", "-q", "--hard")
    checkout.change("mine.py")
    assert "br guard" not in checkout.git("commit", "-m", "mine", env=task)


def test_in_a_task_no_other_way_leads_to_what_others_hold(town: Town, checkout: Checkout, held: str) -> None:
    task = task_environment(town)
    before = checkout.git("rev-parse", "HEAD").strip()
    checkout.change("held.py", text="task")
    tree = checkout.git("write-tree").strip()
    commit = checkout.git("commit-tree", tree, "-p", "HEAD", "-m", "no", env=task).strip()
    checkout.git("tag", "round", commit, env=task)
    assert "held.py is held by" in checkout.git("update-ref", "HEAD", "round", fails=True, env=task)
    checkout.git("update-ref", "HEAD", "round")
    assert "held.py is held by" in checkout.git("update-ref", "HEAD", before, fails=True, env=task)
    assert "held.py is held by" in checkout.git("reset", "--hard", before, fails=True, env=task)
    checkout.git("reset", "-q", "--hard", env=task)
    assert checkout.git("rev-parse", "HEAD").strip() == commit
    assert checkout.git("status", "--porcelain", "--untracked-files=no") == ""


def test_in_a_task_a_stale_fence_is_refused(town: Town, checkout: Checkout) -> None:
    task = task_environment(town) | {"BR_FENCE": "7"}
    checkout.change("free.py", text="task")
    assert "this is not its fence" in checkout.git("commit", "-m", "no", fails=True, env=task)
    assert "this is not its fence" in checkout.git("commit", "--no-verify", "-m", "no", fails=True, env=task)
    checkout.git("reset", "-q", "--hard")
    empty = ("commit", "--no-verify", "--allow-empty", "-m", "no")
    assert "this is not its fence" in checkout.git(*empty, fails=True, env=task)


def test_in_a_task_nobody_to_ask_means_no(town: Town, checkout: Checkout) -> None:
    task = task_environment(town)
    town.br("parallel", "stop")
    checkout.change("free.py", text="task")
    assert "nobody can tell who holds what" in checkout.git("commit", "-m", "no", fails=True, env=task)
    assert "br guard" not in checkout.git("commit", "-m", "a person's")


def test_below_a_lock_by_hand_its_own_paths_are_free(town: Town, checkout: Checkout) -> None:
    town.br("parallel", "guard", "install", "--strict")
    with town.client() as client:
        session = client.create_session("mine").session_id
    checkout.change("free.py", text="two")
    br = [sys.executable, "-m", "buildrunner_parallel.cli", "parallel", "lock", session, "free.py", "--"]
    words = [*br, "git", "commit", "-qm", "two"]
    done = subprocess.run(
        words, cwd=town.folder, env=checkout.env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "br guard" not in done.stderr


def test_where_nothing_was_ever_started_no_python_runs(town: Town) -> None:
    made = Checkout(town)
    town.br("parallel", "guard", "install")
    made.change("a.py")
    made.git("commit", "-qm", "first", env={"PYTHONVERBOSE": "1"})
    assert not town.state.exists() or not (town.state / "coordinator.json").exists()
    made.change("b.py")
    assert "import" not in made.git("commit", "-m", "second", env={"PYTHONVERBOSE": "1"})
    made.change("c.py")
    assert "tasks may not commit" in _without_python(town, made, {"BR_TASK_ID": "t"})


def _without_python(town: Town, made: Checkout, env: dict[str, str]) -> str:
    for name in ("pre-commit", "reference-transaction"):
        hook = town.folder / ".git" / "hooks" / name
        hook.write_text(hook.read_text().replace(f"python={sys.executable}", "python=/nowhere/python"))
        os.utime(hook)
    return made.git("commit", "-m", "no", fails=True, env=env)
