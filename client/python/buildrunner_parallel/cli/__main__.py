"""`python -m buildrunner_parallel.cli` is the program `br`."""

from __future__ import annotations

from .entry import main

main()
