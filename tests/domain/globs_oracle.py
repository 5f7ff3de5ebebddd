"""The slow answer about paths and patterns: all strings of a small world are written down and tried.

Shares no code with the product: patterns become regular expressions of Python's own. In this world names
are made of "a" and "b", up to four letters long, up to three of them in a path, or four short ones.
Patterns are kept so small (two letters a name, two names beside `**`) that whatever two of them have in
common shows up in it.
"""

from __future__ import annotations

import itertools
import random
import re
from functools import cache

NAMES = ["".join(letters) for size in (1, 2, 3, 4) for letters in itertools.product("ab", repeat=size)]
SHORT = [name for name in NAMES if len(name) <= 2]
WORLD = [
    "/".join(names)
    for depth, choice in ((1, NAMES), (2, NAMES), (3, NAMES), (4, SHORT))
    for names in itertools.product(choice, repeat=depth)
]


def braces_out(pattern: str) -> list[str]:
    """Every way to read a pattern with braces, innermost group first."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if found is None:
        return [pattern]
    head, tail = pattern[: found.start()], pattern[found.end() :]
    return [whole for part in found[1].split(",") for whole in braces_out(head + part + tail)]


def regex(pattern: str) -> str:
    text = ""
    names = pattern.removesuffix("/").split("/") + (["**"] if pattern.endswith("/") else [])
    for place, name in enumerate(names):
        is_last = place == len(names) - 1
        if name == "**":
            text += "[^/]+(?:/[^/]+)*" if is_last else "(?:[^/]+/)*"
        else:
            name = re.sub(r"\*+", "*", name).replace("[!", "[^").replace("[^", "[^/")
            text += name.replace("*", "[^/]*").replace("?", "[^/]") + ("" if is_last else "/")
    return text


@cache
def members(pattern: str) -> int:
    """The paths of the world that a pattern matches, as a set of bits."""
    matcher = re.compile("|".join(f"(?:{regex(one)})" for one in braces_out(pattern)))
    return sum(1 << place for place, path in enumerate(WORLD) if matcher.fullmatch(path))


@cache
def claimed(path: str) -> int:
    """What a file or tree of that name covers: itself and all that is below."""
    return sum(1 << i for i, one in enumerate(WORLD) if one == path or one.startswith(f"{path}/") or not path)


@cache
def named(path: str) -> int:
    return sum(1 << i for i, one in enumerate(WORLD) if one == path)


def literal_beginning(pattern: str) -> str:
    """The names before the first one with a wildcard."""
    return "/".join(
        itertools.takewhile(lambda name: not set("*?[") & set(name), pattern.rstrip("/").split("/"))
    )


def meet(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Two of (kind, text) have a path in common: kinds are "file", "tree" and "glob"."""
    (kind, text), (other_kind, other_text) = one, other
    if kind == "glob" and other_kind == "glob":
        return bool(members(text) & members(other_text))
    if kind == "glob" or other_kind == "glob":
        glob, path = (text, other_text) if kind == "glob" else (other_text, text)
        path_kind = other_kind if kind == "glob" else kind
        if path_kind == "tree":
            return bool(members(glob) & claimed(path))
        # A file is met by its own name, and by patterns that begin below it.
        begins_below = any(f"{literal_beginning(one)}/".startswith(f"{path}/") for one in braces_out(glob))
        return begins_below or bool(members(glob) & named(path))
    return bool(claimed(text) & claimed(other_text))


def draw(rng: random.Random) -> tuple[str, str]:
    """Some file, tree or glob."""
    roll = rng.random()
    if roll < 0.2:
        return "file", "/".join(rng.choice(SHORT) for _ in range(rng.choice((1, 2))))
    if roll < 0.35:
        return "tree", "/".join(rng.choice(SHORT) for _ in range(rng.choice((0, 1, 2))))
    return "glob", draw_pattern(rng)


def draw_pattern(rng: random.Random) -> str:
    shape = rng.choice(("n", "n", "n/n", "n/n", "n/**", "**/n", "**/n/n", "n/**/n", "**", "n/", "**/**/n"))
    if rng.random() < 0.15:
        return rng.choice(
            ("{a,b}/*", "{a,ab}*", "*{a,bb}", "{a/b,b}", "{a,{b,ab}}/?", "**/{a,b*}", "{a/**,b/*}")
        )
    return re.sub("n", lambda _: _name(rng), shape)


def _name(rng: random.Random) -> str:
    """At most two letters besides stars."""
    letters = [
        rng.choice(("a", "b", "a", "b", "?", "[ab]", "[!a]", "[^a]", "[a-b]"))
        for _ in range(rng.choice((0, 1, 1, 2)))
    ]
    for _ in range(rng.choice((0, 1, 1, 2)) if letters else 1):
        letters.insert(rng.randint(0, len(letters)), "*")
    name = "".join(letters)
    return name if name.strip("*") else "*"
