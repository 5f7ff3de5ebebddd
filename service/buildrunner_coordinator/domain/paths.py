"""Path keys: what a path is compared by. Lexical only; symlinks are the client's to resolve.

A key is a tuple of segments below the repository's root. Two paths overlap when one key is the
beginning of the other: a tree covers what is below it, and a file cannot have anything below it.
"""

from __future__ import annotations

import unicodedata

from buildrunner_coordinator.domain.model import LockKind, LockMode, PathRequest
from buildrunner_coordinator.domain.refusals import Reason, Refusal

MAX_PATH_BYTES = 4096
RESOURCE_PREFIX = "res:"
_WILDCARDS = frozenset("*?[{")


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
                    Reason.INVALID, f"The path {path!r} leaves the repository. Give one below its root."
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
        raise Refusal(Reason.INVALID, f"A resource is written res:NAME, found {path!r}.")
    folded = normalise(path)
    if kind != "auto":
        return PathRequest(folded, mode, LockKind(kind))
    if _WILDCARDS & set(folded):
        return PathRequest(folded, mode, LockKind.GLOB)
    is_tree = path.endswith("/") or not folded
    return PathRequest(folded, mode, LockKind.TREE if is_tree else LockKind.FILE)


def key_of(request: PathRequest) -> tuple[str, ...]:
    """The segments by which a request is compared.

    A glob stands for the tree of its literal beginning: that is more than it matches, never less.
    Resources have a first segment that no path can have.
    """
    if request.kind is LockKind.RESOURCE:
        return (RESOURCE_PREFIX + "/", request.path[len(RESOURCE_PREFIX) :])
    segments = request.path.split("/") if request.path else []
    if request.kind is LockKind.GLOB:
        literal = next((i for i, one in enumerate(segments) if _WILDCARDS & set(one)), len(segments))
        segments = segments[:literal]
    return tuple(segments)


def _check_text(path: str) -> None:
    if not path:
        raise Refusal(Reason.INVALID, "A path is empty. Give one relative to the repository's root.")
    if "\0" in path:
        raise Refusal(Reason.INVALID, f"The path {path!r} has a NUL character.")
    if path.startswith("/"):
        raise Refusal(
            Reason.INVALID, f"The path {path!r} is absolute. Give it relative to the repository's root."
        )
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise Refusal(Reason.INVALID, f"A path is longer than {MAX_PATH_BYTES} bytes: {path[:60]!r}...")


def overlaps(a: PathRequest, b: PathRequest, fold_case: bool = False) -> bool:
    x, y = key_of(a), key_of(b)
    n = min(len(x), len(y))
    return x[:n] == y[:n]
