"""Questions before what cannot be taken back: on standard error, so that nothing of them gets into a pipe."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import typer

from .invocation import Invocation


def can_ask(run: Invocation) -> bool:
    """Whether a question would be seen and answered by somebody."""
    return sys.stdin.isatty() and sys.stderr.isatty() and not run.settings.as_json


def agreed(run: Invocation, question: str) -> bool:
    """Whether the answer is yes; the end of input (Ctrl+D) is a no. Raises KeyboardInterrupt on Ctrl+C."""
    run.come_back = "Nothing was changed."
    try:
        # Typer writes the last character of its question to standard output, wherever the rest goes.
        with redirect_stdout(sys.stderr):
            answer = typer.confirm(question, err=True)
    except typer.Abort as abort:
        sys.stderr.write("\n")
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        return False
    run.come_back = ""
    return answer
