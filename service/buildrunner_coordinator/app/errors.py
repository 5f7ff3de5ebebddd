"""Why the coordinator cannot start, or had to end: one line for people, one exit code for programs."""

from __future__ import annotations

import errno

from buildrunner_coordinator.config import EXIT_IO, EXIT_UNUSABLE


class StartError(Exception):
    """The message says what was wrong and what to do."""

    def __init__(self, message: str, exit_code: int = EXIT_UNUSABLE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def start_error(what: str, error: OSError) -> StartError:
    """An error of the system, with what was tried."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
    remedy = "Free some space" if full else "Check that the directory exists and that you may write to it"
    reason = error.strerror or str(error)
    return StartError(f"{what}: {reason}. {remedy}, then start again.", EXIT_IO if full else EXIT_UNUSABLE)
