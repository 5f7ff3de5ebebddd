"""`python tools/bench`: measures this program beside its targets, on real processes. Options are here.

Every row is a function of its own file; what they share is in rig, load, ledger and plain.
"""

from __future__ import annotations

import argparse
import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType

PROJECT = Path(__file__).resolve().parent.parent.parent
# Started by its folder: the modules beside this file are found as tools.bench.*, and the product without
# an installation.
sys.path[:1] = [str(PROJECT), str(PROJECT / "client" / "python"), str(PROJECT / "service")]

from tools.bench.builds import measure_build  # noqa: E402
from tools.bench.commands import measure_commands  # noqa: E402
from tools.bench.dashboard import measure_dashboard  # noqa: E402
from tools.bench.figures import Report  # noqa: E402
from tools.bench.fleet import measure_fleet  # noqa: E402
from tools.bench.guide import measure_guide  # noqa: E402
from tools.bench.latency import measure_latency  # noqa: E402
from tools.bench.locks import measure_locks  # noqa: E402
from tools.bench.memory import measure_memory  # noqa: E402
from tools.bench.peers import measure_peers, table  # noqa: E402
from tools.bench.sizes import Sizes  # noqa: E402
from tools.bench.terminal import measure_command_line  # noqa: E402
from tools.bench.throughput import measure_credit_one, measure_throughput  # noqa: E402

ROWS = {
    "noop": measure_throughput,
    "credit1": measure_credit_one,
    "true": measure_commands,
    "latency": measure_latency,
    "memory": measure_memory,
    "fleet": measure_fleet,
    "cli": measure_command_line,
    "build": measure_build,
    "peers": measure_peers,
    "locks": measure_locks,
    "dashboard": measure_dashboard,
    "guide": measure_guide,
}


def main() -> int:
    """0, or 1 when a row could not be measured or its counts were wrong. Missed targets are no failure."""
    arguments = parse()
    signal.signal(signal.SIGTERM, end_in_order)
    sizes = Sizes.quick() if arguments.quick else Sizes.usual(arguments.seconds, arguments.rounds)
    sizes = sizes._replace(profile=arguments.profile, queued=arguments.queued or sizes.queued)
    report = Report()
    try:
        for name in arguments.names or arguments.rows:
            report.run(name, partial(ROWS[name], sizes))
    except KeyboardInterrupt:
        print("bench: interrupted; what was started has been ended", file=sys.stderr)
        return 130
    finally:
        report.finish(arguments.json)
    print("\npeers, measured on another day on a machine of this kind (xargs -P2 true: 1,900/s there):")
    print("\n".join(table()))
    return 1 if report.failures else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tools/bench", description="Measures throughput, latency and memory beside the targets."
    )
    add = parser.add_argument
    add(
        "names", type=row_name, nargs="*", metavar="ROW", help=f"{', '.join(ROWS)}; all unless some are named"
    )
    add("--quick", action="store_true", help="small sizes, one round: under a minute, and less exact")
    add("--rows", type=row_names, default=list(ROWS), metavar="A,B", help="the same in one word")
    add("--seconds", type=float, default=2.0, metavar="S", help="how long a round takes at the target")
    add("--rounds", type=int, default=3, metavar="N", help="rounds of which the median is taken")
    add("--queued", type=int, metavar="N", help="tasks of the memory row, up to a million or more")
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    add(
        "--profile",
        choices=("coordinator", "worker", "client"),
        metavar="WHO",
        help="sample coordinator, worker or client in the rows of tasks, and print where its time goes",
    )
    return parser.parse_args()


def row_names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if not names:
        raise argparse.ArgumentTypeError(f"nothing is none of {', '.join(ROWS)}")
    return [row_name(name) for name in names]


def row_name(name: str) -> str:
    if name not in ROWS:
        raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(ROWS)}")
    return name


def end_in_order(_number: int, _frame: FrameType | None) -> None:
    """So that a SIGTERM leaves no process behind either."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
