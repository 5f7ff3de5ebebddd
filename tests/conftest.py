"""What holds for all tests: hypothesis repeats its examples, and a slow machine is no failure."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("project", deadline=None, derandomize=True, database=None)
settings.load_profile("project")
