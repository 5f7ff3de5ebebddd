"""`python -m buildrunner_parallel.compat PROGRAM [ARGUMENT...]`: see program.py."""

from __future__ import annotations

import sys

from .program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
