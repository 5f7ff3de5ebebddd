"""Which paths a commit touches: both ends of renames, deleted ones, and of merges what no parent has so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from .git import answers, git, path_of

MOST_COMMITS = 1000
"""Beyond so many commits in one transaction the two ends of the branches are compared instead."""
_BRANCHES = "refs/heads/"
_NAMES_ONLY = ("--name-only", "--no-renames", "--ignore-submodules=none", "-z")


class Update(NamedTuple):
    """One line of a reference transaction. Git says nothing of what was there, `old`, when whoever asked for
    the update did not: 0 does not mean that the reference is new."""

    old: str
    new: str
    reference: str

    @property
    def counts(self) -> bool:
        """It gives a branch, or a HEAD without one, a commit. Stashes, tags, notes and what a remote has are
        nobody's working tree, and a branch that is deleted touches no file."""
        is_branch = self.reference == "HEAD" or self.reference.startswith(_BRANCHES)
        return is_branch and bool(self.new.strip("0")) and not self.new.startswith("ref:")


class Touched(NamedTuple):
    """What is about to be committed; an empty commit is one that touches no path."""

    is_commit: bool
    paths: list[str]


def staged() -> Touched:
    """What the index has otherwise than the last commit; to end a merge, otherwise than all its parents."""
    parents = [_head() or _empty_tree(), *_merged()]
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
    """The updates of a transaction that count, those of branches first."""
    updates = []
    for line in lines.split("\n"):
        old, _, rest = line.partition(" ")
        new, _, reference = rest.partition(" ")
        update = Update(old, new, reference)
        if update.counts:
            updates.append(update)
    return sorted(updates, key=lambda one: one.reference == "HEAD")


def committed(updates: Iterable[Update]) -> Touched:
    """What those commits touch that the updates give to the branches, and those that they take from the
    last branch that had them. Moving branches among what branches and remotes have touches nothing.

    Tags, stashes and other references do not count as having a commit, or they would be a way round.
    """
    moved = list(updates)
    if not moved:
        return Touched(False, [])
    tips = _tips()
    head = _head()
    brought = _commits([one.new for one in moved], [head] if head else [], "--branches")
    lost = _lost(moved, tips)
    if not brought and not lost:
        return Touched(False, [])
    if max(len(brought), len(lost)) <= MOST_COMMITS:
        return Touched(True, _of_commits([*brought, *lost]))
    ends = ((tips.get(one.reference) or (head if one.reference == "HEAD" else ""), one.new) for one in moved)
    names = (_between(old or _empty_tree(), new) for old, new in ends)
    return Touched(True, list(dict.fromkeys(name for some in names for name in some)))


def _lost(moved: Sequence[Update], tips: dict[str, str]) -> list[str]:
    after = tips | {one.reference: one.new for one in moved if one.reference != "HEAD"}
    left = [tips[name] for name, tip in after.items() if name in tips and tips[name] != tip]
    return _commits(left, after.values()) if left else []


def _commits(tips: Iterable[str], known: Iterable[str], *more_known: str) -> list[str]:
    """The commits that `tips` lead to and neither `known` nor any remote does; one more than MOST_COMMITS
    at most."""
    lines = [*dict.fromkeys(tips), *(f"^{one}" for one in dict.fromkeys(known))]
    words = ("rev-list", f"--max-count={MOST_COMMITS + 1}", "--stdin", "--not", "--remotes", *more_known)
    return git(*words, input_bytes="".join(f"{line}\n" for line in lines).encode()).decode().split()


def _of_commits(commits: Sequence[str]) -> list[str]:
    words = ("diff-tree", "--stdin", "--no-commit-id", "-r", "--root", "-c", *_NAMES_ONLY)
    return _names(git(*words, input_bytes="".join(f"{one}\n" for one in commits).encode()))


def _between(old: str, new: str) -> list[str]:
    return _names(git("diff-tree", "-r", *_NAMES_ONLY, old, new))


def _tips() -> dict[str, str]:
    """Where each branch is before the transaction."""
    listed = git("for-each-ref", "--format=%(objectname) %(refname)", _BRANCHES)
    pairs = (line.partition(" ") for line in listed.decode("utf-8", "surrogateescape").splitlines())
    return {reference: tip for tip, _, reference in pairs}


def _head() -> str:
    """Empty before the first commit."""
    found = answers("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return found.decode().strip() if found else ""


def _empty_tree() -> str:
    return git("hash-object", "-t", "tree", "--stdin").decode().strip()


def _names(output: bytes) -> list[str]:
    """Surrogates stand for bytes that are not UTF-8, as for the file system."""
    found = (name.decode("utf-8", "surrogateescape") for name in output.split(b"\0"))
    return list(dict.fromkeys(name for name in found if name))
