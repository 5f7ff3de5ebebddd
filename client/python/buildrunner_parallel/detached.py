"""Starting processes that outlive their starter: own session, no inherited descriptors, a clean environment.

Used for the keeper and by the keeper. Never forks with a hook of ours, so it is safe beside gRPC's threads.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

# What a task or a caller was told about itself; a coordinator or worker that inherited it would take
# itself for that task, and be cleaned up with it.
_PRIVATE_VARIABLES = (
    "BR_ATTEMPT", "BR_ATTEMPT_ID", "BR_COORDINATOR", "BR_ERROR_FILE", "BR_FENCE", "BR_LOCK_FENCE",
    "BR_LOCK_GRANT_ID", "BR_LOCK_SESSION_ID", "BR_RESULT_FILE", "BR_SESSION_ID", "BR_SESSION_NAME", "BR_SLOT",
    "BR_STATE_DIR", "BR_TASK_ID", "BR_TOKEN", "BR_TOKEN_FILE", "BR_WORKER_ID",
)  # fmt: skip
_PACKAGES = ("buildrunner_parallel", "buildrunner_coordinator")

# A started process is kept here so that it is not reported as forgotten when its starter moves on.
_started: list[subprocess.Popen[bytes]] = []


@atexit.register
def _leave_them_running() -> None:
    """They outlive this interpreter by design, which must not warn of it (`python -W error`)."""
    for process in _started:
        process.returncode = 0 if process.returncode is None else process.returncode


def import_roots() -> list[str]:
    """Directories that a child needs on its path to find our packages; none when they are installed."""
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    roots: list[str] = []
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin:
            root = str(Path(spec.origin).resolve().parent.parent)
            if root not in installed and root not in roots:
                roots.append(root)
    return roots


def child_environment(
    additions: Mapping[str, str] | None = None, import_from: Sequence[str] = ()
) -> dict[str, str]:
    """This process's environment without what was meant for it alone, with our packages importable, and
    what lies in the directories of `import_from`."""
    environment = {name: value for name, value in os.environ.items() if name not in _PRIVATE_VARIABLES}
    given = [os.path.abspath(entry) for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    path = list(dict.fromkeys([*given, *import_roots(), *import_from]))
    if path:
        environment["PYTHONPATH"] = os.pathsep.join(path)
    environment.update(additions or {})
    return environment


def python_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours with this interpreter, whatever the working directory holds."""
    return [sys.executable, "-P", "-m", module, *arguments]


def start_detached(
    argv: Sequence[str],
    log: Path,
    *,
    additions: Mapping[str, str] | None = None,
    import_from: Sequence[str] = (),
    truncate: bool = False,
) -> subprocess.Popen[bytes]:
    """Starts `argv` in its own session, in /, with stdout and stderr going to `log`.

    Raises OSError when the log cannot be opened or the program cannot be started.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if truncate else 0) | os.O_APPEND
    descriptor = os.open(log, flags, 0o600)
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd="/",
            env=child_environment(additions, import_from),
            start_new_session=True,
            close_fds=True,
        )
    finally:
        os.close(descriptor)
    _started[:] = [earlier for earlier in _started if earlier.poll() is None]
    _started.append(process)
    return process
