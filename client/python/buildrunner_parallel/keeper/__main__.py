"""`python -m buildrunner_parallel.keeper --data DIR`: takes the keeper's lock and runs until all is done.

Exit codes: 0 done, or another keeper is at work; 1 the state directory cannot be used; 78 the coordinator
cannot be started.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path

from ..flocks import FileLock
from ..starting import KEEPER_LOCK
from .keeper import Keeper

# Others look whether there is a keeper by taking its lock for a moment.
_LOCK_PATIENCE_S = 0.3


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="buildrunner_parallel.keeper", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, help="the state directory to keep")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format=f"%(asctime)s keeper[{os.getpid()}] %(levelname)s %(message)s",
    )
    data = Path(os.path.abspath(options.data))
    lock = FileLock(data / KEEPER_LOCK)
    try:
        if not lock.acquire(time.monotonic() + _LOCK_PATIENCE_S):
            return 0
        return Keeper(data).run()
    except OSError as error:
        logging.error("cannot keep %s: %s", data, error.strerror or error)
        return 1
    finally:
        lock.release()


if __name__ == "__main__":
    # Threads that wait for a coordinator must not keep the process from ending.
    code = main()
    logging.shutdown()
    os._exit(code)
