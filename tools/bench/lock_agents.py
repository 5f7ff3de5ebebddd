"""Rows of twenty agents at work in one repository: without locks, with locks of their own, with one hot file.

An agent is a session whose tasks run one after the other and each add a line to a file of the agent's. What
the locks cost is the ratio; that they do what they are for is counted.
"""

from __future__ import annotations

import subprocess
import time
from typing import NamedTuple

from buildrunner_parallel.specs import PathRequest, TaskSpec
from tools.bench.figures import Figure, RowError, median
from tools.bench.load import await_session
from tools.bench.rig import Rig
from tools.bench.sizes import Sizes

AGENTS = 20
HOT_AGENTS = 4
HOT_FILE = "HOT.md"
# Read, then written: two at a time would lose one.
COUNT_LINE = f"n=$(cat {HOT_FILE}); echo $((n + 1)) > {HOT_FILE}"


class Way(NamedTuple):
    """How the agents work."""

    name: str
    locks: bool = False
    hot: bool = False
    audit: str = "off"


PLAIN = Way("plain")
LOCKED = Way("locked", locks=True)
HOT = Way("hot", locks=True, hot=True)
AUDITED = Way("audited", locks=True, audit="on")


class Waits(NamedTuple):
    """Of those who use the hot file, and of all others."""

    hot: int
    others: int


def measure_agents(sizes: Sizes) -> list[Figure]:
    count = AGENTS * sizes.agent_steps
    with Rig(workers=2, slots=AGENTS // 2) as rig:
        subprocess.run(["git", "init", "--quiet", str(rig.folder)], check=True, stdin=subprocess.DEVNULL)
        prepare(rig)
        run_agents(rig, Way("warm-up", locks=True, audit="on"), 1)
        seconds: dict[Way, list[float]] = {way: [] for way in (PLAIN, LOCKED, HOT, AUDITED)}
        for number in range(sizes.rounds):
            # In turns from both ends, so that a machine that becomes slower does not tell against one way.
            ways = list(seconds) if number % 2 == 0 else list(reversed(seconds))
            for way in ways:
                seconds[way].append(run_agents(rig, way, sizes.agent_steps))
        waits = count_waits(rig)
        check_files(rig, sizes)
    return figures(count, seconds, waits)


def prepare(rig: Rig) -> None:
    for agent in range(AGENTS):
        (rig.folder / "src" / f"agent{agent}").mkdir(parents=True)
    (rig.folder / HOT_FILE).write_text("0\n")


def figures(count: int, seconds: dict[Way, list[float]], waits: Waits) -> list[Figure]:
    plain = seconds[PLAIN]

    def ratio(way: Way) -> float:
        return median([without / those for without, those in zip(plain, seconds[way], strict=True)])

    rates = ", ".join(f"{way.name} {count / median(those):,.0f}/s" for way, those in seconds.items())
    told = f"{waits.hot} waits of the {HOT_AGENTS} who use it, {waits.others} of the others"
    return [
        Figure(f"{AGENTS} agents, locks against no locks", ratio(LOCKED), "x", 0.9, note=rates),
        Figure(f"the same, {HOT_AGENTS} of them share one hot file", ratio(HOT), "x", note=told),
        Figure("the same, disjoint files, and audited", ratio(AUDITED), "x"),
    ]


def run_agents(rig: Rig, way: Way, steps: int) -> float:
    """Seconds from the first submission until the last of the agents is done."""
    client = rig.client
    ids = [client.create_session(f"{way.name}-{agent}").session_id for agent in range(AGENTS)]
    for session_id in ids:
        client.start_session(session_id)
    tasks = [tasks_of(agent, way, steps) for agent in range(AGENTS)]
    began_s = time.perf_counter()
    for session_id, those in zip(ids, tasks, strict=True):
        client.submit_tasks(session_id, those, seal=True, omit_tasks=True)
    for session_id in ids:
        over = await_session(client, session_id, began_s)
        if over.counts.succeeded != steps:
            raise RowError(f"{over.counts.succeeded} of {steps} tasks of {over.name} succeeded")
    return time.perf_counter() - began_s


def tasks_of(agent: int, way: Way, steps: int) -> list[TaskSpec]:
    is_hot = way.hot and agent < HOT_AGENTS
    line = f"echo {way.name} >> src/agent{agent}/notes.md"
    files = [PathRequest(f"src/agent{agent}/"), PathRequest(f"docs/agent{agent}.md")]
    if is_hot:
        line, files = f"{line}; {COUNT_LINE}", [*files, PathRequest(HOT_FILE)]
    return [
        TaskSpec(
            task_id=f"t{step}",
            shell_line=line,
            needs=[f"t{step - 1}"] if step else [],
            files=files if way.locks else [],
            audit=way.audit,
        )
        for step in range(steps)
    ]


def count_waits(rig: Rig) -> Waits:
    """Raises RowError when an agent waited who had no reason to."""
    hot = others = 0
    for one in rig.client.lock_statistics(limit=1000).sessions:
        way, _, agent = one.session_name.rpartition("-")
        if way == HOT.name and int(agent) < HOT_AGENTS:
            hot += one.figures.waits
        else:
            others += one.figures.waits
    if others:
        raise RowError(f"{others} waits of agents whose files nobody else uses")
    return Waits(hot, others)


def check_files(rig: Rig, sizes: Sizes) -> None:
    """Every task left its line, and no count of the hot file was lost."""
    steps = sizes.rounds * sizes.agent_steps
    lines = len((rig.folder / "src" / "agent0" / "notes.md").read_text().splitlines())
    if lines != 4 * steps + 1:
        raise RowError(f"agent 0 has {lines} lines in its file, expected {4 * steps + 1}")
    counted = int((rig.folder / HOT_FILE).read_text())
    if counted != HOT_AGENTS * steps:
        raise RowError(f"the hot file counts {counted}, expected {HOT_AGENTS * steps}")
