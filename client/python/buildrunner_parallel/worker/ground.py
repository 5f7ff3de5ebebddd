"""Where an attempt runs when that had to be prepared, and what its end needs of it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import worktrees
from .photographer import Photographer
from .pictures import Picture


@dataclass(slots=True)
class Ground:
    """Where an attempt runs and what it finds in its environment beyond that of all; the rest is for its end.

    Without a tree of its own it is audited by pictures; `failure` says why that is not possible.
    """

    directory: str
    environment: dict[str, str] = field(default_factory=dict)
    tree: worktrees.OwnTree | None = None
    owner: worktrees.Owner | None = None
    photographer: Photographer | None = None
    before: Picture | None = None
    failure: str = ""
