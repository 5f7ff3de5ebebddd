"""What clients do, one function an action: each draws all it needs from the generator that it is given."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import TASK_OVER, Driver, FailureAction
from tests.sim.plans import draw_paths
from tests.sim.schedule import SECOND

if TYPE_CHECKING:
    from tests.sim.world import World

Action = Callable[["World", random.Random], None]
_OVER = tuple(status.value for status in TASK_OVER)


def submit_plan(world: World, rng: random.Random) -> None:
    tasks = _tasks(world, rng, rng.choice((2, 4, 6, 9)))
    create = c.CreateSession(
        rng.getrandbits(60), "plan", failure_action=rng.choice(list(FailureAction)),
        failure_limit=rng.choice((1, 2)), max_parallel=rng.choice((0, 0, 1, 3)),
        wanted_workers=rng.choice((0, 0, 2)),
    )  # fmt: skip
    command = c.SubmitPlan(tasks, create=create, seal=rng.random() < 0.8, start=rng.random() < 0.9)
    world.clients.ask(command, lambda reply: _submitted(world, reply.session.session_id, tasks))


def create_session(world: World, rng: random.Random) -> None:
    driver = rng.choice((Driver.TASKS, Driver.OWNER))
    command = c.CreateSession(rng.getrandbits(60), "made", driver=driver,
                              declared_tasks=rng.choice((0, 0, 5)))  # fmt: skip

    def learn(reply: Any) -> None:
        world.clients.learn(reply.session_id)
        if driver is Driver.OWNER:
            world.clients.owned.add(reply.session_id)
        if rng.random() < 0.7:
            world.clients.ask(c.StartSession(reply.session_id))

    world.clients.ask(command, learn)


def submit_tasks(world: World, rng: random.Random) -> None:
    session_id = world.clients.pick(rng)
    if session_id is not None:
        tasks = _tasks(world, rng, rng.choice((1, 2, 3)))
        command = c.SubmitTasks(session_id, tasks, seal=rng.random() < 0.2)
        world.clients.ask(command, lambda _: _submitted(world, session_id, tasks, known=True))


def order_session(world: World, rng: random.Random) -> None:
    """One of the short orders."""
    session_id = world.clients.pick(rng)
    if session_id is None:
        return
    commands = (
        c.StartSession(session_id),
        c.PauseSession(session_id, now=rng.random() < 0.5),
        c.PauseSession(session_id, now=rng.random() < 0.3, release_locks=True),
        c.ResumeSession(session_id),
        c.ResumeSession(session_id),
        c.CloseSession(session_id),
        c.UpdateSession(session_id, max_parallel=rng.choice((0, 1, 2))),
        c.UpdateSession(session_id, failure_action=rng.choice(list(FailureAction)), failure_limit=1),
        c.UpdateProgress(session_id, rng.randrange(5)),
        c.MarkFilesModified(session_id, ("a", "b")[: rng.randrange(3)]),
        c.SetPool(session_id, host=rng.choice(("", "host")), wanted=rng.randrange(4)),
    )
    world.clients.ask(rng.choice(commands))


def end_session(world: World, rng: random.Random) -> None:
    session_id = world.clients.pick(rng)
    if session_id is None:
        return
    if session_id in world.clients.owned and rng.random() < 0.6:
        command = rng.choice((c.CompleteSession(session_id), c.FailSession(session_id, "said so")))
        world.clients.ask(command)
    else:
        promise = ("ending", session_id)
        world.clients.ask(c.CancelSession(session_id), lambda _: world.records.promise(*promise))


def cancel_task(world: World, rng: random.Random) -> None:
    session_id = world.clients.pick(rng)
    rows = [
        row for row in world.records.rows.tasks.get(session_id or "", {}).values() if row.status not in _OVER
    ]
    if session_id is not None and rows:
        world.clients.ask(c.CancelTask(session_id, rng.choice(rows).task_id))


def retry(world: World, rng: random.Random) -> None:
    """The service reads what is over from the store, then asks the core."""
    session_id = world.clients.pick(rng)
    if session_id is None:
        return
    some = rng.random() < 0.3

    def make() -> Any:
        page = world.records.rows.read_tasks(session_id, _OVER, 0, 10_000)
        failed = [row.task_id for _, row in page.rows if row.status == "failed"]
        session = world.records.rows.sessions.get(session_id)
        run = session.run if session is not None else 0
        return c.RetryTasks(session_id, tuple(page.rows), tuple(failed[:1]) if some else (), run)

    world.clients.ask_late(make)


def delete_sessions(world: World, rng: random.Random) -> None:
    world.clients.ask(
        c.DeleteSessions(older_than_us=rng.choice((0, 20 * SECOND)), dry_run=rng.random() < 0.2)
    )


def order_workers(world: World, rng: random.Random) -> None:
    known = [one.worker_id for one in world.workers if one.worker_id]
    commands: list[Any] = [c.SetPool(host=rng.choice(("", "host")), wanted=rng.randrange(1, 5))]
    if known:
        commands += [c.DrainWorker(rng.choice(known)), c.UpdateWorker(rng.choice(known), metadata_json="{}")]
    world.clients.ask(rng.choice(commands))


def ask(world: World, rng: random.Random) -> None:
    session_id = world.clients.pick(rng)
    questions: list[Any] = [
        c.ReadSummary(), c.ListSessions(limit=2), c.ListWorkers(), c.ListLocks(), c.ListPools(),
        c.ReadAll((session_id,) if session_id else ()),
    ]  # fmt: skip
    if session_id:
        questions += [c.ExplainTasks(session_id), c.ReadSession(session_id), c.FindTask(session_id, "t"),
                      c.ListLocks("src/a", session_id)]  # fmt: skip
    world.clients.read(rng.choice(questions))


def lock_by_hand(world: World, rng: random.Random) -> None:
    """One to four programs, in sessions of which most are open."""
    rows = world.records.rows.sessions
    for _ in range(rng.choice((1, 1, 2, 4))):
        is_open = [one for one in world.clients.sessions
                   if one in rows and rows[one].status in ("created", "running", "paused")]  # fmt: skip
        session_id = rng.choice(is_open) if is_open and rng.random() < 0.8 else world.clients.pick(rng)
        if session_id is not None:
            world.lockers.begin(rng, session_id, draw_paths(rng))
            if rng.random() < 0.25:
                _pause_for_a_time(world, rng, session_id)


def _pause_for_a_time(world: World, rng: random.Random, session_id: str) -> None:
    """While it holds something, perhaps."""
    pause = c.PauseSession(session_id, now=rng.random() < 0.5, release_locks=rng.random() < 0.4)
    begin_us = rng.randrange(1, 4 * SECOND)
    world.schedule.after(begin_us, world.clients.ask, pause)
    world.schedule.after(
        begin_us + rng.randrange(1, 10 * SECOND), world.clients.ask, c.ResumeSession(session_id)
    )


def force_lock(world: World, rng: random.Random) -> None:
    world.lockers.force(rng)


def look_at_locks(world: World, rng: random.Random) -> None:
    world.clients.read(c.PreviewLocks(draw_paths(rng), session_id=world.clients.pick(rng) or ""))


def _tasks(world: World, rng: random.Random, count: int) -> tuple[c.NewTask, ...]:
    known = [one.worker_id for one in world.workers if one.worker_id]
    return world.plans.draw(rng, f"t{rng.randrange(1 << 20):05x}", count, known)


def _submitted(world: World, session_id: str, tasks: tuple[c.NewTask, ...], *, known: bool = False) -> None:
    if not known:
        world.clients.learn(session_id)
    for task in tasks:
        world.records.promise("task", session_id, task.task_id)


REQUESTS: Final[tuple[tuple[int, Action], ...]] = (
    (14, submit_plan),
    (4, create_session),
    (8, submit_tasks),
    (14, order_session),
    (3, end_session),
    (6, cancel_task),
    (8, retry),
    (2, delete_sessions),
    (3, order_workers),
    (4, ask),
    (16, lock_by_hand),
    (1, force_lock),
    (1, look_at_locks),
)
"""(weight, action)"""
