"""Bringing up the workspace's own coordinator: dial, take the start lock, dial again, start the keeper, wait.

The keeper starts the coordinator; this only starts the keeper and tells what went wrong.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from .detached import python_module, start_detached
from .discovery import COORDINATOR_LOCK, Health, Target, local_target, probe, read_coordinator_file
from .errors import CoordinatorStartError
from .flocks import FileLock, is_held
from .text import output_line
from .workspace import Workspace

START_TIMEOUT_S = 20.0
LOADING_TIMEOUT_S = 600.0
"""How long more a coordinator may take that has begun to load its state: a million tasks take a minute."""
KEEPER_FILE = "keeper.json"
KEEPER_LOCK = "keeper.lock"
KEEPER_LOG = "keeper.log"
COORDINATOR_OUTPUT = "coordinator.out"

_MIN_FREE_BYTES = 5 * 1024 * 1024
"""The database takes 4 MiB for its log when it is opened."""
_MAX_LOG_BYTES = 1024 * 1024
_POLL_INTERVAL_S = 0.03
_RELAUNCH_INTERVAL_S = 0.3
_TAIL_LINES = 15


def start_local(workspace: Workspace, timeout_s: float = START_TIMEOUT_S) -> Target:
    """The workspace's running coordinator, started if need be; waits at most `timeout_s` seconds for it.

    Raises CoordinatorStartError with one line that says why, and the tail of the logs.
    """
    state_dir = workspace.state_dir
    target = answering_target(state_dir)
    if target is not None:
        return target
    deadline_s = time.monotonic() + timeout_s
    try:
        prepare_state_directory(state_dir)
        lock = FileLock(state_dir / "start.lock")
        if not lock.acquire(deadline_s):
            raise _failure(state_dir, f"another process has been starting it for {timeout_s:.0f} s")
    except OSError as error:
        raise _unusable(state_dir, error) from error
    try:
        return answering_target(state_dir) or _launch_and_wait(state_dir, deadline_s, timeout_s)
    except OSError as error:
        raise _unusable(state_dir, error) from error
    finally:
        lock.release()


def answering_target(state_dir: Path, *, serving: bool = False) -> Target | None:
    """The state directory's coordinator if it answers; with `serving` only when it is ready for work."""
    target = local_target(state_dir)
    if target is None or not _has_announced_itself(state_dir):
        return None
    health = probe(target)
    if health == Health.UNREACHABLE or (serving and health != Health.SERVING):
        return None
    return target


def _has_announced_itself(state_dir: Path) -> bool:
    """A coordinator that is there has said where it is."""
    process_id = read_coordinator_file(state_dir).get("pid")
    if not isinstance(process_id, int):
        return False
    # A coordinator in another pid namespace is not seen; it would be another machine's to start.
    return Path(f"/proc/{process_id}").exists() if Path("/proc/self").exists() else True


def prepare_state_directory(state_dir: Path) -> None:
    """Makes the directory, for its owner alone and ignored by git. Raises OSError when that is impossible."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = state_dir / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="ascii")
    free_bytes = _free_bytes(state_dir)
    if free_bytes < _MIN_FREE_BYTES:
        raise OSError(errno.ENOSPC, f"only {free_bytes // 1024} KiB are free on its file system")


def launch_keeper(state_dir: Path) -> subprocess.Popen[bytes]:
    """Starts a keeper, detached. One that finds another at work ends at once with exit code 0."""
    log = state_dir / KEEPER_LOG
    if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
        log.replace(log.with_name(f"{KEEPER_LOG}.1"))
    return start_detached(python_module("buildrunner_parallel.keeper", "--data", str(state_dir)), log)


def _launch_and_wait(state_dir: Path, deadline_s: float, timeout_s: float) -> Target:
    keeper: subprocess.Popen[bytes] | None = None
    launch_at_s = 0.0
    while (late_s := time.monotonic() - deadline_s) < 0 or (
        late_s < LOADING_TIMEOUT_S and _is_loading(state_dir)
    ):
        target = answering_target(state_dir, serving=True)
        if target is not None:
            return target
        code = keeper.poll() if keeper is not None else 0
        if code:
            raise _failure(state_dir, _why_it_failed(state_dir, code))
        if code == 0 and time.monotonic() >= launch_at_s and not is_held(state_dir / KEEPER_LOCK):
            # There is none, or the one before was just leaving and has left without starting anything.
            keeper = launch_keeper(state_dir)
            launch_at_s = time.monotonic() + _RELAUNCH_INTERVAL_S
        time.sleep(_POLL_INTERVAL_S)
    target = answering_target(state_dir)
    if target is not None:
        return target
    raise _failure(state_dir, f"it did not answer within {timeout_s:.0f} s")


def _is_loading(state_dir: Path) -> bool:
    """A coordinator has the state directory to itself, and has not said yet where it is."""
    return not _has_announced_itself(state_dir) and is_held(state_dir / COORDINATOR_LOCK)


def _why_it_failed(state_dir: Path, code: int) -> str:
    told = _told_failure(state_dir)
    if told:
        return told
    if _free_bytes(state_dir) < _MIN_FREE_BYTES:
        # Then neither reason nor log could be written.
        return f"the file system of {state_dir} is full; make room there, then try again"
    return f"its keeper ended with exit code {code}"


def _free_bytes(state_dir: Path) -> int:
    space = os.statvfs(state_dir)
    return space.f_bavail * space.f_frsize


def _told_failure(state_dir: Path) -> str:
    try:
        document: Any = json.loads((state_dir / KEEPER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(document.get("failure") or "") if isinstance(document, dict) else ""


def _failure(state_dir: Path, why: str) -> CoordinatorStartError:
    target = local_target(state_dir)
    return CoordinatorStartError(
        f"the local coordinator could not be started: {output_line(why)}",
        reason="START_FAILED",
        address=target.address if target is not None else "",
        log_tail=log_tail(state_dir),
    )


def _unusable(state_dir: Path, error: OSError) -> CoordinatorStartError:
    text = (error.strerror or str(error)).rstrip(".")
    return CoordinatorStartError(
        f"cannot keep state in {state_dir}: {text}; make room or make it writable there, "
        "or name another directory with BR_STATE_DIR",
        reason="STATE_DIRECTORY",
    )


def log_tail(state_dir: Path) -> str:
    """The last lines that keeper and coordinator wrote, made safe for a terminal."""
    lines: list[str] = []
    for name in (KEEPER_LOG, COORDINATOR_OUTPUT, "coordinator.log"):
        try:
            with (state_dir / name).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            continue
        lines += [f"{name}: {output_line(line)}" for line in text.splitlines()[-_TAIL_LINES:]]
    return "\n".join(lines)
