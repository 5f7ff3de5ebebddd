"""A core with a clock of its own, spoken to in short sentences. Every message must be asserted."""

from __future__ import annotations

from typing import Any

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain import invariants
from buildrunner_coordinator.domain.changes import Changes, MetaRow, Snapshot
from buildrunner_coordinator.domain.core import Core
from buildrunner_coordinator.domain.model import Kinds, Outcome, Settings, Time, Traits
from buildrunner_coordinator.domain.paths import parse_request
from buildrunner_coordinator.domain.refusals import Refusal
from buildrunner_coordinator.domain.replies import Answer, Assign, Send

SECOND = 1_000_000


class Stage:
    """One core. `do` is a batch of one command; what it sends waits in `sent` until it is taken."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.now = Time(1_000 * SECOND, 5_000 * SECOND)
        meta = MetaRow("store", "workspace", 7, 0, 0, 100, 1, 1, 1, 0)
        self.settings = settings or Settings()
        self.core = Core.load(Snapshot(meta), self.settings, self.now)
        self.sent: list[tuple[str, Send]] = []
        self.changes: list[Changes] = []
        self._seed = 0
        self._asked = 0

    def do(self, command: object) -> Any:
        """The reply, after placement. A refusal is raised."""
        reply = self.try_(command)
        if isinstance(reply, Refusal):
            raise reply
        return reply

    def try_(self, command: object) -> Any:
        before = self.core.snapshot()
        self.core.tick(self.now)
        reply = self.core.apply(command, self.now)
        if isinstance(reply, Refusal):
            assert self.core.snapshot() == before, "a refused command changed something"
        self.core.place(self.now)
        settled = reply() if callable(reply) else reply
        self._finish_batch()
        return settled

    def wait(self, seconds: float) -> None:
        """Lets time pass, and the core notice."""
        self.now = Time(self.now.us + int(seconds * SECOND), self.now.wall_us + int(seconds * SECOND))
        self.core.tick(self.now)
        self.core.place(self.now)
        self._finish_batch()

    def restart(self) -> None:
        """The coordinator dies and comes back with what is stored."""
        before = self.core.snapshot()
        self.core = Core.load(self.core.snapshot(), self.settings, self.now)
        assert self.core.snapshot() == before
        self.sent = []

    def take(self) -> list[tuple[str, Send]]:
        sent, self.sent = self.sent, []
        return sent

    def nothing_is_sent(self) -> None:
        assert self.take() == []

    def _finish_batch(self) -> None:
        self.changes.append(self.core.collect())
        self.core.take_events()
        self.sent += self.core.take_sends()
        invariants.check(self.core)

    # ------------------------------------------------------------ short forms

    def seed(self) -> int:
        self._seed += 1
        return self._seed

    def session(self, name: str = "build", *, start: bool = True, **more: Any) -> str:
        session_id: str = self.do(c.CreateSession(self.seed(), name, **more)).session_id
        if start:
            self.do(c.StartSession(session_id))
        return session_id

    def submit(self, session_id: str, *tasks: c.NewTask, seal: bool = False) -> Any:
        return self.do(c.SubmitTasks(session_id, tasks, seal))

    def worker(self, *, slots: int = 1, credit: int = 0, held: tuple[c.Held, ...] = (), **more: Any) -> str:
        kinds = more.pop("kinds", Kinds(commands=True, handlers=("h",)))
        command = c.Register(self.seed(), slots=slots, credit=credit, kinds=kinds, held=held, **more)
        worker_id: str = self.do(command).worker_id
        return worker_id

    def assigned(self) -> list[Assign]:
        """Takes all messages, which must be assignments."""
        sent = [send for _, send in self.take()]
        assert all(isinstance(send, Assign) for send in sent), sent
        return [send for send in sent if isinstance(send, Assign)]

    def one(self) -> Assign:
        found = self.assigned()
        assert len(found) == 1, found
        return found[0]

    def start(self, assign: Assign, pid: int = 4711) -> None:
        self.do(c.Started(self.worker_of(assign), assign.attempt_id, assign.fence, pid, self.now.wall_us))

    def acquire(
        self, session_id: str, *paths: str, wait_s: float = 0, lease_s: float = 0, **more: Any
    ) -> Any:
        """Asks for paths by hand; a negative wait has no end."""
        self._asked += 1
        command = c.AcquireLocks(
            session_id, tuple(map(_path, paths)), f"{self._asked:016x}", wait_ms=int(wait_s * 1000),
            lease_ms=int(lease_s * 1000), **more,
        )  # fmt: skip
        return self.do(command)

    def refused(self, *arguments: Any, **more: Any) -> Refusal:
        """As `acquire`, which must be refused."""
        with pytest.raises(Refusal) as caught:
            self.acquire(*arguments, **more)
        return caught.value

    def answers(self) -> dict[str, Any]:
        """Takes all messages, which must be answers to those who waited for paths, by waiter id."""
        sent = self.take()
        assert all(isinstance(send, Answer) for _, send in sent), sent
        return {waiter_id: send.reply for waiter_id, send in sent if isinstance(send, Answer)}

    def holders(self, path: str = "") -> dict[str, str]:
        """Held paths, and who holds each: a task's id, or the session's."""
        page = self.do(c.ListLocks(path))
        return {lock.path: lock.holder.task_id or lock.holder.session_id for lock in page.locks}

    def finish(self, assign: Assign, outcome: Outcome = Outcome.SUCCEEDED, **more: Any) -> Any:
        more.setdefault("started_at_us", self.now.wall_us)
        worker_id = more.pop("worker_id", None) or self.worker_of(assign)
        return self.do(c.Finished(worker_id, assign.attempt_id, assign.fence, outcome, **more))

    def worker_of(self, assign: Assign) -> str:
        task = self.core.attempts.get(assign.attempt_id)
        return task.worker_id if task is not None else "nobody"

    def status(self, session_id: str, task_id: str) -> str:
        task = self.core.tasks.get(session_id, {}).get(task_id)
        if task is not None:
            return task.status.value
        ended = self.core.ended.get(session_id)
        if ended is not None:
            return ended[task_id].value
        rows = [row for one in self.changes for row in one.tasks if row[:2] == (session_id, task_id)]
        return rows[-1].status

    def session_status(self, session_id: str) -> str:
        return self.core.sessions[session_id].status.value


def make_task(
    task_id: str, *, needs: tuple[str, ...] = (), files: tuple[str, ...] = (), **traits: Any
) -> c.NewTask:
    """A command with this id. Files are exclusive, or shared when written "path:shared"."""
    paths = tuple(_path(one) for one in files)
    return c.NewTask(task_id, f"run {task_id}", task_id.encode(), Traits(**traits), needs, paths)


def _path(text: str) -> Any:
    from buildrunner_coordinator.domain.model import LockMode

    path = text.removesuffix(":shared")
    return parse_request(path, LockMode.EXCLUSIVE if path == text else LockMode.SHARED)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def task() -> Any:
    return make_task


@pytest.fixture
def stage_with() -> Any:
    return lambda **settings: Stage(Settings(**settings))
