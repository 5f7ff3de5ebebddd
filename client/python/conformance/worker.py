"""The Python worker, as the conformance kit starts it: `[--slots N] [--label L]... [--session ID]`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from buildrunner_parallel.discovery import locate
from buildrunner_parallel.errors import BuildRunnerError
from buildrunner_parallel.worker.__main__ import run_worker
from buildrunner_parallel.worker.options import WorkerOptions


def main() -> int:
    """The worker's exit code; 1 where no coordinator can be found."""
    parser = argparse.ArgumentParser(description="The Python worker under test.")
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("--session", default="")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        target = locate()
    except BuildRunnerError as error:
        print(error, file=sys.stderr)
        return 1
    return run_worker(
        WorkerOptions(
            coordinator=target.address,
            token=target.token,
            slots=given.slots,
            labels=given.label,
            session_id=given.session,
            handler_modules=["conformance_handlers"],
            import_path=[str(Path(__file__).parent), *sys.path],
        )
    )


if __name__ == "__main__":
    sys.exit(main())
