"""Row 3: `true` as a task, against xargs in the same run; through a shell; and with a line of output each."""

from __future__ import annotations

from typing import NamedTuple

from tools.bench.figures import Figure, median
from tools.bench.ledger import check_counts, read_counts
from tools.bench.load import argv_tasks, run_session, shell_tasks
from tools.bench.plain import xargs_seconds
from tools.bench.rig import Rig
from tools.bench.sizes import Sizes

LINE = "one line of output"


class Round(NamedTuple):
    """Seconds that each way took."""

    xargs: float
    argv: float
    shell: float
    printing: float


def measure_commands(sizes: Sizes) -> list[Figure]:
    count = sizes.commands
    with Rig(profile=sizes.profile) as rig:
        run_session(rig.client, "warm-up", argv_tasks(20, ["true"]))
        rounds, printing = [], []
        for _ in range(sizes.rounds):
            one, session_id = run_round(rig, count)
            rounds.append(one)
            printing.append(session_id)
        rig.end()
        check_counts(read_counts(rig.database, printing), count * sizes.rounds, output_bytes(sizes))
        check_counts(read_counts(rig.database), 20 + 3 * count * sizes.rounds, output_bytes(sizes))
    return figures(count, rounds)


def run_round(rig: Rig, count: int) -> tuple[Round, str]:
    """All ways, one right after the other, so that the machine is the same for each."""
    xargs = xargs_seconds(["true"], [str(number) for number in range(count)])
    argv = run_session(rig.client, "argv", argv_tasks(count, ["true"])).seconds
    shell = run_session(rig.client, "shell", shell_tasks(count, "true")).seconds
    printing = run_session(rig.client, "printing", argv_tasks(count, ["echo", LINE]))
    return Round(xargs, argv, shell, printing.seconds), printing.session_id


def output_bytes(sizes: Sizes) -> int:
    return sizes.commands * sizes.rounds * (len(LINE) + 1)


def figures(count: int, rounds: list[Round]) -> list[Figure]:
    ratio = median([one.xargs / one.argv for one in rounds])
    printed = median([one.xargs / one.printing for one in rounds])
    through_shell = (
        f"{median([one.xargs / one.shell for one in rounds]):.2f} x xargs -P2 true in the same run"
    )
    rates = f"ours {count / median([one.argv for one in rounds]):,.0f}/s"
    rates += f", xargs -P2 -n1 {count / median([one.xargs for one in rounds]):,.0f}/s, alternating"
    return [
        Figure("true as argv, against xargs -P2", ratio, "x", 1.0, 1.1, note=rates),
        Figure(
            "true through a shell line",
            count / median([one.shell for one in rounds]),
            "/s",
            900,
            1_000,
            note=through_shell,
        ),
        Figure("echo of a line, kept, against xargs true", printed, "x"),
    ]
