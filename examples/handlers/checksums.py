#!/usr/bin/env python3
"""Checksums of all files below a folder, computed by handlers in worker processes of this program."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from buildrunner_parallel import Client, Payload, TaskSpec
from buildrunner_parallel.worker import EmbeddedWorker, HandlerContext, handler

PIECE_BYTES = 1 << 20


@handler("checksum")
def checksum(context: HandlerContext, path: str) -> str | None:
    """SHA-256 of one file; gives up between two pieces when it is asked to end."""
    digest, size_bytes, done_bytes = hashlib.sha256(), Path(path).stat().st_size, 0
    with Path(path).open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            if context.cancelled:
                return None
            digest.update(piece)
            done_bytes += len(piece)
            context.progress(100 * done_bytes / max(size_bytes, 1), path)
    return digest.hexdigest()


def tasks(folder: Path) -> Iterator[TaskSpec]:
    """One for each file, tried once more when it cannot be read."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for number, path in enumerate(files):
        payload = Payload(json.dumps({"path": str(path)}).encode(), "application/json")
        metadata = {"path": str(path.relative_to(folder))}
        yield TaskSpec(
            task_id=f"file-{number}", handler="checksum", payload=payload, retries=1, metadata=metadata
        )


def main() -> int:
    """Prints a line for each file as sha256sum does; 1 when some could not be read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--slots", type=int, default=2, help="files at a time")
    arguments = parser.parse_args()
    with EmbeddedWorker(slots=arguments.slots), Client.connect() as client:
        found = list(tasks(arguments.folder.resolve()))
        session, _ = client.submit_plan(found, create={"name": f"checksums of {arguments.folder}"})
        client.wait_session(session.session_id)
        failed = 0
        for task in found:
            last = client.get_task(session.session_id, task.task_id).attempts[-1]
            failed += last.result is None
            digest = last.result.data.decode() if last.result else f"({last.error})"
            print(f"{digest}  {task.metadata['path']}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
