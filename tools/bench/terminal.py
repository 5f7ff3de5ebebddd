"""Row 6: how long a person waits for the command line, from its start to its end."""

from __future__ import annotations

import subprocess
import sys
import time

from tools.bench.figures import Figure, RowError, median
from tools.bench.rig import Rig, environment
from tools.bench.sizes import Sizes

# What the installed script does, so that nothing need be installed.
PROGRAM = [
    sys.executable,
    "-c",
    "import sys; from buildrunner_parallel.cli.app import main; sys.exit(main())",
]


def measure_command_line(sizes: Sizes) -> list[Figure]:
    with Rig(workers=0) as rig:
        session = rig.client.create_session("shown")
        rig.client.start_session(session.session_id)
        version = [run_once(rig, ["--version"]) for _ in range(sizes.startups)]
        status = [run_once(rig, ["parallel", "status"]) for _ in range(sizes.startups)]
        bare = [run_once(rig, None) for _ in range(sizes.startups)]
    note = f"a bare python -c pass: {median(bare):.0f} ms"
    return [
        Figure("br --version", median(version), "ms", 150, 80, lower=True, note=note),
        Figure("br parallel status", median(status), "ms", 300, 200, lower=True),
    ]


def run_once(rig: Rig, arguments: list[str] | None) -> float:
    """Milliseconds."""
    command = [sys.executable, "-c", "pass"] if arguments is None else [*PROGRAM, *arguments]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=rig.folder, env=environment(), capture_output=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RowError(f"br {' '.join(arguments or ())}: {done.stderr.decode(errors='replace')[-300:]}")
    return seconds * 1000
