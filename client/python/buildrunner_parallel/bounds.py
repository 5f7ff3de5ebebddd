"""Bounds of numbers that the coordinator has too. Looked at here first, so wrong usage is told as such."""

from __future__ import annotations

MOST_WORKERS = 1000
"""Worker processes of one pool."""
MOST_SLOTS = 1024
"""Of a worker, and so of a task."""
MOST_CREDIT = 100_000
"""Attempts that a worker holds at once."""
MOST_COUNT = 2**31 - 1
"""Of what has no other bound: what fits into the message that carries it."""
MOST_REVISION = 2**63 - 1
