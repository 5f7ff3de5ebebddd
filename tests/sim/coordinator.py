"""The coordinator as a process in virtual time: the real core, batches, outboxes, feed and rows in memory.

What asyncio, gRPC and the disk do in the service is simulated: the loop, the streams, the commit that
takes its time, and the death between any two of these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from buildrunner_coordinator.domain.changes import MetaRow
from buildrunner_coordinator.domain.commands import Disconnected, Heartbeat, Started, Unregister
from buildrunner_coordinator.domain.core import Core
from buildrunner_coordinator.domain.invariants import check
from buildrunner_coordinator.domain.model import Time
from buildrunner_coordinator.domain.replies import Acknowledge, HeartbeatAnswer, Registered
from buildrunner_coordinator.engine.batch import Batch, Item, RequestInfo, run_batch
from buildrunner_coordinator.engine.clock import CoreClock
from buildrunner_coordinator.engine.engine import STALL_US
from buildrunner_coordinator.engine.feed import Feed
from buildrunner_coordinator.engine.outbox import Outbox, Outboxes
from buildrunner_coordinator.store.memory import MemoryRows
from tests.sim.fairness import Fairness
from tests.sim.network import Pipe
from tests.sim.records import Records
from tests.sim.schedule import MS, SECOND
from tests.sim.trace import SimulationFault
from tests.sim.watching import Watching

if TYPE_CHECKING:
    from tests.sim.lockers import Locker
    from tests.sim.world import World

WORKSPACE = "workspace"
RIDE_US = 50 * MS
NEVER_US = 1 << 62


class Stream:
    """The coordinator's end of one call of Connect."""

    def __init__(self, coordinator: Coordinator, down: Pipe) -> None:
        self.coordinator = coordinator
        self.down = down
        self.boot = coordinator.boot
        self.outbox: Outbox | None = None
        self.is_over = False

    def take(self, message: tuple[Any, ...]) -> None:
        """A message of the worker has arrived."""
        if self.is_over or not self.coordinator.is_up or self.boot != self.coordinator.boot:
            return
        kind, *rest = message
        if kind == "hello":
            self.coordinator.post([rest[0]], self._welcome)
        elif self.outbox is not None:
            self._take_word(kind, rest)

    def _take_word(self, kind: str, rest: list[Any]) -> None:
        assert self.outbox is not None
        if kind == "bye":
            goodbye = Unregister(self.outbox.worker_id, "", self.outbox.generation)
            self.coordinator.post([*rest[0], goodbye], lambda _replies, _revision: self.end())
        elif kind == "beat":
            beat = Heartbeat(self.outbox.worker_id, self.outbox.generation, rest[1])
            self.coordinator.post([beat], lambda replies, _: self._answer_beat(rest[0], replies[0]))
        else:
            lazily = all(isinstance(one, Started) for one in rest[0])
            self.coordinator.post(rest[0], self._acknowledge, delay_us=RIDE_US if lazily else 0)

    def _acknowledge(self, replies: list[object], _revision: int) -> None:
        assert self.outbox is not None
        for reply in replies:
            if isinstance(reply, Acknowledge):
                self.outbox.put(reply)

    def _welcome(self, replies: list[object], _revision: int) -> None:
        reply = replies[0]
        if not isinstance(reply, Registered):
            self.down.send(("refused", reply))
            self.end()
            return
        self.outbox = Outbox(reply.worker_id, reply.generation)
        meta = self.coordinator.core.meta
        self.down.send(("welcome", reply, meta.store_id, meta.epoch))
        self.coordinator.outboxes.attach(self.outbox)

    def _answer_beat(self, sequence: int, answer: object) -> None:
        if isinstance(answer, HeartbeatAnswer) and answer.known:
            self.down.send(("beat", sequence, answer.unknown_attempt_ids))
        else:
            self.down.send(("unknown",))
            self.end()

    def flush(self) -> None:
        """Writes what the outbox has; an outbox that was closed ends the stream."""
        if self.outbox is None or self.is_over:
            return
        for send in self.outbox.take():
            self.down.send(("send", send))
        if self.outbox.closed is not None:
            self.end()

    def end(self) -> None:
        """The coordinator sees the end of the stream; the worker will see it too."""
        if self.is_over:
            return
        self.is_over = True
        self.down.send(("end",))
        self.down.cut(lose=False)
        if self.outbox is not None and self.boot == self.coordinator.boot and self.coordinator.is_up:
            self.coordinator.outboxes.detach(self.outbox)
            self.coordinator.post([Disconnected(self.outbox.worker_id, self.outbox.generation)], None)


class Coordinator:
    """At most one at a time. `rows` outlive it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows = MemoryRows()
        self.rows.meta = MetaRow("store", WORKSPACE, 1, 0, 0, 1, 1, 1, 1, 0)
        self.records = Records(self.rows, world.settings.crash_limit)
        self.watching = Watching()
        self.boot = 0
        self.is_up = False
        self.commits = 0
        self.crash_at_commit = ""
        """ "before" or "after": it dies at the next commit."""
        self.stall_commit_us = 0
        self._frozen_until_us = 0
        self._down_us = 0
        self._down_since_us = 0

    # ------------------------------------------------------------------ life

    @property
    def is_busy(self) -> bool:
        return self._busy

    def down_us(self) -> int:
        """How long in all there was no coordinator."""
        return self._down_us + (0 if self.is_up else self.world.schedule.now_us - self._down_since_us)

    def start(self) -> None:
        world = self.world
        self.boot += 1
        self._down_us = self.down_us()
        meta = self.rows.take_over(world.wall_us(), WORKSPACE)
        self.records.took_over(meta.epoch, meta.next_fence)
        self.clock = CoreClock(meta.last_us, wall=world.wall_us, monotonic=lambda: world.schedule.now_us)
        self.core = Core.load(self.rows.snapshot(), world.settings, self.clock.now())
        world.hooks.loaded(self.core)
        self.fairness = Fairness(self.core)
        check(self.core)
        self.records.check_promises()
        self.outboxes = Outboxes()
        self.feed = Feed(lambda event: b"", self.core.revision, ring_events=300)
        self.streams: list[Stream] = []
        self.calls: list[Locker] = []
        """Those that wait for paths by hand."""
        self.inbox: list[Item] = []
        self._busy = False
        self._turn_at_us = NEVER_US
        self._stalled_us = 0
        self.is_up = True
        world.trace.add(world.schedule.now_us, "coordinator starts", meta.epoch, meta.revision)
        self._look_at_clock()

    def crash(self, down_us: int) -> None:
        """Everything that is not in the rows is gone."""
        if not self.is_up:
            return
        self.world.trace.add(self.world.schedule.now_us, "coordinator dies", self.boot)
        self.is_up = False
        self._down_since_us = self.world.schedule.now_us
        self.crash_at_commit = ""
        self.watching.disconnect()
        for stream in self.streams:
            stream.end()
        for call in self.calls:
            call.cut()
        self.world.schedule.after(down_us, self.start)

    def freeze(self, for_us: int) -> None:
        """It is stopped, and later goes on as if nothing had been."""
        now_us = self.world.schedule.now_us
        self._frozen_until_us = max(self._frozen_until_us, now_us + for_us)
        if self.is_up and not self._busy:
            self._stalled_us += for_us if for_us > STALL_US else 0

    # ------------------------------------------------------------------ the inbox

    def connect(self, down: Pipe) -> Stream | None:
        if not self.is_up:
            return None
        stream = Stream(self, down)
        self.streams.append(stream)
        return stream

    def post(
        self, commands: list[Any], done: Callable[[list[object], int], None] | None,
        request: RequestInfo | None = None, delay_us: int = 0,
    ) -> None:  # fmt: skip
        self.world.lockers.note(commands)
        self.inbox.append(Item(commands, done, request))
        self._ask_for_turn(delay_us or self.world.rng.randrange(20, 600))

    def post_if_up(self, commands: list[Any], done: Callable[[list[object], int], None]) -> None:
        if self.is_up:
            self.post(commands, done)

    def _ask_for_turn(self, delay_us: int) -> None:
        """A batch after this time, unless one comes earlier."""
        at_us = self.world.schedule.now_us + delay_us
        if not self._busy and at_us < self._turn_at_us:
            self._turn_at_us = at_us
            self.world.schedule.at(at_us, self._on_turn, self.boot, at_us)

    def _on_turn(self, boot: int, at_us: int) -> None:
        if at_us == self._turn_at_us:
            self._turn(boot)

    def _look_at_clock(self) -> None:
        """Asks for a batch at the core's next deadline."""
        deadline_us = self.core.next_deadline_us()
        if deadline_us is not None:
            left_us = max(deadline_us - self.clock.now().us, 5 * MS)
            self.world.schedule.after(left_us, self._on_deadline, self.boot, deadline_us)

    def _on_deadline(self, boot: int, deadline_us: int) -> None:
        if self.is_up and boot == self.boot and self.core.next_deadline_us() == deadline_us:
            self._ask_for_turn(0)

    # ------------------------------------------------------------------ a batch

    def _turn(self, boot: int) -> None:
        if not self.is_up or boot != self.boot:
            return
        left_us = self._frozen_until_us - self.world.schedule.now_us
        if left_us > 0:
            self.world.schedule.after(left_us, self._turn, boot)
            return
        self._turn_at_us, self._busy = NEVER_US, True
        items, self.inbox = self.inbox, []
        stalled_us, self._stalled_us = self._stalled_us, 0
        batch = run_batch(self.core, items, self.clock.now(), stalled_us)
        check(self.core)
        self.fairness.look()
        self.world.processes.check_hung_up(self.core.grants)
        self.world.note_batch(batch)
        self.world.hooks.applied(self, batch)
        if batch.has_changes:
            self._commit(batch)
        else:
            self._release(batch, boot, self.world.schedule.now_us)

    def _commit(self, batch: Batch) -> None:
        schedule, rng = self.world.schedule, self.world.rng
        took_us = rng.randrange(100, 3 * MS) + self.stall_commit_us
        self.stall_commit_us = 0
        schedule.after(took_us, self._durable, batch, self.boot, schedule.now_us)
        if self.crash_at_commit:
            delay_us = took_us // 2 if self.crash_at_commit == "before" else took_us + 10
            schedule.after(delay_us, self._crash_now, self.boot)

    def _crash_now(self, boot: int) -> None:
        if boot == self.boot:
            self.crash(self.world.rng.randrange(50 * MS, 4 * SECOND))

    def _durable(self, batch: Batch, boot: int, begun_us: int) -> None:
        if not self.is_up or boot != self.boot:
            return
        changes = self.world.hooks.changes(batch.changes)
        self.records.before_commit(changes)
        self.rows.apply(self.core.epoch, changes)
        self.commits += 1
        self._compare(changes.revision)
        self.world.schedule.after(self.world.rng.randrange(20, 200), self._release, batch, boot, begun_us)

    def _compare(self, revision: int) -> None:
        """The rows give the core as it is: nothing that changed was forgotten."""
        if revision % self.world.compare_every:
            return
        now = Time(self.core.last_us, 0)
        again, kept = (
            Core.load(self.rows.snapshot(), self.world.settings, now).snapshot(),
            self.core.snapshot(),
        )
        if again != kept:
            raise SimulationFault("the rows do not give the core: " + _difference(again, kept))

    def _release(self, batch: Batch, boot: int, begun_us: int) -> None:
        if not self.is_up or boot != self.boot:
            return
        left_us = self._frozen_until_us - self.world.schedule.now_us
        if left_us > 0:
            self.world.schedule.after(left_us, self._release, batch, boot, begun_us)
            return
        assert self.rows.meta is not None
        if batch.revision > self.rows.meta.revision:
            raise SimulationFault(f"revision {batch.revision} is told before it is durable")
        self.tell(batch)
        took_us = self.world.schedule.now_us - begun_us
        self._stalled_us += took_us if took_us > STALL_US else 0
        self._busy = False
        if self.inbox:
            self._ask_for_turn(self.world.rng.randrange(20, 600))
        self._look_at_clock()

    def tell(self, batch: Batch) -> None:
        batch.release(self.outboxes, self.feed)
        self.watching.read()
        if batch.revision % 16 == 0:
            self.watching.compare(self.core)
        for stream in self.streams:
            stream.flush()
        self.calls = [call for call in self.calls if call.look()]
        if any(stream.is_over for stream in self.streams):
            self.streams = [stream for stream in self.streams if not stream.is_over]


def _difference(one: Any, other: Any) -> str:
    for name in one.__dataclass_fields__:
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine != theirs and isinstance(mine, list):
            return f"{name}: stored {[x for x in mine if x not in theirs]}, " \
                   f"in memory {[x for x in theirs if x not in mine]}"  # fmt: skip
        if mine != theirs:
            return f"{name}: stored {mine}, in memory {theirs}"
    return "the order of rows"
