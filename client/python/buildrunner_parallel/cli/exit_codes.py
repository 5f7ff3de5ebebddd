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

# What the codes of single commands mean beyond that, where a script would care.
OF_COMMAND: dict[str, dict[str, str]] = {
    "start": {
        "0": "it runs; with --wait or --watch: it completed",
        "6": "with --wait or --watch: it failed",
        "7": "with --wait or --watch: it was cancelled",
        "130": "interrupted; a session that has begun goes on",
    },
    "dashboard": {"0": "left with q, or --duration is over", "130": "left with Ctrl+C"},
    "wait": {
        "0": "it completed or succeeded",
        "6": "it failed or was skipped",
        "7": "it was cancelled",
        "124": "--timeout ran out; it goes on",
        "130": "interrupted; it goes on",
    },
    "retry": {
        "0": "it runs again, or nothing had failed; with --wait: it completed",
        "1": "refused: a task succeeded, or the session was cancelled",
        "5": "locks that the session needs again are held by others",
        "6": "with --wait: it failed again",
        "7": "with --wait: it was cancelled",
    },
    "resume": {"0": "it runs", "5": "locks that it gave up are held by others"},
    "cancel": {
        "0": "it is cancelled, or is being",
        "1": "the question was answered with no",
        "2": "there is no terminal to ask on, and no --force",
    },
    "cleanup": {
        "0": "deleted, or there was nothing to delete",
        "1": "the question was answered with no",
        "2": "there is no terminal to ask on, and neither --yes nor --dry-run",
    },
    "show": {"0": "shown", "4": "no such task; with --result or --patch: it has none"},
    "lock": {
        "0": "the paths are held; with CMD: the code is CMD's own",
        "5": "they are held by others, also after --wait; or the lock was lost",
        "126, 127": "CMD cannot be run, or was not found",
        "128+N": "signal N ended CMD",
    },
    "unlock": {
        "0": "given back, or the session held nothing itself",
        "4": "no such lock, or the path is not held",
        "5": "the grant is gone, or --fence is not its fence",
    },
    "scale": {"0": "ordered; with --wait: done", "124": "--timeout ran out; the order stands"},
    "drain": {"0": "told; with --wait: they have left", "124": "--timeout ran out; they still leave"},
    "stop": {"0": "stopped, or nothing ran", "124": "it was told to stop, and still runs"},
    "worker": {
        "0": "it was drained, or its session is over",
        "1": "it was refused, or its handlers do not load",
        "3": "nobody answered for 10 minutes",
    },
    "serve": {
        "0": "ended on request, or idle",
        "70": "a fault of the program; coordinator.log has the traceback",
        "74": "the disk is full or failing",
        "75": "another coordinator has the state",
        "78": "the state cannot be used: newer, damaged, read-only",
    },
    "guard install": {
        "0": "installed",
        "1": "a hook is not ours to change",
        "4": "this is no git repository",
    },
}

_OF_SESSION = {"completed": DONE, "failed": FAILED, "cancelled": CANCELLED}
_OF_TASK = {"succeeded": DONE, "failed": FAILED, "skipped": FAILED, "cancelled": CANCELLED}


def of_session(status: str) -> int:
    """The exit code for an awaited session that ended as `status`."""
    return _OF_SESSION.get(status, REFUSED)


def of_task(status: str) -> int:
    """The exit code for an awaited task that ended as `status`."""
    return _OF_TASK.get(status, REFUSED)
