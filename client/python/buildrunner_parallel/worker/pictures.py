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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .git_calls import OUTPUT_LIMIT_BYTES, Answer, Checkout, GitFailed

MOST_FILES = 10_000
MOST_NAMES_BYTES = 1 << 20
PATCH_LIMIT_BYTES = 1 << 20
_COMMIT = re.compile("[0-9a-f]{40}(?:[0-9a-f]{24})?")
_TRIES = 3
_FRESH_AFTER = 200
_FAST = ("-c", "core.looseCompression=0", "-c", "core.fsync=none", "-c", "core.splitIndex=false")


@dataclass(frozen=True, slots=True)
class Picture:
    """`head` is the commit that was checked out, empty before the first one."""

    tree: str
    head: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Paths from the root, "/" between, in git's order; renames as both of their ends."""

    files: tuple[str, ...] = ()
    more_files: int = 0
    patch: bytes = b""
    patch_dropped_bytes: int = 0


class Studio:
    """Takes and compares pictures of one checkout; one call at a time. `folder` is its own."""

    def __init__(self, checkout: Checkout, folder: str) -> None:
        self._checkout = checkout
        self._folder = folder
        self._taken = 0
        self._tree = ""
        self._tree_of: tuple[int, ...] = ()
        self.users = 0
        """Who holds a picture that is still to be compared."""

    def take(self) -> Picture:
        """What is there now. Raises GitFailed, and OSError when the folder cannot be written."""
        if self._taken >= _FRESH_AFTER and not self.users:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._taken, self._tree = 0, ""
        if not self._taken:
            self._furnish()
        self._taken += 1
        head = self._head()
        self._look()
        return Picture(self._write_tree(), head)

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

    def _write_tree(self) -> str:
        """The tree of the index; the one before when git has not written another index since."""
        if not self._tree or self._stamp() != self._tree_of:
            self._tree = self._git(*_FAST, "write-tree").text
            self._tree_of = self._stamp()
        return self._tree

    def _stamp(self) -> tuple[int, ...]:
        try:
            found = os.stat(f"{self._folder}/index")
        except FileNotFoundError:  # there is nothing to add
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _furnish(self) -> None:
        os.makedirs(f"{self._folder}/objects/info", mode=0o700, exist_ok=True)
        objects = self._checkout.git("rev-parse", "--path-format=absolute", "--git-path", "objects").text
        with open(f"{self._folder}/objects/info/alternates", "w", errors="surrogateescape") as file:
            file.write(objects + "\n")
        index = self._checkout.git("rev-parse", "--path-format=absolute", "--git-path", "index").text
        with contextlib.suppress(FileNotFoundError):  # nothing was ever added
            # With its times: git tells from them which files may have changed while it was written.
            shutil.copy2(index, f"{self._folder}/index")

    def _look(self) -> None:
        """What vanishes while git looks at it makes it fail: that is tried again. What it cannot read is left
        as it was."""
        for left in reversed(range(_TRIES)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._folder}/index.lock")
            try:
                self._git(*_FAST, "add", "--all", "--sparse", "--ignore-errors", "--", ".", accept=(0, 1))
            except GitFailed:
                if not left:
                    raise
            else:
                return

    def _git(
        self, *arguments: str, accept: tuple[int, ...] = (0,), limit_bytes: int = OUTPUT_LIMIT_BYTES
    ) -> Answer:
        env = {"GIT_INDEX_FILE": f"{self._folder}/index", "GIT_OBJECT_DIRECTORY": f"{self._folder}/objects"}
        return self._checkout.git(*arguments, env=env, accept=accept, limit_bytes=limit_bytes)

    def compare(self, before: Picture, after: Picture) -> Difference:
        """What changed between two pictures, and what was committed meanwhile. Raises GitFailed."""
        names = dict.fromkeys(self._names(before.tree, after.tree))
        if before.head != after.head and after.head:
            names |= dict.fromkeys(self._names(before.head or _EMPTY_TREE, after.head))
        files, more_files = bounded(list(names))
        if before.tree == after.tree:
            return Difference(files, more_files)
        return Difference(files, more_files, *patch_of(self._git, before.tree, after.tree))

    def _names(self, before: str, after: str) -> list[str]:
        return split_names(self._git(*_NAMES, before, after).output)


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
