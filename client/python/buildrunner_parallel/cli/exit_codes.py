"""What the program's exit codes mean; the numbers are part of the interface and stand in `--help`."""

from __future__ import annotations

DONE = 0
REFUSED = 1
USAGE = 2
UNREACHABLE = 3
NOT_FOUND = 4
CONFLICT = 5
FAILED = 6
CANCELLED = 7
TIMED_OUT = 124
INTERRUPTED = 130

MEANINGS = {
    DONE: "done",
    REFUSED: "refused or failed",
    USAGE: "wrong usage",
    UNREACHABLE: "coordinator unreachable",
    NOT_FOUND: "not found",
    CONFLICT: "conflict over locks",
    FAILED: "the awaited session or task failed",
    CANCELLED: "the awaited session was cancelled",
    TIMED_OUT: "a --timeout of the command itself ran out",
    INTERRUPTED: "interrupted",
}

EPILOG = "Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in MEANINGS.items()) + "."

_OF_SESSION = {"completed": DONE, "failed": FAILED, "cancelled": CANCELLED}
_OF_TASK = {"succeeded": DONE, "failed": FAILED, "skipped": FAILED, "cancelled": CANCELLED}


def of_session(status: str) -> int:
    """The exit code for an awaited session that ended as `status`."""
    return _OF_SESSION.get(status, REFUSED)


def of_task(status: str) -> int:
    """The exit code for an awaited task that ended as `status`."""
    return _OF_TASK.get(status, REFUSED)
