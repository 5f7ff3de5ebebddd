"""Which paths a commit touches: both ends of renames, deleted ones, and of merges what no parent has so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .git import answers, git

MOST_COMMITS = 1000
"""Beyond so many new commits in one update the two ends of the branch are compared instead."""


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


def staged() -> list[str]:
    """What the index has otherwise than the last commit."""
    head = answers("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    base = head.decode().strip() if head else _empty_tree()
    return _names(git("diff-index", "--cached", "--name-only", "--no-renames", "-z", base))


def parse(lines: str) -> list[Update]:
    """The updates of a transaction that count, each new commit once."""
    found: dict[str, Update] = {}
    for line in lines.splitlines():
        old, _, rest = line.partition(" ")
        new, _, reference = rest.partition(" ")
        update = Update(old, new, reference)
        if update.counts and (new not in found or reference != "HEAD"):
            found[new] = update
    return list(found.values())


def committed(updates: Iterable[Update]) -> list[str]:
    """What commits touch that no branch, tag or remote has reached yet. Moving a branch to commits that are
    there already touches nothing by itself."""
    paths: dict[str, None] = {}
    for update in updates:
        paths.update(dict.fromkeys(_of_update(update)))
    return list(paths)


def _of_update(update: Update) -> list[str]:
    new = git("rev-list", f"--max-count={MOST_COMMITS + 1}", update.new, "--not", "--all").split()
    if not new:
        return []
    if len(new) > MOST_COMMITS:
        base = update.old if update.old.strip("0") else _empty_tree()
        return _names(git("diff-tree", "-r", "--name-only", "--no-renames", "-z", base, update.new))
    return _names(git(
        "diff-tree", "--stdin", "--no-commit-id", "-r", "--root", "-c", "--name-only", "--no-renames", "-z",
        input_bytes=b"\n".join(new) + b"\n",
    ))  # fmt: skip


def _empty_tree() -> str:
    return git("hash-object", "-t", "tree", "--stdin").decode().strip()


def _names(output: bytes) -> list[str]:
    """Surrogates stand for bytes that are not UTF-8, as for the file system."""
    found = (name.decode("utf-8", "surrogateescape") for name in output.split(b"\0"))
    return list(dict.fromkeys(name for name in found if name))
