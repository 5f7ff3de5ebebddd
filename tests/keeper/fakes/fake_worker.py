"""A worker that registers itself as a file and runs one task: a process in a session of its own."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("--coordinator", "--token-file", "--slots", "--session", "--directory", "--metadata"):
        parser.add_argument(name, default="")
    parser.add_argument("--label", action="append")
    parser.add_argument("--handlers", action="append")
    parser.add_argument("--state-dir", type=Path, required=True)
    options = parser.parse_args()
    if (options.state_dir / "workers_fail").exists():
        return 1
    worker_id = f"{os.getpid():08x}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BR_KEEPER")}
    task = subprocess.Popen(["sleep", "600"], env=kept | {"BR_WORKER_ID": worker_id}, start_new_session=True)
    registered = options.state_dir / "registered"
    registered.mkdir(exist_ok=True)
    document = {
        "worker_id": worker_id,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "session_id": options.session,
        "slots": int(options.slots or 1),
    }
    partial = registered / f"{worker_id}.new"
    partial.write_text(json.dumps(document))
    partial.replace(registered / f"{worker_id}.json")
    signal.sigwait([signal.SIGTERM])
    task.kill()
    task.wait()
    (registered / f"{worker_id}.json").unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    # Blocked from the start, so that none is lost before it is waited for.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    sys.exit(main())
