"""Which paths a commit touches: both ends of renames, deleted ones, and of merges what no parent has so."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .git import answers, git, path_of

MOST_COMMITS = 1000
"""Beyond so many new commits in one update the two ends of the branch are compared instead."""

_NAMES_ONLY = ("--name-only", "--no-renames", "--ignore-submodules=none", "-z")


class Update(NamedTuple):
    """One line of a reference transaction."""

    old: str
    new: str
    reference: str

    @property
    def counts(self) -> bool:
        """It gives a branch, or a HEAD without one, a commit. Stashes, tags, notes and what a remote has are
        nobody's working tree, and a branch that is deleted touches no file."""
        is_branch = self.reference == "HEAD" or self.reference.startswith("refs/heads/")
        return is_branch and bool(self.new.strip("0")) and not self.new.startswith("ref:")


class Touched(NamedTuple):
    """What is about to be committed; an empty commit is one that touches no path."""

    is_commit: bool
    paths: list[str]


def staged() -> Touched:
    """What the index has otherwise than the last commit; to end a merge, otherwise than all its parents."""
    head = answers("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    parents = [head.decode().strip() if head else _empty_tree(), *_merged()]
    differ = [_names(git("diff-index", "--cached", *_NAMES_ONLY, parent)) for parent in parents]
    everywhere = set(differ[0]).intersection(*differ[1:])
    return Touched(True, [path for path in differ[0] if path in everywhere])


def _merged() -> list[str]:
    """The commits that a merge which is under way brings in."""
    file = path_of("rev-parse", "--git-path", "MERGE_HEAD")
    try:
        return Path(file).read_text(encoding="ascii").split()
    except FileNotFoundError:
        return []


def parse(lines: str) -> list[Update]:
    """The updates of a transaction that count, each new commit once."""
    found: dict[str, Update] = {}
    for line in lines.split("\n"):
        old, _, rest = line.partition(" ")
        new, _, reference = rest.partition(" ")
        update = Update(old, new, reference)
        if update.counts and (new not in found or reference != "HEAD"):
            found[new] = update
    return list(found.values())


def committed(updates: Iterable[Update]) -> Touched:
    """What commits touch that no branch, tag or remote has reached yet. Moving a branch to commits that are
    there already touches nothing by itself."""
    paths: dict[str, None] = {}
    is_commit = False
    for update in updates:
        new = git("rev-list", f"--max-count={MOST_COMMITS + 1}", update.new, "--not", "--all").split()
        is_commit = is_commit or bool(new)
        paths.update(dict.fromkeys(_of_commits(update, new)))
    return Touched(is_commit, list(paths))


def _of_commits(update: Update, new: list[bytes]) -> list[str]:
    if not new:
        return []
    if len(new) > MOST_COMMITS:
        base = update.old if update.old.strip("0") else _empty_tree()
        return _names(git("diff-tree", "-r", *_NAMES_ONLY, base, update.new))
    return _names(git(
        "diff-tree", "--stdin", "--no-commit-id", "-r", "--root", "-c", *_NAMES_ONLY,
        input_bytes=b"\n".join(new) + b"\n",
    ))  # fmt: skip


def _empty_tree() -> str:
    return git("hash-object", "-t", "tree", "--stdin").decode().strip()


def _names(output: bytes) -> list[str]:
    """Surrogates stand for bytes that are not UTF-8, as for the file system."""
    found = (name.decode("utf-8", "surrogateescape") for name in output.split(b"\0"))
    return list(dict.fromkeys(name for name in found if name))
