"""What the values of each parameter are, by its name, or by command and name where these differ.

A test holds this to the commands: each of their parameters is here, is a switch, or has words of its own.
"""

from __future__ import annotations

from enum import Enum, auto


class Kind(Enum):
    SESSION = auto()
    SESSION_OR_WORKER = auto()
    TASK = auto()
    WORKER = auto()
    LOCK = auto()
    GRANT = auto()
    HELD_PATH = auto()
    SCHEMA = auto()
    FILE = auto()
    DIRECTORY = auto()
    COMMAND = auto()
    """A program and its arguments, behind `--`."""
    FREE = auto()
    """Whatever the user likes."""


Words = dict[str, str]
"""Each with what it means."""

_POLICIES = {
    "continue": "run all the others",
    "finish-running": "start nothing more",
    "stop-now": "stop what runs too",
}
_AUDITS = {
    "auto": "where its paths are locked and git can tell",
    "on": "compare what changed with --file",
    "off": "do not look",
}
_ISOLATION = {"worktree": "a git worktree and branch of its own", "none": "in the checkout"}

_FREE = (
    "coordinator", "name", "tasks", "workers", "max_parallel", "env", "timeout", "grace", "retries",
    "priority", "labels", "slots", "pass_env", "limit", "tail", "attempt", "since", "handler", "handlers",
    "wait", "lease", "fence", "reason", "days", "duration", "refresh", "wanted", "extra", "listen",
    # The id of a task that is only being made.
    "submit task_id",
)  # fmt: skip
_FILES = ("plan", "commands", "arguments", "payload", "file", "files", "path", "token_file", "lock words")

KINDS: dict[str, Kind | Words] = {
    **dict.fromkeys(_FREE, Kind.FREE),
    **dict.fromkeys(_FILES, Kind.FILE),
    **dict.fromkeys(("cwd", "data"), Kind.DIRECTORY),
    **dict.fromkeys(("session_id", "session"), Kind.SESSION),
    **dict.fromkeys(("task_id", "task_ids", "task", "needs"), Kind.TASK),
    **dict.fromkeys(("worker", "worker_ids"), Kind.WORKER),
    "what": Kind.SESSION_OR_WORKER,
    "schema name": Kind.SCHEMA,
    "force": Kind.LOCK,
    "grant_id": Kind.GRANT,
    "paths": Kind.HELD_PATH,
    "words": Kind.COMMAND,
    "on_failure": _POLICIES,
    "audit": _AUDITS,
    "isolate": _ISOLATION,
}

_ALIVE = ("created", "running", "paused")
# The states of sessions that a command is for; all of them where nothing is said.
SESSIONS_FOR = {
    "pause": ("running",),
    "resume": ("paused", "created"),
    "cancel": _ALIVE,
    "close": _ALIVE,
    "submit": _ALIVE,
    "lock": _ALIVE,
    "scale": _ALIVE,
    "worker": _ALIVE,
}
TASKS_FOR = {
    "retry": ("failed", "skipped", "cancelled"),
    "cancel": ("blocked", "queued", "assigned", "running"),
}


def kind_of(path: list[str], parameter: str) -> Kind | Words:
    """What a parameter of the command at `path` takes."""
    return KINDS.get(f"{path[-1]} {parameter}" if path else parameter) or KINDS.get(parameter, Kind.FREE)
