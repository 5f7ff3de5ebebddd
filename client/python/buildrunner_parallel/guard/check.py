"""The question of a hook: does a commit touch what somebody else holds? And what is said of the answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from buildrunner_parallel.errors import BuildRunnerError, StaleError

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import LockConflict
    from buildrunner_parallel.specs import PathRequest

BATCH_PATHS = 1000
REACH_S = 3.0
_SHOWN = 10
_TOLD_FOR_S = 60.0

GOES_ON, REFUSED = 0, 1


def in_task() -> bool:
    """This runs within a task, whatever became of it since."""
    return bool(os.environ.get("BR_ATTEMPT_ID") or os.environ.get("BR_TASK_ID"))


class Unasked(Exception):
    """Nobody could be asked; the text says why."""


def conflicts_of(paths: Sequence[str]) -> list[LockConflict]:
    """Who holds what of `paths`, leaving out what whoever runs this holds itself.

    Raises StaleError when that is not theirs any more, Unasked when nobody answers.
    """
    found: list[LockConflict] = []
    with connect() as client:
        requests = [request_of(path) for path in paths]
        try:
            for begin in range(0, len(requests), BATCH_PATHS):
                found += client.preview_locks(requests[begin : begin + BATCH_PATHS])
        except StaleError:
            raise
        except BuildRunnerError as error:
            raise Unasked(str(error)) from None
    return found


def connect() -> Client:
    """The coordinator that is there; none is started for a commit."""
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.workspace import find_workspace

    state = find_workspace(_work_tree()).state_dir
    address = os.environ.get("BR_COORDINATOR") or _address_in(state / "coordinator.json")
    if not address:
        raise Unasked(f"no coordinator has run in {state}")
    token_file = None if os.environ.get("BR_TOKEN") else state / "token"
    try:
        return Client.connect(address, token_file=token_file, start=False, timeout_s=REACH_S)
    except BuildRunnerError as error:
        raise Unasked(str(error)) from None


def _address_in(file: Path) -> str:
    try:
        return str(json.loads(file.read_text())["address"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _work_tree() -> Path:
    """Hooks run in the work tree's root, or in the repository itself."""
    here = Path.cwd()
    return here.parent if here.name == ".git" else here


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


def judge(paths: Sequence[str], *, strict: bool, told: Path | None = None, forget: bool = False) -> int:
    """The exit code of the hook. Within a task whatever keeps the question from being answered refuses.

    `told` remembers for a minute what a person was warned of, so that the second hook of a commit does not
    say it again; with `forget` it is looked at and removed.
    """
    try:
        found = conflicts_of(paths) if paths else []
    except StaleError as error:
        return _refuse(f"{_plain(str(error))} The commit is refused.")
    except Unasked as reason:
        if in_task():
            return _refuse(
                f"the commit is refused, since nobody can tell who holds what: {_plain(str(reason))}"
            )
        return GOES_ON
    held = [one for one in found if not one.queue_position]
    if not held:
        return GOES_ON
    if not (in_task() or strict) and _was_told(told, held, forget=forget):
        return GOES_ON
    for line in lines_of(held):
        print(f"br guard: {line}", file=sys.stderr)
    first = _plain(held[0].asked_path)
    if in_task() or strict:
        return _refuse(f"the commit is refused. See br parallel locks {first}; commit when it is free.")
    print("br guard: the commit goes on; it may be in somebody's way.", file=sys.stderr)
    return GOES_ON


def lines_of(conflicts: Sequence[LockConflict]) -> list[str]:
    from buildrunner_parallel.durations import format_duration

    lines = []
    for one in conflicts[:_SHOWN]:
        holder = one.holder
        who = f"session {holder.session_id} ({_plain(holder.session_name)})"
        if holder.task_id:
            who = f"task {_plain(holder.task_id)} of {who}"
        what = _plain(one.asked_path)
        by = "" if one.held_path == one.asked_path else f" by a lock of {_plain(one.held_path) or './'}"
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


def _refuse(why: str) -> int:
    print(f"br guard: {why}", file=sys.stderr)
    return REFUSED


def _plain(text: str) -> str:
    from buildrunner_parallel.text import one_line

    return one_line(text, 300)
