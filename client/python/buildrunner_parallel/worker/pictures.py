"""Pictures of a checkout: what every file of it is at a moment, as a git tree that the repository never sees.

A private index and a private folder of objects, with the repository's behind it, so that nothing is left
there and no lock of git's own is taken. Untracked files count, ignored ones do not. The index is kept from
picture to picture: what has not changed since is not read again. Blocks: to be called on threads.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .git_calls import OUTPUT_LIMIT_BYTES, Answer, Checkout, GitFailed, GitTimedOut

MOST_FILES = 10_000
MOST_NAMES_BYTES = 1 << 20
PATCH_LIMIT_BYTES = 1 << 20
_COMMIT = re.compile("[0-9a-f]{40}(?:[0-9a-f]{24})?")
_CHANGE = re.compile(b"(?:add|remove) '(.*)'")
_TRIES = 3
_FRESH_AFTER = 200
_FAST = ("-c", "core.looseCompression=0", "-c", "core.fsync=none", "-c", "core.splitIndex=false")


@dataclass(frozen=True, slots=True)
class Picture:
    """The `turn`th of its studio; `head` is the commit that was checked out, empty before the first one."""

    turn: int
    head: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Paths from the root, "/" between, in order; renames as both of their ends."""

    files: tuple[str, ...] = ()
    more_files: int = 0
    patch: bytes = b""
    patch_dropped_bytes: int = 0


def always(_: tuple[str, ...]) -> bool:
    """Whatever changed, the patch is wanted."""
    return True


class Studio:
    """Takes and compares pictures of one checkout; one call at a time. `folder` is its own.

    A picture is one call of git, which tells what changed since the one before, and a link to the index that
    it wrote. Trees are made of these when they are needed.
    """

    def __init__(self, checkout: Checkout, folder: str) -> None:
        self._checkout = checkout
        self._folder = folder
        self._turn = 0
        self._fresh_turn = 0
        self._changes: dict[int, list[str] | None] = {}
        self._trees: dict[int, str] = {}
        self._held: Counter[int] = Counter()
        self.users = 0
        """Who holds a picture or waits for one."""

    def take(self) -> Picture:
        """What is there now; to be given to `drop`. Raises GitFailed, and OSError for the folder."""
        if self._turn - self._fresh_turn >= _FRESH_AFTER and self.users <= 1:
            shutil.rmtree(self._folder, ignore_errors=True)
        if not os.path.isdir(self._folder):
            self._furnish()
        head = self._head()
        names = self._look()
        self._turn += 1
        self._changes[self._turn] = names
        with contextlib.suppress(FileNotFoundError):  # there is nothing to add
            # Git writes a new file for every index, so a link is as good as a copy.
            os.link(f"{self._folder}/index", self._index_of(self._turn))
        return Picture(self._turn, head)

    def hold(self, picture: Picture) -> None:
        """One more needs it."""
        self._held[picture.turn] += 1

    def drop(self, picture: Picture) -> None:
        """One less needs it."""
        self._held[picture.turn] -= 1
        if self._held[picture.turn] > 0:
            return
        del self._held[picture.turn]
        self._trees.pop(picture.turn, None)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._index_of(picture.turn))
        oldest = min(self._held, default=self._turn)
        for turn in [turn for turn in self._changes if turn <= oldest]:
            del self._changes[turn]

    def _index_of(self, turn: int) -> str:
        return f"{self._folder}/index-{turn}"

    def _furnish(self) -> None:
        self._fresh_turn = self._turn
        os.makedirs(f"{self._folder}/objects/info", mode=0o700, exist_ok=True)
        with open(f"{self._folder}/objects/info/alternates", "w", errors="surrogateescape") as file:
            file.write(f"{self._checkout.common_dir}/objects\n")
        with contextlib.suppress(FileNotFoundError):  # nothing was ever added
            # With its times: git tells from them which files may have changed while it was written.
            shutil.copy2(f"{self._checkout.git_dir}/index", f"{self._folder}/index")

    def _head(self) -> str:
        """Read off the files where that is plain: every call of git takes some milliseconds of the task's."""
        checkout = self._checkout
        with contextlib.suppress(OSError, UnicodeDecodeError):
            text = Path(checkout.git_dir, "HEAD").read_text().strip()
            if text.startswith("ref: refs/heads/"):
                text = Path(checkout.common_dir, text.removeprefix("ref: ")).read_text().strip()
            if _COMMIT.fullmatch(text):
                return text
        return self._git("rev-parse", "--verify", "--quiet", "HEAD", accept=(0, 1)).text

    def _look(self) -> list[str] | None:
        """What changed since the last look; None when that cannot be read.

        What vanishes while git looks at it makes it fail: that is tried again. What it cannot read is left as
        it was.
        """
        adding = ("add", "--all", "--sparse", "--ignore-errors", "--verbose", "--", ".")
        for left in reversed(range(_TRIES)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._folder}/index.lock")
            try:
                return read_changes(self._git(*_FAST, *adding, accept=(0, 1)))
            except GitFailed as error:
                if not left or isinstance(error, GitTimedOut):
                    raise
        raise AssertionError("the last try returns or raises")

    def compare(
        self, before: Picture, after: Picture, wants_patch: Callable[[tuple[str, ...]], bool] = always
    ) -> Difference:
        """What changed between two pictures, and what was committed meanwhile. Raises GitFailed."""
        names = self._names(before, after)
        if before.head != after.head and after.head:
            names |= dict.fromkeys(self._listed(before.head or _EMPTY_TREE, after.head))
        if not names:
            return Difference()
        files, more_files = bounded(sorted(names))
        if not wants_patch(files):
            return Difference(files, more_files)
        trees = (self._tree(before), self._tree(after))
        return Difference(files, more_files, *patch_of(self._git, *trees))

    def _names(self, before: Picture, after: Picture) -> dict[str, None]:
        """As the looks between told; what changed twice may be as it was, so then the trees are compared."""
        names: dict[str, None] = {}
        for turn in range(before.turn + 1, after.turn + 1):
            changes = self._changes.get(turn)
            if changes is None or not names.keys().isdisjoint(changes):
                return dict.fromkeys(self._listed(self._tree(before), self._tree(after)))
            names |= dict.fromkeys(changes)
        return names

    def _tree(self, picture: Picture) -> str:
        known = self._trees.get(picture.turn)
        if known is None:
            known = self._git(*_FAST, "write-tree", index=self._index_of(picture.turn)).text
            self._trees[picture.turn] = known
        return known

    def _listed(self, before: str, after: str) -> list[str]:
        return split_names(self._git(*_NAMES, before, after).output)

    def _git(
        self,
        *arguments: str,
        accept: tuple[int, ...] = (0,),
        limit_bytes: int = OUTPUT_LIMIT_BYTES,
        index: str = "",
    ) -> Answer:
        objects = f"{self._folder}/objects"
        env = {"GIT_INDEX_FILE": index or f"{self._folder}/index", "GIT_OBJECT_DIRECTORY": objects}
        return self._checkout.git(*arguments, env=env, accept=accept, limit_bytes=limit_bytes)


def read_changes(answer: Answer) -> list[str] | None:
    """The paths that `git add --verbose` tells of; None for what is not plain, such as a name with a line
    break."""
    lines = answer.output.splitlines()
    found = [_CHANGE.fullmatch(line) for line in lines]
    if answer.dropped_bytes or not all(found):
        return None
    return [one[1].decode("utf-8", "backslashreplace").rstrip("/") for one in found if one]


_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_NAMES = ("diff-tree", "-r", "-z", "--name-only", "--no-renames")
_PATCH = ("diff-tree", "-r", "-p", "--binary", "--no-renames", "--no-ext-diff", "--no-textconv")


def difference(checkout: Checkout, before: str, after: str) -> Difference:
    """What two commits of the repository differ by. Raises GitFailed."""
    if before == after:
        return Difference()
    files, more_files = bounded(split_names(checkout.git(*_NAMES, before, after).output))
    return Difference(files, more_files, *patch_of(checkout.git, before, after))


def split_names(output: bytes) -> list[str]:
    """Of a list that git wrote with -z. Bytes that are no UTF-8 are written as escapes."""
    return [name.decode("utf-8", "backslashreplace") for name in output.split(b"\0") if name]


def bounded(names: list[str]) -> tuple[tuple[str, ...], int]:
    """As many as a report may have, and how many are left out."""
    kept: list[str] = []
    size_bytes = 0
    for name in names[:MOST_FILES]:
        size_bytes += len(name.encode("utf-8", "backslashreplace"))
        if size_bytes > MOST_NAMES_BYTES:
            break
        kept.append(name)
    return tuple(kept), len(names) - len(kept)


def patch_of(call: Callable[..., Answer], before: str, after: str) -> tuple[bytes, int]:
    """The patch, cut at the last file that it has as a whole, and how many bytes that leaves out."""
    answer = call(*_PATCH, before, after, limit_bytes=PATCH_LIMIT_BYTES)
    if not answer.dropped_bytes:
        return answer.output, 0
    kept = cut_patch(answer.output)
    return kept, answer.dropped_bytes + len(answer.output) - len(kept)


def cut_patch(patch: bytes) -> bytes:
    """Without the file at its end, which may not be whole; one that is too large alone is cut at a line."""
    end = patch.rfind(b"\ndiff --git ")
    return patch[: end + 1] if end >= 0 else patch[: patch.rfind(b"\n") + 1]
