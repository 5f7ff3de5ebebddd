"""What goes wrong, one function a fault. Every fault ends by itself."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import Kinds
from tests.sim.plans import HANDLER, LABELS
from tests.sim.schedule import MS, SECOND
from tests.sim.talker import Shape
from tests.sim.workers import SimWorker

if TYPE_CHECKING:
    from tests.sim.requests import Action
    from tests.sim.world import World


def draw_shape(world: World, rng: random.Random) -> Shape:
    slots = rng.choice((1, 2, 3, 4))
    bound = world.clients.pick(rng) if rng.random() < 0.1 else None
    kinds = Kinds(True, (HANDLER,) if rng.random() < 0.7 else ())
    labels = tuple(sorted(label for label in LABELS if rng.random() < 0.6))
    return Shape(slots, rng.choice((1, slots, slots + 1, slots + 3)), labels, kinds, bound or "",
                 is_local=rng.random() < 0.5)  # fmt: skip


def new_worker(world: World, rng: random.Random) -> None:
    if sum(one.is_alive for one in world.workers) < 6:
        world.add_worker(draw_shape(world, rng), rng)


def break_stream(world: World, rng: random.Random) -> None:
    worker = _pick(world, rng)
    if worker is not None:
        worker.perform(lambda: worker.disconnect(lose=rng.random() < 0.5))


def partition(world: World, rng: random.Random) -> None:
    worker = _pick(world, rng)
    if worker is not None:
        worker.partition(rng.choice((SECOND, 10 * SECOND, 35 * SECOND, 60 * SECOND)))


def freeze_worker(world: World, rng: random.Random) -> None:
    worker = _pick(world, rng)
    if worker is not None:
        worker.freeze(rng.randrange(100 * MS, 50 * SECOND))


def kill_worker(world: World, rng: random.Random) -> None:
    """Its supervisor cleans up within the lock delay and a keeper may tell; or its machine is cut off."""
    worker = _pick(world, rng)
    if worker is None:
        return
    cut_off = rng.random() < 0.3
    within_us = min(3 * SECOND, world.settings.lock_delay_ms * MS)
    linger_us = 3600 * SECOND if cut_off else rng.choice((0, rng.randrange(1, within_us)))
    worker.kill(linger_us)
    if not cut_off and rng.random() < 0.7:
        world.schedule.after(rng.randrange(10 * MS, 5 * SECOND), _report_death, world, worker)
    world.schedule.after(rng.randrange(SECOND, 5 * SECOND), new_worker, world, rng)


def _report_death(world: World, worker: SimWorker) -> None:
    if worker.worker_id:
        gone = worker.supervisor.is_empty
        world.clients.ask(c.WorkerDied(worker.worker_id, "host", worker.pid, processes_gone=gone))


def drain_worker(world: World, rng: random.Random) -> None:
    """SIGTERM: it leaves when it has finished what it has."""
    worker = _pick(world, rng)
    if worker is not None:
        worker.perform(worker.drain)
        world.ask_to_drain(worker.worker_id)
        world.schedule.after(rng.randrange(SECOND, 5 * SECOND), new_worker, world, rng)


def crash_coordinator(world: World, rng: random.Random) -> None:
    world.coordinator.crash(rng.choice((50 * MS, SECOND, 5 * SECOND, 20 * SECOND)))


def crash_at_commit(world: World, rng: random.Random) -> None:
    world.coordinator.crash_at_commit = rng.choice(("before", "after"))


def freeze_coordinator(world: World, rng: random.Random) -> None:
    world.coordinator.freeze(rng.choice((500 * MS, 3 * SECOND, 15 * SECOND)))


def stall_commit(world: World, rng: random.Random) -> None:
    world.coordinator.stall_commit_us = rng.choice((500 * MS, 3 * SECOND, 8 * SECOND))


def jump_clock(world: World, rng: random.Random) -> None:
    world.wall_offset_us += rng.choice((-3600, -60, -1, 1, 60, 3600)) * SECOND


def reconnect_watcher(world: World, rng: random.Random) -> None:
    world.coordinator.watching.disconnect()


def _pick(world: World, rng: random.Random) -> SimWorker | None:
    alive = [one for one in world.workers if one.is_alive]
    return rng.choice(alive) if alive else None


FAULTS: Final[tuple[tuple[int, Action], ...]] = (
    (3, new_worker),
    (6, break_stream),
    (2, partition),
    (3, freeze_worker),
    (4, kill_worker),
    (2, drain_worker),
    (3, crash_coordinator),
    (5, crash_at_commit),
    (2, freeze_coordinator),
    (4, stall_commit),
    (3, jump_clock),
    (3, reconnect_watcher),
)
"""(weight, fault)"""
