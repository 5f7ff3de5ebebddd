"""What stands on a terminal while `lock --wait` waits: for whom, and at which place. On standard error, since
standard output may belong to a command."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from buildrunner_parallel.durations import format_duration
from buildrunner_parallel.text import sanitize

from .lock_phrases import is_by_hand, obstacles_phrase, ordinal

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client
    from buildrunner_parallel.records import LockWaiter

    from .invocation import Invocation

FIRST_LOOK_S = 0.3
LOOK_AGAIN_S = 1.0
SHOWN_OBSTACLES = 2


def stderr_is_terminal() -> bool:
    return sys.stderr.isatty()


@contextmanager
def waiting_shown(run: Invocation, client: Client, session_id: str) -> Iterator[None]:
    """Says who is waited for, as long as the block takes. Nothing in a pipe, and nothing if it is quick."""
    if run.settings.quiet or not stderr_is_terminal():
        yield
        return
    over = threading.Event()
    shower = threading.Thread(
        target=_show, args=(client, session_id, over), name="br-lock-waiting", daemon=True
    )
    shower.start()
    try:
        yield
    finally:
        over.set()
        shower.join(LOOK_AGAIN_S)


def _show(client: Client, session_id: str, over: threading.Event) -> None:
    from buildrunner_parallel.errors import BuildRunnerError

    began_s = time.monotonic()
    if over.wait(FIRST_LOOK_S):
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True, highlight=False).status("") as status:
        told = ""
        while not over.is_set():
            waited_s = time.monotonic() - began_s
            try:
                told = waiting_phrase(client.list_locks(session=session_id).waiters, waited_s) or told
            except BuildRunnerError:
                told = "; the coordinator is away"
            status.update(Text(sanitize(f"Waiting for {format_duration(waited_s)}{told}")))
            over.wait(LOOK_AGAIN_S)


def waiting_phrase(waiters: Sequence[LockWaiter], waited_s: float) -> str:
    """Of a session's waiters by hand the one that came when we did; empty when there is none (any more)."""
    by_hand = [one for one in waiters if is_by_hand(one)]
    if not by_hand:
        return ""
    mine = min(by_hand, key=lambda one: abs(one.waited_ms / 1000 - waited_s))
    return f", {ordinal(mine.position)} in the queue: {obstacles_phrase(mine, SHOWN_OBSTACLES)}"
