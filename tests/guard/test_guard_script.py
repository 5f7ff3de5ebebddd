"""The shell of the hooks: when it starts Python at all, and what becomes of what that ends with.

The hooks are run as git runs them, with a program in Python's place that tells how it was called.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from buildrunner_parallel.guard import script
from buildrunner_parallel.guard.git import repository_root
from buildrunner_parallel.workspace import find_workspace

OLD, NEW, ZERO = "1" * 40, "2" * 40, "0" * 40
BRANCH = f"{OLD} {NEW} refs/heads/main\n"
TASK = {"BR_TASK_ID": "t"}


class Repository:
    """With both hooks and a coordinator's state, which nobody looks into."""

    def __init__(self, folder: Path, *, strict: bool) -> None:
        self.folder = folder / "repository"
        self.python = folder / "python of the tests"
        self.log = folder / "log"
        self.ends_with(0)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "BR_"))}
        subprocess.run(["git", "init", "-q", "--template=", self.folder], check=True, env=self.env)
        self.hooks = self.folder / ".git" / "hooks"
        self.hooks.mkdir()
        self.state = self.folder / ".buildrunner" / "coordinator.json"
        self.state.parent.mkdir()
        self.state.touch()
        for name in script.HOOKS:
            self.put(name, script.text(name, str(self.python), strict=strict))

    def ends_with(self, code: int) -> None:
        self.python.write_text(f"#!/bin/sh\n{{ echo \"$@\"; cat; }} >> '{self.log}'\nexit {code}\n")
        self.python.chmod(0o755)

    def put(self, name: str, text: str) -> None:
        (self.hooks / name).write_text(text)
        (self.hooks / name).chmod(0o755)

    def run(
        self, hook: str, *arguments: str, lines: str = "", env: dict[str, str] | None = None
    ) -> tuple[int, str]:
        done = subprocess.run(
            [f".git/hooks/{hook}", *arguments], cwd=self.folder, env=self.env | (env or {}), input=lines,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr

    @property
    def asked(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


@pytest.fixture(params=[False])
def repository(tmp_path, request):
    return Repository(tmp_path, strict=request.param)


both_hooks = pytest.mark.parametrize(
    ("hook", "arguments"), [("pre-commit", ()), ("reference-transaction", ("prepared",))]
)
strictly = pytest.mark.parametrize("repository", [True], indirect=True)


@pytest.mark.parametrize(
    ("lines", "asks"),
    [
        (BRANCH, True),
        (f"{ZERO} {NEW} HEAD\n", True),
        (f"{ZERO} {NEW} refs/tags/v1\n{BRANCH}", True),
        (f"{ZERO} {'3' * 64} refs/heads/a b\n", True),
        (f"{OLD} {ZERO} refs/heads/main\n", False),
        (f"{OLD} {OLD} refs/heads/main\n", False),
        (f"{ZERO} ref:refs/heads/main HEAD\n", False),
        (f"{ZERO} {NEW} refs/tags/v1\n", False),
        (f"{ZERO} {NEW} refs/stash\n", False),
        (f"{ZERO} {NEW} refs/remotes/origin/refs/heads/x\n", False),
        (f"{ZERO} {NEW} refs/remotes/origin/HEAD\n", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("env", [{}, TASK])
def test_python_starts_only_for_what_gives_a_branch_a_commit(repository, lines, asks, env):
    assert repository.run("reference-transaction", "prepared", lines=lines, env=env) == (0, "")
    told = f"-P -m buildrunner_parallel.guard reference-transaction 0\n{lines}"
    assert repository.asked == (told if asks else "")


@pytest.mark.parametrize("step", ["committed", "aborted"])
def test_only_the_step_that_can_be_refused_asks(repository, step):
    assert repository.run("reference-transaction", step, lines=BRANCH, env=TASK) == (0, "")
    assert repository.asked == ""


def test_without_a_coordinator_people_start_no_python_and_tasks_do(repository):
    repository.state.unlink()
    repository.run("pre-commit")
    assert repository.asked == ""
    repository.run("pre-commit", env=TASK)
    assert repository.asked == "-P -m buildrunner_parallel.guard pre-commit 0\n"


@both_hooks
@pytest.mark.parametrize("env", [{}, TASK])
def test_what_python_refuses_is_refused(repository, hook, arguments, env):
    repository.ends_with(script.REFUSED)
    assert repository.run(hook, *arguments, lines=BRANCH, env=env) == (1, "")


@both_hooks
@pytest.mark.parametrize("broken", ["gone", "failing"])
def test_a_python_that_cannot_ask_stops_tasks_and_warns_people(repository, hook, arguments, broken):
    if broken == "gone":
        repository.python.unlink()
    else:
        repository.ends_with(1)
    code, said = repository.run(hook, *arguments, lines=BRANCH)
    assert (code, said.count("\n")) == (0, 1)
    assert "the commit goes on unguarded; install the guard again, or remove it" in said
    code, said = repository.run(hook, *arguments, lines=BRANCH, env=TASK)
    assert (code, said.count("\n")) == (1, 1)
    assert "tasks may not commit" in said


@strictly
def test_with_strict_a_python_that_cannot_ask_stops_people_too(repository):
    repository.ends_with(1)
    code, said = repository.run("pre-commit")
    assert code == 1
    assert "the commit is refused; install the guard again, or remove it" in said


@pytest.mark.parametrize("lines", [BRANCH, BRANCH * 3, "", "\n\n", "no end of line"])
def test_a_transaction_hook_from_before_reads_what_git_wrote(repository, tmp_path, lines):
    repository.put("reference-transaction.before-br-guard", f'#!/bin/sh\ncat > "{tmp_path}/read"\n')
    repository.run("reference-transaction", "committed", lines=lines)
    assert (tmp_path / "read").read_text() == lines


def test_a_transaction_hook_from_before_need_not_read(repository):
    repository.put("reference-transaction.before-br-guard", "#!/bin/sh\nexit 0\n")
    assert repository.run("reference-transaction", "committed", lines=BRANCH * 20_000) == (0, "")


@pytest.mark.parametrize("hook", script.HOOKS)
def test_what_a_hook_from_before_ends_with_is_what_git_sees(repository, hook):
    repository.put(f"{hook}.before-br-guard", "#!/bin/sh\necho no >&2\nexit 7\n")
    assert repository.run(hook, "prepared", lines=BRANCH, env=TASK) == (7, "no\n")
    assert repository.asked == ""


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("hook", script.HOOKS)
def test_a_hook_knows_whether_anybody_has_changed_it(hook, strict):
    content = script.text(hook, "/a path/with 'quotes'/python", strict=strict).encode()
    assert script.is_ours(content)
    assert script.is_whole(content)
    assert script.is_strict(content) is strict
    for changed in (content + b"\n", content.replace(b"exit 1", b"exit 0"), content[:-1]):
        assert not script.is_whole(changed)


@pytest.mark.parametrize(
    "layout", ["plain", "linked", "submodule", "separate", "bare", "linked to a bare one"]
)
def test_shell_python_and_program_look_for_the_same_coordinator(tmp_path, monkeypatch, layout):
    repository = Repository(tmp_path, strict=False)
    for name, value in repository.env.items():
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.startswith(("GIT_", "BR_"))]:
        monkeypatch.delenv(name)
    place = laid_out(tmp_path, repository, layout)
    root = repository_root(place)
    if layout != "bare":  # nobody works there
        assert root == find_workspace(place).root
    repository.state.unlink()
    hook = repository.hooks / "pre-commit"
    subprocess.run([hook], cwd=place, stdin=subprocess.DEVNULL, check=True)
    assert repository.asked == ""
    (root / ".buildrunner").mkdir(exist_ok=True)
    (root / ".buildrunner" / "coordinator.json").touch()
    subprocess.run([hook], cwd=place, stdin=subprocess.DEVNULL, check=True)
    assert repository.asked != ""


def laid_out(tmp_path: Path, repository: Repository, layout: str) -> Path:
    """A checkout, or what is in its place."""

    def git(*words: str, cwd: Path = repository.folder) -> None:
        options = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always",
                   "-c", "core.hooksPath=/dev/null"]  # fmt: skip
        subprocess.run(["git", *options, *words], cwd=cwd, check=True, capture_output=True)

    git("commit", "-qm", "first", "--allow-empty")
    other = tmp_path / "other"
    if layout == "linked":
        git("worktree", "add", "-q", str(other))
    elif layout == "submodule":
        git("clone", "-q", ".", str(tmp_path / "origin"))
        git("submodule", "add", "-q", str(tmp_path / "origin"), "module")
        return repository.folder / "module"
    elif layout == "separate":
        git("clone", "-q", f"--separate-git-dir={tmp_path / 'elsewhere'}", ".", str(other))
    elif layout == "bare":
        git("clone", "-q", "--bare", ".", str(other))
    elif layout == "linked to a bare one":
        git("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
        git("worktree", "add", "-q", str(other), "HEAD", cwd=tmp_path / "bare")
    else:
        return repository.folder
    return other
