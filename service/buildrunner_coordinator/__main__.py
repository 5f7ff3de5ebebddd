"""`python -m buildrunner_coordinator`: the command line, then the coordinator."""

from __future__ import annotations

import os
import sys

from buildrunner_coordinator.config import parse


def main() -> int:
    """The process's exit code: see `config`."""
    config = parse()
    # gRPC reads it once, at import; what it has to say is said by us, in one line.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Only now: whoever mistypes an option must not wait for gRPC.
    from buildrunner_coordinator.app.main import run

    return run(config)


if __name__ == "__main__":
    sys.exit(main())
