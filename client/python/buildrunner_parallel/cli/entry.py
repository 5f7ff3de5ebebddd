"""Where the program begins: next to nothing is loaded before this, so that Ctrl+C while the rest is being
loaded ends it with a line instead of a traceback. Nothing else belongs here."""

from __future__ import annotations

import signal
import sys
from importlib import import_module

INTERRUPTED = 130


def main() -> None:
    """`br`."""
    _begin("main")


def main_parallel() -> None:
    """`br-parallel`."""
    _begin("main_parallel")


def _begin(function: str) -> None:
    try:
        run = getattr(import_module(f"{__package__}.app"), function)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if sys.stderr is not None:
            sys.stderr.write("Interrupted.\n")
        sys.exit(INTERRUPTED)
    run()
