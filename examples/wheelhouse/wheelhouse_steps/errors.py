"""The one error of the steps: what was wrong, in words for the user. `command` prints it and exits with 1."""

from __future__ import annotations


class StepError(Exception):
    """A step cannot do what it should. The message says what was wrong and, where known, what to do."""
