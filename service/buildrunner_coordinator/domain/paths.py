"""Path keys: what paths are compared by, and the plain question whether two requests overlap. Lexical only:
symbolic links are the client's to resolve.

A key is a tuple of segments below the repository's root. Files and trees overlap when one key is the
beginning of the other: a tree covers what is below it, and a file cannot have anything below it. A glob
is the set of files that it matches: it overlaps with a tree that one of them lies in, with a file that is
one of them, and with a file below which its literal beginning lies. That some pattern might match something
below a file (`**/*.py` below `notes.md`) is no reason to keep the two apart.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from buildrunner_coordinator.domain import globs
from buildrunner_coordinator.domain.folding_case import fold
from buildrunner_coordinator.domain.glob_text import is_wild
from buildrunner_coordinator.domain.model import LockKind, LockMode, PathRequest
from buildrunner_coordinator.domain.refusals import Reason, Refusal

MAX_PATH_BYTES = 4096
RESOURCE_PREFIX = "res:"

Key = tuple[str, ...]


def normalise(path: str) -> str:
    """The path with "." and ".." folded, in NFC, without a trailing "/"; "" is the root.

    Raises Refusal (INVALID) when it is empty, has a NUL, is too long, absolute, or leaves the root.
    """
    _check_text(path)
    segments: list[str] = []
    for segment in unicodedata.normalize("NFC", path).split("/"):
        if segment in ("", "."):
            continue
        if segment == "..":
            if not segments:
                raise Refusal(
                    Reason.INVALID, f"The path {_shown(path)} leaves the repository. Give one below its root."
                )
            segments.pop()
        else:
            segments.append(segment)
    return "/".join(segments)


def parse_request(path: str, mode: LockMode = LockMode.EXCLUSIVE, kind: str = "auto") -> PathRequest:
    """What somebody wants to lock, normalised. `kind` is "auto" or a LockKind. Raises Refusal (INVALID)."""
    _check_text(path)
    if kind in ("auto", LockKind.RESOURCE) and path.startswith(RESOURCE_PREFIX):
        if path == RESOURCE_PREFIX:
            raise Refusal(Reason.INVALID, "A resource needs a name behind 'res:', such as res:database.")
        return PathRequest(unicodedata.normalize("NFC", path), mode, LockKind.RESOURCE)
    if kind == LockKind.RESOURCE:
        raise Refusal(Reason.INVALID, f"A resource is written res:NAME, found {_shown(path)}.")
    if kind == LockKind.GLOB or (kind == "auto" and (is_wild(path) or path.startswith("!"))):
        return PathRequest(_parse_glob(path), mode, LockKind.GLOB)
    folded = normalise(path)
    if kind != "auto":
        return PathRequest(folded, mode, LockKind(kind))
    is_tree = path.endswith("/") or not folded
    return PathRequest(folded, mode, LockKind.TREE if is_tree else LockKind.FILE)


def _parse_glob(path: str) -> str:
    """The pattern without its leading "./"; folds of ".." stand before its first wildcard only."""
    text = unicodedata.normalize("NFC", path)
    if text.startswith("!"):
        raise Refusal(
            Reason.INVALID,
            f"The pattern {_shown(path)} excludes paths. Name what is to be locked; "
            "literally, if the name begins with '!'.",
        )
    parts = text.split("/")
    wild = next((i for i, part in enumerate(parts) if is_wild(part)), len(parts))
    head = "/".join(parts[:wild])
    begin = normalise(head + "/") if head else ""
    tail = "/".join(parts[wild:])
    folded = f"{begin}/{tail}" if begin and tail else begin or tail
    if not tail and text.endswith("/"):
        folded += "/"
    globs.compiled(folded)
    return folded


@lru_cache(maxsize=1 << 16)
def key_of(request: PathRequest, fold_case: bool = False) -> Key:
    """The segments by which a file, tree or resource is compared; of a glob those of its literal beginning.

    Resources have a first segment that no path can have.
    """
    if request.kind is LockKind.RESOURCE:
        return (RESOURCE_PREFIX + "/", request.path[len(RESOURCE_PREFIX) :])
    if request.kind is LockKind.GLOB:
        return globs.compiled(request.path, fold_case).prefix
    path = fold(request.path) if fold_case else request.path
    return tuple(path.split("/")) if path else ()


def overlaps(a: PathRequest, b: PathRequest, fold_case: bool = False) -> globs.Overlap:
    """Whether the two cover a path in common, whatever their modes."""
    if (a.kind is LockKind.RESOURCE) != (b.kind is LockKind.RESOURCE):
        return globs.Overlap.NO
    if a.kind is LockKind.GLOB and b.kind is LockKind.GLOB:
        return globs.overlap(globs.compiled(a.path, fold_case), globs.compiled(b.path, fold_case))
    if a.kind is LockKind.GLOB or b.kind is LockKind.GLOB:
        glob, other = (a, b) if a.kind is LockKind.GLOB else (b, a)
        pattern = globs.compiled(glob.path, fold_case)
        if not meets(pattern, other.kind, key_of(other, fold_case)):
            return globs.Overlap.NO
        return globs.Overlap.WIDENED if pattern.is_widened else globs.Overlap.YES
    mine, theirs = key_of(a, fold_case), key_of(b, fold_case)
    if a.kind is LockKind.RESOURCE:
        return globs.Overlap.YES if mine == theirs else globs.Overlap.NO
    shorter = min(len(mine), len(theirs))
    return globs.Overlap.YES if mine[:shorter] == theirs[:shorter] else globs.Overlap.NO


def meets(pattern: globs.Pattern, kind: LockKind, key: Key) -> bool:
    """A glob overlaps with the file or tree of that key."""
    return is_met(pattern.walk(key), kind)


def is_met(place: globs.Place | None, kind: LockKind) -> bool:
    """A glob overlaps with the file or tree that leads to this place of it."""
    return place is not None and (place.meets_file or kind is LockKind.TREE)


def covers(request: PathRequest, path: str, fold_case: bool = False) -> bool:
    """A lock of this covers the file of that path (normalised): writing it is within the lock."""
    if request.kind is LockKind.RESOURCE:
        return False
    key = tuple((fold(path) if fold_case else path).split("/"))
    if request.kind is LockKind.GLOB:
        return globs.compiled(request.path, fold_case).matches(key)
    mine = key_of(request, fold_case)
    return key[: len(mine)] == mine


def _check_text(path: str) -> None:
    if not path:
        raise Refusal(Reason.INVALID, "A path is empty. Give one relative to the repository's root.")
    if "\0" in path:
        raise Refusal(Reason.INVALID, f"The path {_shown(path)} has a NUL character.")
    if path.startswith("/"):
        raise Refusal(
            Reason.INVALID,
            f"The path {_shown(path)} is absolute. Give it relative to the repository's root.",
        )
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise Refusal(Reason.INVALID, f"A path is longer than {MAX_PATH_BYTES} bytes: {path[:60]!r}...")


def _shown(path: str) -> str:
    return repr(path) if len(path) <= 200 else repr(path[:200]) + "..."
