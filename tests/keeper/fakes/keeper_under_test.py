"""The real keeper with the fake worker."""

from __future__ import annotations

import os

from buildrunner_parallel.keeper import registry
from buildrunner_parallel.keeper.__main__ import main

registry.WORKER_MODULE = "fake_worker"

if __name__ == "__main__":
    os._exit(main())
