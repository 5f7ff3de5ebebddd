"""Rows of twenty agents at work in one repository: without locks, with locks of their own, with one hot file.

An agent is a session whose tasks each add a line to a file of the agent's: one after the other, as an agent
works, or all as soon as there is room ("loose"), which asks more of the locks: tasks that have none are sent
to a worker before there is a slot for them, so that it never waits. What the locks cost is the ratio; that
they do what they are for is counted.
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
    loose: bool = False
    audit: str = "off"


PLAIN = Way("plain")
LOCKED = Way("locked", locks=True)
LOOSE = Way("loose plain", loose=True)
LOOSE_LOCKED = Way("loose locked", locks=True, loose=True)
HOT = Way("hot", locks=True, hot=True)
AUDITED = Way("audited", locks=True, audit="on")
WAYS = (PLAIN, LOCKED, LOOSE, LOOSE_LOCKED, HOT, AUDITED)


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
        seconds: dict[Way, list[float]] = {way: [] for way in WAYS}
        for number in range(sizes.rounds):
            # In turns from both ends, so that a machine that becomes slower does not tell against one way.
            for way in WAYS if number % 2 == 0 else reversed(WAYS):
                seconds[way].append(run_agents(rig, way, sizes.agent_steps))
        waits = count_waits(rig)
        check_files(rig, sizes)
    return figures(count, seconds, waits)


def prepare(rig: Rig) -> None:
    for agent in range(AGENTS):
        (rig.folder / "src" / f"agent{agent}").mkdir(parents=True)
    (rig.folder / HOT_FILE).write_text("0\n")


def figures(count: int, seconds: dict[Way, list[float]], waits: Waits) -> list[Figure]:
    def ratio(way: Way, base: Way = PLAIN) -> float:
        return median([a / b for a, b in zip(seconds[base], seconds[way], strict=True)])

    def rates(*ways: Way) -> str:
        return ", ".join(f"{way.name} {count / median(seconds[way]):,.0f}/s" for way in ways)

    told = f"{waits.hot} waits of the {HOT_AGENTS} who use it, {waits.others} of the others"
    return [
        Figure(
            f"{AGENTS} agents, locks against no locks", ratio(LOCKED), "x", 0.9, note=rates(PLAIN, LOCKED)
        ),
        Figure(
            "the same, all tasks as soon as they can",
            ratio(LOOSE_LOCKED, LOOSE),
            "x",
            0.9,
            note=rates(LOOSE, LOOSE_LOCKED),
        ),
        Figure(
            f"the same, {HOT_AGENTS} of them share one hot file",
            ratio(HOT),
            "x",
            note=f"{rates(HOT)}; {told}",
        ),
        Figure("the same, disjoint files, and audited", ratio(AUDITED), "x", note=rates(AUDITED)),
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
    return [task_of(agent, way, step) for step in range(steps)]


def task_of(agent: int, way: Way, step: int) -> TaskSpec:
    folder = f"src/agent{agent}"
    notes = f"{folder}/notes{step if way.loose else ''}.md"
    line = f"echo {step} >> {notes}"
    files = [PathRequest(notes if way.loose else f"{folder}/"), PathRequest(f"docs/agent{agent}-{step}.md")]
    if way.hot and agent < HOT_AGENTS:
        line, files = f"{line}; {COUNT_LINE}", [*files, PathRequest(HOT_FILE)]
    return TaskSpec(
        task_id=f"t{step}",
        shell_line=line,
        needs=[f"t{step - 1}"] if step and not way.loose else [],
        files=files if way.locks else [],
        audit=way.audit,
    )


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
    notes = (rig.folder / "src" / "agent0").glob("notes*.md")
    lines, expected = sum(len(one.read_text().splitlines()) for one in notes), len(WAYS) * steps + 1
    if lines != expected:
        raise RowError(f"agent 0 has {lines} lines in its files, expected {expected}")
    counted = int((rig.folder / HOT_FILE).read_text())
    if counted != HOT_AGENTS * steps:
        raise RowError(f"the hot file counts {counted}, expected {HOT_AGENTS * steps}")
