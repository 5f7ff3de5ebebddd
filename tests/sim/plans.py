"""What simulated tasks are: drawn once at submission, known to the worker by a number in the spec."""

from __future__ import annotations

import random
from typing import NamedTuple

from buildrunner_coordinator.domain.commands import NewTask
from buildrunner_coordinator.domain.model import LockKind, LockMode, Outcome, PathRequest, TaskKind, Traits
from tests.sim.schedule import MS, SECOND

PATHS = (
    "src",
    "src/a",
    "src/a/x.py",
    "src/b.py",
    "docs",
    "out",
    "out/log",
    "src/**/*.py",
    "**/*g",
    "docs/*.md",
)
LABELS = ("gpu", "linux")
HANDLER = "shard"


class RunPlan(NamedTuple):
    """How one attempt will go on whatever worker has it."""

    duration_us: int
    outcome: Outcome
    worker_fault: bool
    output_sizes: tuple[int, ...]
    stubborn: bool
    """It ignores SIGTERM."""


class TaskPlan(NamedTuple):
    number: int
    task: NewTask
    seed: int

    def run(self, attempt: int) -> RunPlan:
        rng = random.Random(self.seed * 1009 + attempt)
        roll = rng.random()
        outcome, fault = Outcome.SUCCEEDED, False
        if roll < 0.10:
            outcome = Outcome.FAILED
        elif roll < 0.13:
            outcome = Outcome.TIMED_OUT
        elif roll < 0.16:
            outcome, fault = Outcome.NOT_STARTED, rng.random() < 0.6
        sizes = tuple(rng.randrange(1, 40) for _ in range(rng.choice((0, 0, 1, 1, 3))))
        return RunPlan(_duration_us(rng), outcome, fault, sizes, rng.random() < 0.2)


class PlanBook:
    """All tasks that were ever drawn."""

    def __init__(self) -> None:
        self._plans: list[TaskPlan] = []

    def by_spec(self, spec: bytes) -> TaskPlan:
        return self._plans[int(spec)]

    def draw(self, rng: random.Random, prefix: str, count: int, workers: list[str]) -> tuple[NewTask, ...]:
        """`count` tasks, of which later ones may need earlier ones."""
        tasks: list[NewTask] = []
        for index in range(count):
            earlier = [one.task_id for one in tasks[-4:]]
            needs = tuple(one for one in earlier if rng.random() < 0.25)
            number = len(self._plans)
            task = NewTask(f"{prefix}-{index}", f"task {number}", b"%d" % number,
                           _traits(rng, workers), needs, _files(rng))  # fmt: skip
            tasks.append(task)
            self._plans.append(TaskPlan(number, task, rng.getrandbits(40)))
        return tuple(tasks)


def _traits(rng: random.Random, workers: list[str]) -> Traits:
    kind = TaskKind.HANDLER if rng.random() < 0.2 else TaskKind.COMMAND
    wanted = rng.choice(workers) if workers and rng.random() < 0.03 else ""
    return Traits(
        kind,
        HANDLER if kind is TaskKind.HANDLER else "",
        (rng.choice(LABELS),) if rng.random() < 0.15 else (),
        wanted,
        slots=rng.choice((1, 1, 1, 1, 2, 3)),
        priority=rng.choice((0, 0, 0, 5)),
        max_retries=rng.choice((0, 0, 1, 2)),
        backoff_ms=rng.choice((100, 1000, 5000)),
    )


def _files(rng: random.Random) -> tuple[PathRequest, ...]:
    return () if rng.random() < 0.5 else draw_paths(rng)


def draw_paths(rng: random.Random) -> tuple[PathRequest, ...]:
    """One to three, of all kinds."""
    chosen = rng.sample(PATHS, rng.choice((1, 1, 2, 3)))
    return tuple(_request(rng, path) for path in chosen)


def _request(rng: random.Random, path: str) -> PathRequest:
    mode = LockMode.SHARED if rng.random() < 0.4 else LockMode.EXCLUSIVE
    if path == "out":
        return PathRequest("res:out", mode, LockKind.RESOURCE)
    if "*" in path:
        return PathRequest(path, mode, LockKind.GLOB)
    return PathRequest(path, mode, LockKind.FILE if "." in path else LockKind.TREE)


def _duration_us(rng: random.Random) -> int:
    roll = rng.random()
    if roll < 0.4:
        return rng.randrange(5 * MS, 500 * MS)
    return rng.randrange(500 * MS, 8 * SECOND) if roll < 0.9 else rng.randrange(8 * SECOND, 60 * SECOND)
