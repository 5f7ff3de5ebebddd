"""A git worktree and branch for one attempt: made, brought to its end, and removed.

Git's own locks race when several processes make worktrees at once, so all of a host take one flock of ours
for that. What is needed to find a checkout again stands in a record beside it; the flock on its owner's file
tells whether the worker that made it still lives. Blocks: to be called on threads.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from buildrunner_parallel.flocks import FileLock
from buildrunner_parallel.workspace import find_workspace

from .git_calls import TIMEOUT_S, Checkout, GitFailed, git

FOLDER = "worktrees"
REPOSITORY_FILE = "repository"
"""In a session's folder, until the session is gone: the git directory that has its branches."""
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_LONGEST_NAME = 160
_FILES_TIMEOUT_S = 600.0
"""For writing or reading every file of a repository."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose worktree it is."""

    session_id: str
    task_id: str
    number: int
    fence: int


@dataclass(slots=True)
class OwnTree:
    """A worktree of its own: `base` is the commit that it began at, `common_dir` the repository's. `is_kept`:
    its attempt is over, and somebody may want to look at it."""

    session_id: str
    task_id: str
    number: int
    fence: int
    path: str
    git_dir: str
    common_dir: str
    branch: str
    base: str
    is_kept: bool = False

    @property
    def checkout(self) -> Checkout:
        return Checkout(self.path, self.git_dir, self.common_dir)

    @property
    def session_branch(self) -> str:
        return session_branch(self.session_id)


def escaped(name: str) -> str:
    """As one part of a branch's name and as the name of a folder; different names stay different."""
    text = "".join(
        one if one in _PLAIN or (one == "." and i) else "".join(f"%{byte:02X}" for byte in one.encode())
        for i, one in enumerate(name)
    ).replace("..", "%2E%2E")
    if len(text) <= _LONGEST_NAME:
        return text
    return f"{text[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def session_branch(session_id: str) -> str:
    """The branch that the work of a session's tasks is merged into."""
    return f"br/{escaped(session_id)}/session"


def place_of(top: str) -> Path:
    """Where the worktrees of a repository are made, given the root of any checkout of it."""
    return find_workspace(Path(top)).state_dir / FOLDER


@contextlib.contextmanager
def host_lock(place: Path) -> Iterator[None]:
    """One process of the host at a time changes worktrees and branches of ours. Raises GitFailed."""
    _make_place(place)
    lock = FileLock(place / "lock")
    if not lock.acquire(time.monotonic() + TIMEOUT_S):
        raise GitFailed(f"another process has held {lock.path} for more than {TIMEOUT_S:g} s")
    try:
        yield
    finally:
        lock.release()


def _make_place(place: Path) -> None:
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = place.parent / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")


class Owner:
    """Shows, for as long as this process lives or until `release`, that a worktree is in use."""

    def __init__(self, tree: OwnTree) -> None:
        self._lock = FileLock(Path(f"{tree.path}.owner"))

    def take(self) -> bool:
        """False when another process has it."""
        return self._lock.try_acquire()

    def release(self) -> None:
        self._lock.release()


def grow(checkout: Checkout, whose: Identity) -> tuple[OwnTree, Owner]:
    """A new worktree on a new branch: from the session's branch if there is one, else from what is checked
    out. Raises GitFailed and OSError; nothing is left then."""
    place = place_of(checkout.top)
    with host_lock(place):
        base = _base(checkout, whose.session_id)
        tree = _named(checkout, place, whose, base)
        owner = Owner(tree)
        os.makedirs(os.path.dirname(tree.path), mode=0o700, exist_ok=True)
        owner.take()
        try:
            # Without files yet: those are written when others may make theirs.
            where = ("--no-checkout", "--no-track", "-b", tree.branch, tree.path, base)
            git(checkout.top, "worktree", "add", "--quiet", *where)
            Path(tree.path).with_name(REPOSITORY_FILE).write_text(tree.common_dir, errors="surrogateescape")
            tree.git_dir = git(tree.path, "rev-parse", "--absolute-git-dir").text
            _write_record(tree)
        except (GitFailed, OSError):
            _raze(tree, keep_branch=False)
            owner.release()
            raise
    try:
        tree.checkout.git("reset", "--hard", "--quiet", timeout_s=_FILES_TIMEOUT_S)
    except GitFailed:
        remove(tree, owner, keep_branch=False)
        raise
    return tree, owner


def _base(checkout: Checkout, session_id: str) -> str:
    for name in (f"refs/heads/{session_branch(session_id)}", "HEAD"):
        found = checkout.git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", accept=(0, 1)).text
        if found:
            return found
    raise GitFailed(f"{checkout.top} has no commit yet to begin a worktree at; make a first one")


def _named(checkout: Checkout, place: Path, whose: Identity, base: str) -> OwnTree:
    """With the fence in its name when an earlier one has left the branch or the folder behind."""
    folder, plain = escaped(whose.session_id), f"{escaped(whose.task_id)}-{whose.number}"
    for name in (plain, f"{plain}-{whose.fence}"):
        branch, path = f"br/{folder}/{name}", place / folder / name
        if not path.exists() and not _tip(checkout, branch):
            break
    return OwnTree(
        whose.session_id, whose.task_id, whose.number, whose.fence, str(path), "", checkout.common_dir,
        branch, base,
    )  # fmt: skip


def _tip(checkout: Checkout, branch: str) -> str:
    return checkout.git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}", accept=(0, 1)).text


def seal(tree: OwnTree) -> str:
    """Commits what is there and not committed yet; the commit at the branch's end. Raises GitFailed.

    All that the attempt did is behind it then, also when it went to another branch or is within a rebase.
    """
    checkout = tree.checkout
    for name in ("index.lock", "HEAD.lock"):  # of a git that was killed; nothing of the attempt runs any more
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{tree.git_dir}/{name}")
    adding = ("add", "--all", "--sparse", "--ignore-errors", "--", ".")
    checkout.git(*adding, accept=(0, 1), timeout_s=_FILES_TIMEOUT_S)
    files = checkout.git("write-tree").text
    head, tip = checkout.git("rev-parse", "HEAD").text, _tip(checkout, tree.branch)
    strays = bool(tip) and checkout.git("merge-base", "--is-ancestor", tip, head, accept=(0, 1)).code == 1
    if files == checkout.git("rev-parse", "HEAD^{tree}").text and not strays:
        commit = head
    else:
        parents = ("-p", head, "-p", tip) if strays else ("-p", head)
        message = f"{tree.task_id}: what attempt {tree.number} left uncommitted"
        commit = checkout.git("commit-tree", *parents, "-m", message, files).text
    if commit != tip:
        checkout.git("update-ref", f"refs/heads/{tree.branch}", commit, tip)
    return commit


def remove(tree: OwnTree, owner: Owner, *, keep_branch: bool) -> None:
    """The checkout is no more. Raises GitFailed when the host's lock is not to be had."""
    with host_lock(Path(tree.path).parent.parent):
        # Many files take their time: they go when others may make theirs.
        old = f"{tree.path}.{tree.fence}.old"
        with contextlib.suppress(OSError):
            os.rename(tree.path, old)
        _raze(tree, keep_branch=keep_branch)
        owner.release()
    shutil.rmtree(old, ignore_errors=True)


def keep(tree: OwnTree, owner: Owner) -> None:
    """It stays until its session goes."""
    tree.is_kept = True
    _write_record(tree)
    owner.release()


def _raze(tree: OwnTree, *, keep_branch: bool) -> None:
    with contextlib.suppress(GitFailed):
        git(tree.common_dir, "worktree", "remove", "--force", "--force", tree.path)
    shutil.rmtree(tree.path, ignore_errors=True)
    if tree.git_dir and Path(tree.git_dir).parent == Path(tree.common_dir) / "worktrees":
        shutil.rmtree(tree.git_dir, ignore_errors=True)
    if not keep_branch:
        with contextlib.suppress(GitFailed):
            git(tree.common_dir, "update-ref", "-d", f"refs/heads/{tree.branch}")
    for ending in (".json", ".owner"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(tree.path + ending)


def _write_record(tree: OwnTree) -> None:
    with open(f"{tree.path}.json", "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(asdict(tree), file)


def read_record(path: Path) -> OwnTree | None:
    """What stands in a record; None when it is none."""
    try:
        return OwnTree(**json.loads(path.read_text(encoding="utf-8", errors="surrogateescape")))
    except (OSError, ValueError, TypeError):
        return None
