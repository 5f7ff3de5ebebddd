"""Git as the worker calls it: without hooks or prompts, not for ever, and never in the task's way.

Blocks: to be called on threads. What a call found wrong is a GitFailed of one line.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 60.0
OUTPUT_LIMIT_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 16
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "core.filesRefLockTimeout=10000",
    "core.packedRefsTimeout=10000",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.addEmbeddedRepo=false",
    "commit.gpgSign=false",
)
_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "BuildRunner parallel",
    "GIT_AUTHOR_EMAIL": "buildrunner-parallel@localhost",
    "GIT_COMMITTER_NAME": "BuildRunner parallel",
    "GIT_COMMITTER_EMAIL": "buildrunner-parallel@localhost",
}


class GitFailed(Exception):
    """Git could not do it; the text is one line that says what was tried and what git said."""


class GitTimedOut(GitFailed):
    """It took too long, and most likely would again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call printed, `output` up to its limit, and the bytes that were left out behind it."""

    code: int
    output: bytes
    dropped_bytes: int = 0

    @property
    def text(self) -> str:
        """Without the line break at the end."""
        return os.fsdecode(self.output).rstrip("\n")


@dataclass(frozen=True, slots=True)
class Checkout:
    """One worktree of a repository: its root, its own git directory and the one that all worktrees share."""

    top: str
    git_dir: str
    common_dir: str

    @property
    def is_there(self) -> bool:
        """Whether it still has its git directory."""
        return os.path.isdir(self.git_dir)

    def git(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        accept: Iterable[int] = (0,),
        limit_bytes: int = OUTPUT_LIMIT_BYTES,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        """As `git`, for exactly this worktree, whatever has become of its `.git` file."""
        call = (f"--git-dir={self.git_dir}", f"--work-tree={self.top}", *arguments)
        return git(self.top, *call, env=env, accept=accept, limit_bytes=limit_bytes, timeout_s=timeout_s)


def git(
    directory: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    accept: Iterable[int] = (0,),
    limit_bytes: int = OUTPUT_LIMIT_BYTES,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """Runs git in `directory`; raises GitFailed for an exit code other than those accepted, or no git."""
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    what = next((one for one in arguments if not one.startswith("-")), "git")
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        process = subprocess.Popen(
            ["git", *settings, *arguments],
            cwd=directory,
            env=own | _ENVIRONMENT | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError:
        missing = "the directory is not there" if not os.path.isdir(directory) else "git is not on PATH"
        raise GitFailed(f"git {what} in {directory}: {missing}") from None
    except OSError as error:
        raise GitFailed(f"git {what} in {directory}: {os.strerror(error.errno or 0)}") from None
    return _finish(process, what, directory, set(accept), limit_bytes, timeout_s)


def _finish(
    process: subprocess.Popen[bytes],
    what: str,
    directory: str,
    accept: set[int],
    limit_bytes: int,
    timeout_s: float,
) -> Answer:
    late = threading.Event()
    clock = threading.Timer(timeout_s, _give_up, (process, late))
    clock.daemon = True
    clock.start()
    words: list[bytes] = []
    listener = threading.Thread(target=_listen, args=(process, words), daemon=True)
    listener.start()
    try:
        output, dropped_bytes = _read(process, limit_bytes)
        listener.join()
        code = process.wait()
    finally:
        clock.cancel()
    if late.is_set():
        raise GitTimedOut(f"git {what} in {directory} took longer than {timeout_s:g} s")
    if code not in accept:
        raise GitFailed(f"git {what} in {directory}: {_last_word(b''.join(words), code)}")
    return Answer(code, output, dropped_bytes)


def _read(process: subprocess.Popen[bytes], limit_bytes: int) -> tuple[bytes, int]:
    assert process.stdout is not None
    parts: list[bytes] = []
    kept_bytes = dropped_bytes = 0
    with process.stdout as pipe:
        while data := pipe.read(_CHUNK_BYTES):
            kept = data[: limit_bytes - kept_bytes]
            parts.append(kept)
            kept_bytes += len(kept)
            dropped_bytes += len(data) - len(kept)
    return b"".join(parts), dropped_bytes


def _listen(process: subprocess.Popen[bytes], words: list[bytes]) -> None:
    assert process.stderr is not None
    with process.stderr as pipe:
        while data := pipe.read(_CHUNK_BYTES):
            words[:] = [*words, data][-4:]


def _give_up(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _last_word(text: bytes, code: int) -> str:
    lines = [line.strip() for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "")
    return told.removeprefix("fatal: ").removeprefix("error: ") or f"exit code {code}"


def is_in_git(directory: str) -> bool:
    """Whether a `.git` stands in `directory` or above. Runs nothing."""
    start = Path(os.path.abspath(directory))
    return any((one / ".git").exists() for one in (start, *start.parents))


def find_checkout(directory: str) -> Checkout:
    """The worktree that `directory` is in; raises GitFailed when it is in none, as in a bare repository."""
    asked = ("--show-toplevel", "--absolute-git-dir", "--git-common-dir")
    lines = git(directory, "rev-parse", "--path-format=absolute", *asked).text.split("\n")
    if len(lines) != len(asked):
        raise GitFailed(f"git rev-parse in {directory}: a path of the repository has a line break")
    return Checkout(*lines)
