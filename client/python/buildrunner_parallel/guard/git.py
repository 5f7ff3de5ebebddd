"""Running git: its answers as bytes, its complaints as one line."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from buildrunner_parallel.errors import RefusedError
from buildrunner_parallel.text import one_line

TIMEOUT_S = 30.0


def git(*arguments: str, cwd: Path | None = None, input_bytes: bytes | None = None) -> bytes:
    """What it prints. Raises RefusedError with its own last words when it fails, or is not there."""
    done = run(arguments, cwd, input_bytes)
    if done.returncode != 0:
        said = one_line(done.stderr.decode(errors="replace").strip(), 300) or f"exit code {done.returncode}"
        raise RefusedError(f"git {arguments[0]} failed: {said}")
    return done.stdout


def answers(*arguments: str, cwd: Path | None = None) -> bytes | None:
    """What it prints; None when it fails, as it does to say no."""
    done = run(arguments, cwd, None)
    return done.stdout if done.returncode == 0 else None


def path_of(*arguments: str, cwd: Path | None = None) -> Path:
    """The path that it prints. Raises RefusedError."""
    return Path(os.fsdecode(git(*arguments, cwd=cwd).removesuffix(b"\n")))


def repository_root(cwd: Path | None = None) -> Path:
    """Where the state of this repository's workspace is kept, wherever git was called from: as workspace.py
    has it, and as the hooks' shell finds it. Raises RefusedError outside of a repository."""
    common = path_of("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=cwd)
    if common.name == ".git":
        return common.parent
    if path_of("rev-parse", "--absolute-git-dir", cwd=cwd) == common:
        top = answers("rev-parse", "--show-toplevel", cwd=cwd)
        if top is not None:
            return Path(os.fsdecode(top.removesuffix(b"\n")))
    return common


def run(
    arguments: Sequence[str], cwd: Path | None, input_bytes: bytes | None
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", *arguments], cwd=cwd, input=input_bytes if input_bytes is not None else b"",
            capture_output=True, timeout=TIMEOUT_S, check=False,
            # What a commit is, not what somebody wants to see in its place.
            env=os.environ | {"GIT_NO_REPLACE_OBJECTS": "1"},
        )  # fmt: skip
    except FileNotFoundError:
        raise RefusedError("git was not found; install it, or put it on the PATH") from None
    except subprocess.TimeoutExpired:
        raise RefusedError(f"git {arguments[0]} took longer than {TIMEOUT_S:.0f} s") from None
