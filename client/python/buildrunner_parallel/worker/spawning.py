"""Starting one process: program lookup, pipes, and a clear reason when it cannot be started.

Used by the single-threaded supervisor only: the working directory is that of the whole process while it
spawns.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FIRST_INHERITED_FD = 3
_LOWEST_SAFE_FD = 10
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_RESET_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM)

NOT_FOUND = "not_found"
NOT_PERMITTED = "not_permitted"
NOT_EXECUTABLE = "not_executable"
TOO_BIG = "too_big"
BAD_DIRECTORY = "bad_directory"
INVALID = "invalid"
RESOURCES = "resources"
LEASE = "lease"
STOPPING = "stopping"

_KINDS = {
    errno.ENOENT: NOT_FOUND,
    errno.ENOTDIR: NOT_FOUND,
    errno.EACCES: NOT_PERMITTED,
    errno.EPERM: NOT_PERMITTED,
    errno.E2BIG: TOO_BIG,
    errno.ENOEXEC: NOT_EXECUTABLE,
    errno.ELOOP: NOT_FOUND,
    errno.ENAMETOOLONG: INVALID,
}


class SpawnFailure(Exception):
    """A process could not be started; `kind` is one of this module's constants, the text is one line."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(slots=True)
class Spawned:
    """A started process and the reading ends of its two output pipes."""

    pid: int
    stdout_fd: int
    stderr_fd: int


def out_of_the_way(fd: int) -> int:
    """Moves `fd` above the numbers that children inherit, so that no dup2 overwrites another."""
    if fd >= _LOWEST_SAFE_FD:
        return fd
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _LOWEST_SAFE_FD)
    os.close(fd)
    return moved


def find_program(name: str, search_path: str) -> str:
    """The file that `name` stands for: itself when it has a slash, else the first match on the path.

    Raises SpawnFailure when nothing on the path matches. Relative entries count from the present directory.
    """
    if "/" in name:
        return name
    for folder in search_path.split(":"):
        candidate = f"{folder or '.'}/{name}"
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
    raise SpawnFailure(NOT_FOUND, f"program not found: {name!r} is not on PATH ({search_path})")


def enter_directory(path: str) -> None:
    """Makes `path` the working directory of what is spawned next; raises SpawnFailure."""
    try:
        os.chdir(path)
    except ValueError as error:
        raise SpawnFailure(INVALID, f"working directory {path!r}: {error}") from None
    except OSError as error:
        raise SpawnFailure(
            BAD_DIRECTORY, f"working directory {path!r}: {os.strerror(error.errno or 0)}"
        ) from None


def spawn(
    argv: list[str], env: Mapping[str, str], cwd: str, null_fd: int, inherited: Sequence[int] = ()
) -> Spawned:
    """Starts `argv` in its own session, stdin empty, stdout and stderr as pipes; raises SpawnFailure.

    `inherited` descriptors appear in the child as 3, 4, ... and must be above 9 here.
    """
    enter_directory(cwd)
    if not argv or not argv[0]:
        raise SpawnFailure(INVALID, "the command is empty")
    program = find_program(argv[0], env.get("PATH", _DEFAULT_PATH))
    fds: list[int] = []
    try:
        fds += os.pipe2(os.O_CLOEXEC)
        fds += os.pipe2(os.O_CLOEXEC)
        os.set_blocking(fds[0], False)
        os.set_blocking(fds[2], False)
        actions = [(os.POSIX_SPAWN_DUP2, null_fd, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, fds[1], 1), (os.POSIX_SPAWN_DUP2, fds[3], 2)]
        actions += [(os.POSIX_SPAWN_DUP2, fd, FIRST_INHERITED_FD + i) for i, fd in enumerate(inherited)]
        pid = os.posix_spawn(
            program, argv, env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=_RESET_SIGNALS
        )
    except (OSError, ValueError) as error:
        for fd in fds:
            os.close(fd)
        raise _failure(program, error) from None
    os.close(fds[1])
    os.close(fds[3])
    return Spawned(pid, fds[0], fds[2])


def _failure(program: str, error: OSError | ValueError) -> SpawnFailure:
    if not isinstance(error, OSError):
        return SpawnFailure(INVALID, f"cannot start {program!r}: {error}")
    kind = _KINDS.get(error.errno or 0, RESOURCES)
    if kind == NOT_FOUND and os.path.exists(program):
        return SpawnFailure(NOT_EXECUTABLE, f"cannot start {program!r}: the interpreter it names is missing")
    if kind == NOT_FOUND:
        return SpawnFailure(kind, f"program not found: {program!r}")
    if kind == NOT_PERMITTED:
        return SpawnFailure(kind, f"not permitted to execute {program!r}")
    if kind == TOO_BIG:
        return SpawnFailure(kind, f"cannot start {program!r}: arguments and environment are too large")
    return SpawnFailure(kind, f"cannot start {program!r}: {os.strerror(error.errno or 0)}")
