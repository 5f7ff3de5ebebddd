"""The process that holds the database: it takes calls from its coordinator in order, and answers each.

It has no life of its own: it ends when its coordinator closes the channel, be it by dying. What has
not arrived in full by then is never committed. It ignores the signals that end a coordinator, so
that a Ctrl-C in a terminal cannot take the database from under the coordinator's last commits.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any

from buildrunner_coordinator.store.base import CommitError, StoreError
from buildrunner_coordinator.store.database import Database
from buildrunner_coordinator.store.reads import Part
from buildrunner_coordinator.store.snapshots import no_collections
from buildrunner_coordinator.store.wire import changes_from_plain, pack, receive

DONE = "done"
FAILED = "failed"
PART = "part"
READS = frozenset((
    "read_tasks", "read_task", "read_output", "read_attempts", "read_events", "read_worker_ids", "read_patch",
    "read_lock_times",
))  # fmt: skip


def answer(database: Database, verb: str, arguments: tuple[Any, ...], on_part: Callable[[Part], None]) -> Any:
    """Carries out one call, in plain values. Raises StoreError."""
    match verb:
        case "commit":
            epoch, changes = arguments
            return database.commit(epoch, changes_from_plain(changes))
        case "open":
            meta = database.open(*arguments)
            with no_collections():
                for part in database.snapshot_parts():
                    on_part(part)
            return tuple(meta)
        case _ if verb in READS:
            return getattr(database, verb)(*arguments)
        case "backup":
            return database.backup(Path(arguments[0]))
        case "close":
            return database.close()
    raise AssertionError(f"no such call: {verb}")


def serve(channel: socket.socket, database: Database) -> None:
    """Answers until the channel ends or a commit fails."""
    source = BufferedReader(channel.makefile("rb", buffering=0), 1 << 20)
    while (message := receive(source)) is not None:
        verb, arguments = message
        try:
            result = answer(database, verb, arguments, lambda part: channel.sendall(pack((PART, part))))
        except StoreError as error:
            channel.sendall(pack((FAILED, (type(error).__name__, str(error)))))
            if isinstance(error, CommitError):
                return
        else:
            channel.sendall(pack((DONE, result)))
        database.checkpoint()
        while database.has_leavings and _is_quiet(channel, source):
            database.tidy()


def _is_quiet(channel: socket.socket, source: BufferedReader[Any]) -> bool:
    """No call has come, nor the end of the channel."""
    channel.setblocking(False)
    try:
        return not source.peek(1) and not select.select([channel], [], [], 0)[0]
    finally:
        channel.setblocking(True)


def main() -> int:
    """Arguments: the descriptor of the inherited channel, the path of the database."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    descriptor, path = sys.argv[1:]
    database = Database(Path(path))
    try:
        with socket.socket(fileno=int(descriptor)) as channel:
            serve(channel, database)
        database.close()
    except ConnectionError:
        database.close()  # the coordinator is gone: nobody waits for the answer
    except StoreError as error:
        print(f"store writer {os.getpid()}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
