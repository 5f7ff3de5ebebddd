"""Row 6: how long a person waits for the command line, from its start to its end, and for Tab."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import NamedTuple

from tools.bench.figures import Figure, RowError, median
from tools.bench.load import argv_tasks
from tools.bench.rig import Rig, environment
from tools.bench.sizes import Sizes

# What the installed script does, so that nothing need be installed.
PROGRAM = [
    sys.executable,
    "-c",
    "import sys; from buildrunner_parallel.cli.app import main; sys.exit(main())",
]


class Run(NamedTuple):
    """Something that people type, with the milliseconds that it may take."""

    what: str
    arguments: tuple[str, ...]
    target: float | None = None
    stretch: float | None = None
    completes: bool = False


RUNS = (
    Run("br --version", ("--version",), 150, 80),
    Run("br parallel --help", ("parallel", "--help"), 150, 100),
    Run("br parallel status", ("parallel", "status"), 300, 200),
    Run("br parallel list -s running", ("parallel", "list", "-s", "running")),
    Run("br parallel submit last -- true", ("parallel", "submit", "last", "--", "true")),
    Run("Tab behind br parallel st", ("parallel", "st"), 150, 100, completes=True),
    Run("Tab behind br parallel status", ("parallel", "status", ""), 200, 150, completes=True),
)


def measure_command_line(sizes: Sizes) -> list[Figure]:
    with Rig(workers=0) as rig:
        session = rig.client.create_session("shown")
        rig.client.submit_tasks(session.session_id, argv_tasks(20, ["true"]))
        rig.client.start_session(session.session_id)
        # The first run compiles what is imported, as an installation has done.
        rounds = [time_all(rig) for _ in range(sizes.startups + 1)][1:]
    bare = [times[0] for times in rounds]
    return [figure(run, bare, [times[place] for times in rounds]) for place, run in enumerate(RUNS, 1)]


def time_all(rig: Rig) -> list[float]:
    """Milliseconds of a bare `python -c pass` and of every run, one right after the other."""
    return [time_one(rig, None), *(time_one(rig, run) for run in RUNS)]


def time_one(rig: Rig, run: Run | None) -> float:
    """Milliseconds. Raises RowError for a run that fails, or completes nothing."""
    command = [sys.executable, "-c", "pass"] if run is None else [*PROGRAM, *run.arguments]
    kept = {name: value for name, value in environment().items() if name != "PYTHONDONTWRITEBYTECODE"}
    if run is not None and run.completes:
        kept["_BR_COMPLETE"] = "zsh"
    start = time.perf_counter()
    done = subprocess.run(command, cwd=rig.folder, env=kept, capture_output=True, check=False)
    milliseconds = (time.perf_counter() - start) * 1000
    if run is not None and (done.returncode or not done.stdout.strip()):
        raise RowError(f"{run.what}: {done.stderr.decode(errors='replace')[-300:] or 'nothing came of it'}")
    return milliseconds


def figure(run: Run, bare: list[float], times: list[float]) -> Figure:
    ratio = median([time / alone for time, alone in zip(times, bare, strict=True)])
    note = (
        f"{ratio:.1f} x python -c pass ({median(bare):.0f} ms) right before; the quickest {min(times):.0f} ms"
    )
    return Figure(run.what, median(times), "ms", run.target, run.stretch, lower=True, note=note)
