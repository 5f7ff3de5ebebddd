"""Programs that take paths by hand: they wait, renew, hang up, die, come again behind a restart, and let go.

What they believe to hold is known here and nowhere in the coordinator. A program with a lease believes until
the lease that it counts itself is over, and what it started needs a moment more to end: less than the lock
delay. What a session itself holds is believed in until somebody gives it back or the session ends. No two
that exclude each other may ever believe at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.locks import Party
from buildrunner_coordinator.domain.model import PathRequest
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import Acquired, Answer, Queued
from buildrunner_coordinator.engine.outbox import Outbox
from tests.sim.network import delay_us
from tests.sim.processes import Belief
from tests.sim.schedule import MS, SECOND
from tests.sim.trace import SimulationFault

if TYPE_CHECKING:
    from tests.sim.world import World

_TRIES = 8
_AGAIN_US = 2 * SECOND
_LATE_US = 60 * SECOND
"""Freezes, stalls and the like put an answer off by less than this."""


class Locker:
    """One program with one request, from the asking to the letting go."""

    def __init__(self, world: World, rng: random.Random, number: int, command: c.AcquireLocks) -> None:
        self.world = world
        self.rng = rng
        self.number = number
        self.command = command
        self.waiter_id = ""
        self.gone = False
        """It has hung up or died before it had an answer."""
        self.grant: Acquired | None = None
        self.belief: Belief | None = None
        self._outbox: Outbox | None = None
        self._boot = self._arrived_us = 0
        self._run = 0
        """Of its session as it was answered."""
        self._tries = 0
        self._is_answered = False
        self._sent_us = 0
        self._until_us = 0

    # ------------------------------------------------------------------ asking

    def send(self) -> None:
        """One call. Behind a crash of the coordinator it is made again, with the same request id."""
        if self.gone or self._is_answered:
            return
        self._tries += 1
        if self._tries > _TRIES:
            self.gone = True
            return
        self._sent_us = self.world.schedule.now_us
        self.world.schedule.after(delay_us(self.rng), self._arrive)

    def _arrive(self) -> None:
        coordinator = self.world.coordinator
        if not coordinator.is_up or self.gone:
            self.world.schedule.after(_AGAIN_US, self.send)
            return
        self._boot, self._arrived_us = coordinator.boot, self.world.schedule.now_us
        command = c.AcquireLocks(**{name: getattr(self.command, name) for name in self.command.__slots__})
        self.waiter_id = command.waiter_id = f"{self.number:08x}{self._tries:08x}"
        self._outbox = Outbox(command.waiter_id, 0)
        coordinator.outboxes.attach(self._outbox)
        coordinator.calls.append(self)
        coordinator.post([command], self._reply)

    def _reply(self, replies: list[object], _revision: int) -> None:
        if self._outbox is not None and not isinstance(replies[0], Queued):
            self._answer(replies[0])

    def look(self) -> bool:
        """After each batch, the server's end of the call. False: it is over."""
        outbox = self._outbox
        if outbox is None or self._boot != self.world.coordinator.boot:
            return False
        for entry in outbox.take():
            assert isinstance(entry, Answer)
            self._answer(entry.reply)
        if self._outbox is None:
            return False
        waited_us = self.world.schedule.now_us - self._arrived_us
        if 0 <= self.command.wait_ms * MS < waited_us - _LATE_US:
            raise SimulationFault(f"locker {self.number} has waited for {waited_us} us and asked for less")
        return True

    def cut(self) -> None:
        """The coordinator died: the call breaks."""
        self._outbox = None
        if not self._is_answered:
            self.world.schedule.after(self.rng.randrange(50 * MS, _AGAIN_US), self.send)

    def _answer(self, reply: Any) -> None:
        """The call has ended on the server's side. Who hung up meanwhile is not told, and holds nothing."""
        assert self._outbox is not None
        waiter_id = self._outbox.worker_id
        row = self.world.records.rows.sessions.get(self.command.session_id)
        self._run = row.run if row is not None else 0
        self.world.coordinator.outboxes.detach(self._outbox)
        self._outbox = None
        if self.gone:
            self.world.coordinator.post([c.LeaveQueue(waiter_id)], None)
        else:
            self.world.schedule.after(delay_us(self.rng), self._hear, reply)

    def hang_up(self) -> None:
        """It does not want an answer any more, or is dead; the server notices by itself."""
        if self._is_answered or self.gone:
            return
        self.gone = True
        self.world.schedule.after(
            delay_us(self.rng), self._noticed, self._outbox, self.world.coordinator.boot
        )

    def _noticed(self, outbox: Outbox | None, boot: int) -> None:
        coordinator = self.world.coordinator
        if outbox is not None and outbox is self._outbox and coordinator.is_up and boot == coordinator.boot:
            coordinator.outboxes.detach(outbox)
            self._outbox = None
            coordinator.post([c.LeaveQueue(outbox.worker_id)], self._left)

    def _left(self, _replies: list[object], _revision: int) -> None:
        """Whoever is known to have hung up must not get anything any more."""
        assert self._boot == self.world.coordinator.boot
        self.world.processes.hung_up.add(self.waiter_id)

    # ------------------------------------------------------------------ holding

    def _hear(self, reply: Any) -> None:
        if self.gone:
            # Its last breath came between: a grant with a lease lapses, the session's own stays with it.
            return
        self._is_answered = True
        if isinstance(reply, Refusal):
            known = (Reason.LOCK_CONFLICT, Reason.DEADLOCK, Reason.STALE, Reason.SESSION_CLOSED,
                     Reason.SESSION_NOT_FOUND, Reason.LOCK_NOT_HELD, Reason.WRONG_STATE)  # fmt: skip
            if reply.reason not in known:
                raise SimulationFault(f"locker {self.number} is refused for a reason of its own: {reply!r}")
            return
        self.grant = reply
        if not self.command.lease_ms:
            self._hold_for_session(reply.locks[0].holder.session_id)
            self._let_go_later()
            return
        if reply.waited_us:
            # When the lease began is not known: a first renewal tells.
            self._ask_for_more(self._begin)
        else:
            self._begin(None, self._sent_us)

    def _begin(self, refused: Refusal | None, sent_us: int) -> None:
        """It acts on its paths from now on, unless the answer came too late to believe in."""
        reply = self.grant
        if reply is None or refused is not None:
            return
        self._until_us = sent_us + reply.lease_ms * MS
        if self._until_us <= self.world.schedule.now_us:
            return
        session_id = reply.locks[0].holder.session_id
        account = self.command.held_grant_id or reply.grant_id
        self.belief = Belief(f"locker {self.number}", Party(account, session_id), self._files())
        self.world.processes.believe(self.belief)
        if self.rng.random() < 0.15:
            self._die()
            return
        self._renew()
        self._let_go_later()

    def _hold_for_session(self, session_id: str) -> None:
        """Whoever is of the session acts on them, unless that was over before it was heard."""
        if self._run and not self.world.lockers.was_given_back(session_id, self._sent_us):
            party = Party(session_id, session_id, True)
            self.belief = Belief(f"locker {self.number}", party, self._files(), self._run)
            self.world.processes.believe(self.belief)

    def _files(self) -> tuple[PathRequest, ...]:
        """With a lease those of its own grant: the others are an outer block's, which may end before."""
        assert self.grant is not None
        grant, is_own = self.grant, not self.command.lease_ms
        return tuple(
            PathRequest(one.path, one.mode, one.kind)
            for one in grant.locks
            if is_own or (one.holder.grant_id == grant.grant_id and not grant.already_held)
        )

    def _renew(self) -> None:
        if self.belief is None or self.grant is None:
            return
        left_us = self._until_us - self.world.schedule.now_us
        if left_us <= 0:
            self._die()
            return
        if self.rng.random() < 0.9:
            self._ask_for_more(self._renewed)
        self.world.schedule.after(min(left_us, self.grant.lease_ms * MS // 3), self._renew)

    def _ask_for_more(self, then: Callable[[Refusal | None, int], None]) -> None:
        """Renews; `then` hears whether it was refused, and when it was asked."""
        assert self.grant is not None
        command, sent_us = c.RenewLease(self.grant.grant_id, self.grant.fence), self.world.schedule.now_us

        def renewed(replies: list[object], _revision: int) -> None:
            refused = replies[0] if isinstance(replies[0], Refusal) else None
            self.world.schedule.after(delay_us(self.rng), then, refused, sent_us)

        coordinator = self.world.coordinator
        self.world.schedule.after(delay_us(self.rng), coordinator.post_if_up, [command], renewed)

    def _renewed(self, refused: Refusal | None, sent_us: int) -> None:
        if self.belief is None or self.grant is None:
            return
        if refused is not None:
            self._forget()
        else:
            self._until_us = max(self._until_us, sent_us + self.grant.lease_ms * MS)

    def _die(self) -> None:
        """Nobody renews any more; what it started ends at the lease's end, and a moment behind it."""
        linger_us = self.rng.randrange(self.world.settings.lock_delay_ms * MS * 8 // 10)
        grant, self.grant = self.grant, None
        assert grant is not None
        end_us = max(self._until_us, self.world.schedule.now_us) + linger_us
        self.world.schedule.at(end_us, self._forget)

    def _let_go_later(self) -> None:
        self.world.schedule.after(self.rng.randrange(50 * MS, 20 * SECOND), self._let_go)

    def _let_go(self) -> None:
        grant, self.grant = self.grant, None
        if grant is None:
            return
        self._forget()
        session_id = grant.locks[0].holder.session_id
        if grant.already_held:
            return  # somebody else's to give back
        if self.command.lease_ms:
            release = c.ReleaseLocks("", grant_id=grant.grant_id, fence=grant.fence)
        elif self.rng.random() < 0.7:
            release = c.ReleaseLocks(session_id)
        else:
            one = grant.locks[0]
            release = c.ReleaseLocks(session_id, (PathRequest(one.path, one.mode, one.kind),))
        self.world.clients.ask(release)

    def lose(self) -> None:
        """It is taken away by force; an answer under way, as to a renewal, changes nothing about that."""
        self.grant = None
        self._forget()

    def _forget(self) -> None:
        if self.belief is not None:
            self.world.processes.disbelieve(self.belief)
            self.belief = None


class Lockers:
    """All such programs of one run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.all: list[Locker] = []
        self._given_back_us: dict[str, int] = {}

    def note(self, posted: list[Any]) -> None:
        """What has just reached the coordinator may end what sessions themselves hold."""
        for command in posted:
            if isinstance(command, c.ForceRelease):
                self._end_own("")
            elif isinstance(command, c.ReleaseLocks):
                if not command.grant_id:
                    self._end_own(command.session_id)
            elif isinstance(command, c.PauseSession) and command.release_locks:
                self._end_own(command.session_id)

    def _end_own(self, session_id: str) -> None:
        self._given_back_us[session_id] = self._world.schedule.now_us
        self._world.processes.forget_session(session_id)

    def was_given_back(self, session_id: str, since_us: int) -> bool:
        last_us = max(self._given_back_us.get(one, -1) for one in (session_id, ""))
        return last_us >= since_us

    def begin(self, rng: random.Random, session_id: str, files: tuple[PathRequest, ...]) -> None:
        number = len(self.all)
        kind = rng.random()
        command = c.AcquireLocks(
            session_id, files, "", wait_ms=rng.choice((0, 500, 10_000, 10_000, -1)),
            lease_ms=0 if kind < 0.35 else rng.choice((1_000, 3_000, 8_000)),
            client_id="lockers", request_id=f"lock-{number}", digest=b"%d" % number,
        )  # fmt: skip
        if kind > 0.8:
            self._within_another(rng, command)
        locker = Locker(self._world, random.Random(rng.getrandbits(40)), number, command)
        self.all.append(locker)
        locker.send()
        if rng.random() < 0.25:
            self._world.schedule.after(rng.randrange(1, 8 * SECOND), locker.hang_up)

    def _within_another(self, rng: random.Random, command: c.AcquireLocks) -> None:
        """In the block of a grant of the same session that is held, if there is one."""
        live = [one for one in self.all if one.grant is not None and one.belief is not None]
        mine = [
            one for one in live if one.grant and one.grant.locks[0].holder.session_id == command.session_id
        ]
        if mine:
            outer = rng.choice(mine)
            assert outer.grant is not None
            if not outer.command.held_grant_id:
                command.held_grant_id, command.held_fence = outer.grant.grant_id, outer.grant.fence
                command.lease_ms = command.lease_ms or 1_000

    def force(self, rng: random.Random) -> None:
        """Somebody takes a lock away: whoever believes in it is out of luck, which is what force means."""
        live = [one for one in self.all if one.grant is not None]
        if live:
            victim = rng.choice(live)
            assert victim.grant is not None
            lock_id, grant_id = victim.grant.locks[0].lock_id, victim.grant.grant_id
            if victim.grant.locks[0].holder.attempt_id:
                return
            for one in live:
                if one.grant is not None and one.grant.grant_id == grant_id:
                    one.lose()
            self._world.clients.ask(c.ForceRelease(lock_id, "simulated"))
