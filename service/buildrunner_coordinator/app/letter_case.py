"""Whether the checkout that a coordinator belongs to tells names apart by their case."""

from __future__ import annotations

import re
from pathlib import Path

_SECTION = re.compile(r"\s*\[\s*(?P<name>[^\]\s\"]+)")
_IGNORES = re.compile(r"\s*ignorecase\s*(=\s*(true|yes|on|1)\s*)?([#;].*)?$", re.IGNORECASE)


def ignores_case(root: Path, known: Path) -> bool:
    """The file system of `root` does, as its entry `known` shows, or git was told so there."""
    swapped = known.with_name(known.name.swapcase())
    try:
        if swapped.name != known.name and swapped.exists() and swapped.samefile(known):
            return True
        return _says_so((root / ".git" / "config").read_text(errors="replace"))
    except OSError:
        return False


def _says_so(config: str) -> bool:
    """Of git's configuration: the last word of its section `core` counts."""
    section, answer = "", False
    for line in config.splitlines():
        head = _SECTION.match(line)
        if head is not None:
            section = head["name"].lower()
        elif section == "core" and line.strip().lower().startswith("ignorecase"):
            answer = _IGNORES.match(line) is not None
    return answer
