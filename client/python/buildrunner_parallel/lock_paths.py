"""What to lock, as the coordinator wants it: paths of this machine become paths from the repository's root.

What exists literally is a file, or a tree when it is a directory, whatever characters its name has. Looks at
the file system for that, and to follow symbolic links; sends nothing.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from .errors import InvalidRequestError
from .specs import PathRequest
from .text import sanitize
from .workspace import Workspace, find_workspace

RESOURCE_PREFIX = "res:"
MAX_PATH_BYTES = 4096
_WILD = re.compile(r"[*?\[{]")
_FORMS = {"path": "auto", "literal": "literal", "glob": "glob"}

PathLike: TypeAlias = "str | os.PathLike[str]"
PathItem: TypeAlias = "PathLike | tuple[PathLike, str] | Mapping[str, PathLike] | PathRequest"


class LockPaths:
    """Paths below one checkout. `directory` is what relative ones are relative to; without a `worktree` it
    is the root. Paths in other checkouts of the repository whose main root is `root` are known as such."""

    def __init__(self, directory: Path, worktree: Path | None, root: Path | None = None) -> None:
        self.directory = os.path.realpath(directory)
        self.worktree = os.path.realpath(worktree) if worktree else self.directory
        self._root = os.path.realpath(root) if root else None
        # Plans have thousands of paths in a few directories.
        self._real_directory = functools.cache(os.path.realpath)

    def whole(self, path: str) -> str:
        """`path` from the file system's root, as it is written."""
        return path if path.startswith("/") else f"{self.directory}/{path}"

    def relative(self, whole: str) -> str | None:
        """The path from the repository's root ("." is the root itself), None for one outside."""
        return _below(self.worktree, whole)

    def request(
        self, path: str, mode: str = "exclusive", form: str = "auto", refusal: str = "cannot lock"
    ) -> PathRequest:
        """`form` is auto, literal (no wildcards) or glob (nothing else). Raises InvalidRequestError, which
        begins with the words of `refusal`, for what is no path, or outside the repository."""
        problem = _problem(path)
        if problem is None:
            made = self._request(path, mode, form)
            if made is not None:
                return made
            problem = (
                f"which is outside the repository {self.worktree}; locks are for paths inside it, or names "
                "such as res:database"
            )
        raise InvalidRequestError(f'{refusal} "{sanitize(path, 200)}", {problem}', reason="INVALID")

    def _request(self, path: str, mode: str, form: str) -> PathRequest | None:
        """None for a path outside the repository."""
        if path.startswith(RESOURCE_PREFIX) and form == "auto":
            return PathRequest(path, mode, "resource")
        whole = self.whole(path)
        wild = form == "glob" or (form == "auto" and _WILD.search(path) is not None)
        if wild and (form == "glob" or not os.path.lexists(whole)):
            pattern = self._pattern(path)
            return None if pattern is None else PathRequest(pattern, mode, "glob")
        inside = self._inside(self._real(whole))
        # Of a name that is too long for the file system Path.is_dir raises.
        is_tree = path.endswith("/") or os.path.isdir(whole)  # noqa: PTH112
        return None if inside is None else PathRequest(inside, mode, "tree" if is_tree else "file")

    def _pattern(self, path: str) -> str | None:
        """The pattern from the root: links in front of its first wildcard followed, and what is not the
        caller's own text taken literally."""
        segments = path.split("/")
        literal = next((i for i, one in enumerate(segments) if _WILD.search(one)), len(segments) - 1)
        parent = "/".join(segments[:literal]) + "/" if literal else ""
        base = self._inside(os.path.realpath(self.whole(parent)))
        if base is None:
            return None
        rest = "/".join(segments[literal:])
        return rest if base == "." else f"{escaped(base)}/{rest}"

    def _real(self, whole: str) -> str:
        """`whole` with all links on the way followed, as realpath does, its directory looked up once."""
        parent, _, name = whole.rstrip("/").rpartition("/")
        if not name or name in (".", "..") or os.path.islink(whole.rstrip("/")):  # noqa: PTH114
            return os.path.realpath(whole)
        return f"{self._real_directory(parent or '/').rstrip('/')}/{name}"

    def _inside(self, whole: str) -> str | None:
        relative = self.relative(whole)
        return self._in_other_checkout(whole) if relative is None else relative

    def _in_other_checkout(self, whole: str) -> str | None:
        """The path from the root of another worktree of the same repository, if it is in one."""
        if self._root is None:
            return None
        there = find_workspace(Path(whole).parent)
        is_same = os.path.realpath(there.root) == self._root
        return _below(os.path.realpath(there.worktree), whole) if is_same else None


def escaped(path: str) -> str:
    """A glob that matches exactly `path`."""
    return _WILD.sub(lambda match: f"[{match.group()}]", path)


def lock_paths(cwd: Path | None, workspace: Workspace | None) -> LockPaths:
    """Paths relative to `cwd` (default: the current directory), in whichever checkout of `workspace` that
    is; without a workspace in that of the directory itself."""
    here = find_workspace(cwd)
    directory = cwd if cwd is not None else Path.cwd()
    if workspace is None or here.root == workspace.root:
        return LockPaths(directory, here.worktree, here.root)
    return LockPaths(directory, workspace.worktree, workspace.root)


def path_items(items: Iterable[PathItem]) -> list[PathItem]:
    """What was given as a list of paths. Raises InvalidRequestError for a lone one: taken apart it would be
    locks for other paths."""
    given: object = items
    if isinstance(given, (str, bytes, os.PathLike, Mapping, PathRequest)):
        raise InvalidRequestError(
            f"the paths to lock must be a list; for one give [{sanitize(repr(items), 200)}]", reason="INVALID"
        )
    return list(items)


def path_request(places: LockPaths, item: PathItem, mode: str = "exclusive") -> PathRequest:
    """What to ask for `item`: a path, (path, mode), a mapping with path, literal or glob and perhaps mode, or
    a PathRequest, which is sent as it is. Raises InvalidRequestError."""
    if isinstance(item, PathRequest):
        return item
    if isinstance(item, Mapping):
        forms = [name for name in _FORMS if name in item]
        if len(forms) != 1 or item.keys() - {*forms, "mode"}:
            raise _no_path("a mapping with one of path, literal and glob, and perhaps mode", item)
        (form,) = forms
        return places.request(_text(item[form]), str(item.get("mode", mode)), _FORMS[form])
    if isinstance(item, tuple):
        path, own_mode = _pair(item)
        return places.request(_text(path), own_mode)
    return places.request(_text(item), mode)


def _pair(pair: tuple[object, ...]) -> tuple[object, str]:
    if len(pair) == 2 and isinstance(pair[1], str):
        return pair[0], pair[1]
    raise _no_path('a pair such as ("src/app.py", "shared")', pair)


def _text(path: object) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise _no_path("a path", path)
    text = os.fspath(path)
    if not isinstance(text, str):
        raise _no_path("a path of text", path)
    return text


def _no_path(expected: str, found: object) -> InvalidRequestError:
    return InvalidRequestError(
        f"expected {expected} to lock, found {sanitize(repr(found), 200)}", reason="INVALID"
    )


def _problem(path: str) -> str | None:
    """Why it can be no path to lock, wherever it is."""
    if not path:
        return 'which is empty; the whole repository is "."'
    if "\0" in path:
        return "which has a NUL, as no path can"
    try:
        size_bytes = len(path.encode())
    except UnicodeEncodeError:
        return "which is not UTF-8; lock its directory instead"
    if size_bytes > MAX_PATH_BYTES:
        return f"which has {size_bytes} bytes, and {MAX_PATH_BYTES} is the most"
    return None


def _below(root: str, whole: str) -> str | None:
    if whole == root:
        return "."
    root = root.rstrip("/") + "/"
    return whole.removeprefix(root) if whole.startswith(root) else None
