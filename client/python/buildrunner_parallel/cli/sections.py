"""The order in which help and reference list the commands, by what they are about. Data only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

SECTIONS: dict[str, tuple[str, ...]] = {
    "Sessions": (
        "start", "preview", "list", "status", "pause", "resume", "cancel", "close", "wait", "retry",
        "cleanup",
    ),
    "Tasks": ("submit", "tasks", "show", "logs", "explain", "story", "joblog"),
    "Overview": ("dashboard", "summary", "watch"),
    "Path locks": ("lock", "unlock", "locks", "guard"),
    "Workers": ("workers", "worker", "scale", "drain"),
    "Coordinator": ("info", "serve", "stop", "backup"),
    "This program": ("schema", "completion"),
}  # fmt: skip
OTHERS = "Commands"


def in_sections(names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Each section with those of `names` that belong to it; what belongs to none comes last."""
    left = list(names)
    for section, listed in SECTIONS.items():
        if found := [name for name in listed if name in left]:
            yield section, found
        left = [name for name in left if name not in listed]
    if left:
        yield OTHERS, left
