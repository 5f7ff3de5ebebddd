"""What has happened in a run, and what must never happen: both in the words of the simulation."""

from __future__ import annotations

import hashlib


class SimulationFault(AssertionError):
    """A monitor outside of the core has seen something that must never happen.

    `about` are ids (of a session, task, attempt, worker or path) whose story explains it.
    """

    def __init__(self, what: str, *about: str) -> None:
        super().__init__(what)
        self.about = about


class Trace:
    """Lines of (virtual microseconds, what, details)."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str, tuple[object, ...]]] = []

    def add(self, at_us: int, what: str, *details: object) -> None:
        self.lines.append((at_us, what, details))

    def digest(self) -> str:
        """The same for the same run, and for no other."""
        return hashlib.blake2b(repr(self.lines).encode(), digest_size=16).hexdigest()
