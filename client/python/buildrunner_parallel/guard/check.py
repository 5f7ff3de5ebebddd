"""The question of a hook: does a commit touch what somebody else holds? And what is said of the answer."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from buildrunner_parallel.errors import BuildRunnerError, StaleError

from . import script
from .git import repository_root

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import LockConflict
    from buildrunner_parallel.specs import PathRequest

    from .changes import Touched

BATCH_PATHS = 1000
REACH_S = 3.0
_SHOWN = 10
_TOLD_FOR_S = 60.0
_SOMETHING = ".git"
TOLD = "br-guard-told"
"""The file beside HEAD with what a person was warned of."""

GOES_ON, REFUSED = 0, script.REFUSED


def in_task() -> bool:
    """This runs within a task, whatever became of it since."""
    return bool(os.environ.get("BR_ATTEMPT_ID") or os.environ.get("BR_TASK_ID"))


class Unasked(Exception):
    """Nobody could be asked; the text says why. `is_silent`: a coordinator is there, and does not answer."""

    def __init__(self, why: str, *, is_silent: bool = False) -> None:
        super().__init__(why)
        self.is_silent = is_silent


def conflicts_of(paths: Sequence[str]) -> list[LockConflict]:
    """Who holds what of `paths`, leaving out what whoever runs this holds itself. Without paths only whether
    they may commit at all.

    Raises StaleError when that is not theirs any more, Unasked when nobody answers.
    """
    found: list[LockConflict] = []
    with connect() as client:
        requests = [request_of(path) for path in paths]
        try:
            if not requests:
                client.preview_locks([request_of(_SOMETHING)])
            for begin in range(0, len(requests), BATCH_PATHS):
                found += client.preview_locks(requests[begin : begin + BATCH_PATHS])
        except StaleError:
            raise
        except BuildRunnerError as error:
            raise Unasked(str(error), is_silent=True) from None
    return found


def _must_know_itself() -> None:
    """A task that cannot say which attempt it is would be taken for nobody, whose fence is never stale."""
    fence = os.environ.get("BR_FENCE", "")
    if in_task() and not (os.environ.get("BR_ATTEMPT_ID") and fence.isascii() and fence.isdigit()):
        why = "a task's environment has BR_ATTEMPT_ID and BR_FENCE, and this one has not both"
        raise Unasked(why, is_silent=True)


def connect() -> Client:
    """The coordinator that is there; none is started for a commit."""
    from buildrunner_parallel.discovery import read_coordinator_file

    _must_know_itself()
    root = repository_root()
    state = Path(os.environ.get("BR_STATE_DIR") or root / ".buildrunner")
    address = os.environ.get("BR_COORDINATOR") or str(read_coordinator_file(state).get("address") or "")
    if not address:
        raise Unasked(f"no coordinator has run in {state}")
    if not in_task() and not _listens(address):
        raise Unasked(f"no coordinator listens at {address}")
    from buildrunner_parallel.client import Client

    try:
        return Client.connect(address, cwd=root, start=False, timeout_s=REACH_S)
    except BuildRunnerError as error:
        raise Unasked(str(error), is_silent=True) from None


def _listens(address: str) -> bool:
    """False only where nobody can be: after a crash the file with the address stays behind, and people
    should not wait for that. Tasks do, a coordinator that crashed is soon back."""
    import socket

    try:
        if address.startswith("unix:"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(REACH_S)
                probe.connect(address.removeprefix("unix:"))
        else:
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except (OSError, ValueError):
        return True  # whoever is there does not answer, which the call itself finds out
    return True


def request_of(path: str) -> PathRequest:
    """The file itself; for a name that is not UTF-8, which no lock can have, the folder that it is in."""
    from buildrunner_parallel.specs import PathRequest

    try:
        path.encode()
    except UnicodeEncodeError:
        parent = path.rpartition("/")[0]
        while parent and not _is_utf8(parent):
            parent = parent.rpartition("/")[0]
        return PathRequest(parent or ".", kind="tree")
    return PathRequest(path, kind="file")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def judge(touched: Touched, *, strict: bool, told: Path | None = None, forget: bool = False) -> int:
    """What the hook's Python ends with: GOES_ON or REFUSED. Within a task whatever keeps the question from
    being answered refuses.

    `told` remembers for a minute what a person was warned of, so that the second hook of a commit does not
    say it again; with `forget` it is looked at and removed.
    """
    if not (touched.paths or (touched.is_commit and in_task())):
        return GOES_ON
    try:
        found = conflicts_of(touched.paths)
    except StaleError as error:
        return _end(_plain(str(error)).rstrip("."), strict=strict)
    except Unasked as reason:
        if not (in_task() or reason.is_silent):
            return GOES_ON
        return _end(f"nobody can tell who holds what: {_plain(str(reason)).rstrip('.')}", strict=strict)
    held = [one for one in found if not one.queue_position]
    if not held:
        return GOES_ON
    if not (in_task() or strict) and _was_told(told, held, forget=forget):
        return GOES_ON
    for line in lines_of(held):
        _say(line)
    if in_task() or strict:
        first = shlex.quote(_plain(held[0].asked_path) or ".")
        _say(f"the commit is refused. See br parallel locks {first}; commit when it is free.")
        return REFUSED
    _say("the commit goes on; it may be in somebody's way.")
    return GOES_ON


def lines_of(conflicts: Sequence[LockConflict]) -> list[str]:
    from buildrunner_parallel.durations import format_duration

    lines = []
    for one in conflicts[:_SHOWN]:
        holder = one.holder
        who = f"session {holder.session_id} ({_plain(holder.session_name)})"
        if holder.task_id:
            who = f"task {_plain(holder.task_id)} of {who}"
        what, held = _plain(one.asked_path) or "./", _plain(one.held_path)
        if one.held_kind.value == "tree":
            held += "/"
        by = "" if one.held_path == one.asked_path else f" by a lock of {held}"
        lines.append(f"{what} is held by {who}{by} for {format_duration(one.held_ms / 1000)}")
    if len(conflicts) > _SHOWN:
        lines.append(f"and {len(conflicts) - _SHOWN} more")
    return lines


def _was_told(file: Path | None, held: Sequence[LockConflict], *, forget: bool) -> bool:
    """With `forget`: just these were warned of a moment ago. Else they are from now on."""
    import time

    if file is None:
        return False
    key = json.dumps(sorted({(one.asked_path, one.lock_id) for one in held}))
    try:
        if not forget:
            file.write_text(key)
            return False
        was_told = file.read_text() == key and time.time() - file.stat().st_mtime < _TOLD_FOR_S
        file.unlink()
        return was_told
    except OSError:
        return False  # a warning that comes twice is no harm


def _end(why: str, *, strict: bool) -> int:
    """When there is no answer: tasks stop, and people who wanted it so."""
    is_refused = in_task() or strict
    _say(f"{why}. The commit {'is refused' if is_refused else 'goes on unguarded'}.")
    return REFUSED if is_refused else GOES_ON


def _say(text: str) -> None:
    print(f"br guard: {text}", file=sys.stderr)


def _plain(text: str) -> str:
    from buildrunner_parallel.text import one_line

    return one_line(text, 300)
