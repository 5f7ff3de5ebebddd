"""Reading glob patterns: braces expanded, segments cut, each segment a row of atoms. Pure.

An atom is STAR (any characters, none too) or the set of characters of which one stands there, as sorted
ranges of code points. Nothing that could be read in two ways is accepted: a pattern that locks less than
its writer meant would be worse than a refusal.
"""

from __future__ import annotations

from buildrunner_coordinator.domain.folding_case import folded_ranges
from buildrunner_coordinator.domain.refusals import Reason, Refusal

Ranges = tuple[tuple[int, int], ...]
"""Inclusive, sorted, apart from each other, never with "/"."""
STAR: Ranges = ()
"""As an atom; no set of characters is empty."""
Segment = tuple[Ranges, ...]
ANY_SEGMENTS: Segment = (STAR, STAR)
"""As a segment: `**`, any number of segments, none too. No other segment has two stars in a row."""

MOST_ALTERNATIVES = 256
WILDCARDS = frozenset("*?[{")
_LAST = 0x10FFFF
_SLASH = ord("/")


def expand(pattern: str) -> list[str] | None:
    """The pattern's alternatives without braces; None when there are more than MOST_ALTERNATIVES.

    Raises Refusal (INVALID) for braces that do not close or hold fewer than two alternatives.
    """
    pending, done = [pattern], []
    while pending:
        text = pending.pop()
        group = _first_group(pattern, text)
        if group is None:
            done.append(text)
        else:
            begin, end, parts = group
            pending += [text[:begin] + part + text[end:] for part in reversed(parts)]
        if len(pending) + len(done) > MOST_ALTERNATIVES:
            return None
    return done


def segments(pattern: str, text: str, fold_case: bool) -> tuple[Segment, ...]:
    """The segments of one alternative. Raises Refusal (INVALID)."""
    found: list[Segment] = []
    parts = [part for part in text.split("/") if part not in ("", ".")]
    for part in parts:
        if part == "..":
            raise _malformed(pattern, "'..' stands behind or within a wildcard")
        if part == "**":
            if not found or found[-1] != ANY_SEGMENTS:
                found.append(ANY_SEGMENTS)
        else:
            found.append(_atoms(pattern, part, fold_case))
    if text.endswith("/") and (not found or found[-1] != ANY_SEGMENTS):
        found.append(ANY_SEGMENTS)
    if not found:
        raise _malformed(pattern, "an alternative is empty")
    if found[-1] == ANY_SEGMENTS:
        # Everything below, and not the folder itself.
        found.insert(len(found) - 1, (STAR,))
    return tuple(found)


def literal_of(segment: Segment) -> str | None:
    """The one text that it matches; None if there are several."""
    if any(len(atom) != 1 or atom[0][0] != atom[0][1] for atom in segment):
        return None
    return "".join(chr(atom[0][0]) for atom in segment)


def is_wild(text: str) -> bool:
    """It has a character that may make it a pattern."""
    return not WILDCARDS.isdisjoint(text)


def _first_group(pattern: str, text: str) -> tuple[int, int, list[str]] | None:
    """Where the first braces begin and end, and what they hold."""
    at = 0
    while at < len(text) and text[at] != "{":
        at = _class_end(pattern, text, at) if text[at] == "[" else at + 1
    if at == len(text):
        return None
    begin, depth, parts, part_begin = at, 0, [], at + 1
    while at < len(text):
        char = text[at]
        if char == "[":
            at = _class_end(pattern, text, at)
            continue
        depth += (char == "{") - (char == "}")
        if depth == 0 or (char == "," and depth == 1):
            parts.append(text[part_begin:at])
            part_begin = at + 1
        at += 1
        if depth == 0:
            break
    if depth:
        raise _malformed(pattern, "'{' is not closed")
    if len(parts) < 2:
        raise _malformed(pattern, "braces need two alternatives or more, such as {a,b}")
    return begin, at, parts


def _class_end(pattern: str, text: str, begin: int) -> int:
    """Behind the "]" of the class that begins there. A "]" right at its beginning is one of its members."""
    at = begin + 1
    at += text[at : at + 1] in ("!", "^")
    end = text.find("]", at + 1)
    if end < 0 or "/" in text[begin:end]:
        raise _malformed(pattern, "'[' is not closed")
    return end + 1


def _atoms(pattern: str, part: str, fold_case: bool) -> Segment:
    atoms: list[Ranges] = []
    at = 0
    while at < len(part):
        char = part[at]
        if char == "*":
            if not atoms or atoms[-1] != STAR:
                atoms.append(STAR)
            at += 1
            continue
        end = _class_end(pattern, part, at) if char == "[" else at + 1
        if char == "[":
            ranges = _class(pattern, part[at + 1 : end - 1])
        else:
            ranges = _without_slash([(0, _LAST)]) if char == "?" else ((ord(char), ord(char)),)
        atoms.append(folded_ranges(ranges) if fold_case else ranges)
        at = end
    return tuple(atoms)


def _class(pattern: str, body: str) -> Ranges:
    """The characters of `[body]`."""
    negated = body[:1] in ("!", "^")
    rest = body[1:] if negated else body
    if "[:" in rest or "[." in rest or "[=" in rest:
        raise _malformed(pattern, "names of classes such as [:alpha:] are not known here")
    ranges: list[tuple[int, int]] = []
    at = 0
    while at < len(rest):
        first = last = rest[at]
        if rest[at + 1 : at + 2] == "-" and at + 2 < len(rest):
            last = rest[at + 2]
            at += 2
        if last < first:
            raise _malformed(pattern, f"the range {first}-{last} is the wrong way round")
        ranges.append((ord(first), ord(last)))
        at += 1
    merged = _merged(ranges)
    found = _without_slash(_complement(merged) if negated else merged)
    if not found:
        raise _malformed(pattern, f"[{body}] matches nothing")
    return found


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def _complement(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found, begin = [], 0
    for low, high in ranges:
        if begin < low:
            found.append((begin, low - 1))
        begin = high + 1
    if begin <= _LAST:
        found.append((begin, _LAST))
    return found


def _without_slash(ranges: list[tuple[int, int]]) -> Ranges:
    found: list[tuple[int, int]] = []
    for low, high in ranges:
        if low <= _SLASH <= high:
            found += [(low, _SLASH - 1)] if low < _SLASH else []
            found += [(_SLASH + 1, high)] if high > _SLASH else []
        else:
            found.append((low, high))
    return tuple(found)


def _malformed(pattern: str, what: str) -> Refusal:
    shown = pattern if len(pattern) <= 200 else pattern[:200] + "..."
    return Refusal(
        Reason.INVALID,
        f"The pattern {shown!r} cannot be read: {what}. Mend it, or ask for the path literally.",
        path=shown,
    )
