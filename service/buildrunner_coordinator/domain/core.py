"""The core: all state that is live, and the one door through which it changes.

`apply` answers one command, `tick` does what time has brought, `place` puts tasks on workers,
`collect` gives the rows that all this changed. The rules are in the modules beside this one; here is
what holds them together. Pure: the same calls on the same state give the same result, always.
"""

from __future__ import annotations

from buildrunner_coordinator.domain import leases, placement, views
from buildrunner_coordinator.domain.changes import Changes, MetaRow, Snapshot
from buildrunner_coordinator.domain.handlers import HANDLERS
from buildrunner_coordinator.domain.journal import Journal
from buildrunner_coordinator.domain.model import Settings, Time
from buildrunner_coordinator.domain.refusals import Refusal
from buildrunner_coordinator.domain.replies import Event, Send
from buildrunner_coordinator.domain.restoring import restore
from buildrunner_coordinator.domain.state import State


class Core(State):
    """The state with its door. Made by `load` alone."""

    def __init__(self, meta: MetaRow, settings: Settings, now: Time) -> None:
        super().__init__(meta, settings, now)
        self._told: tuple[Journal, Changes] | None = None

    @staticmethod
    def load(snapshot: Snapshot, settings: Settings, now: Time) -> Core:
        """The core as it was at the last commit. Every worker's lease begins anew.

        The snapshot's tasks are taken out of it on the way.
        """
        core = Core(snapshot.meta, settings, now)
        restore(core, snapshot, now)
        return core

    def apply(self, command: object, now: Time) -> object:
        """The reply named in the command's docstring; a Refusal is returned, not raised.

        A callable reply is to be called after `place`, in the same batch.
        """
        self.now = now
        try:
            return HANDLERS[type(command)](self, command, now)
        except Refusal as refusal:
            return refusal

    def tick(self, now: Time) -> None:
        """Does what is due: leases, backoffs, lock delays, retention."""
        self.now = now
        self.requests.expire(now)
        for timer, key, sub_key in self.timers.due(now.us):
            leases.FIRE[timer](self, key, sub_key, now)

    def place(self, now: Time) -> None:
        """Gives tasks to workers. Once a batch, after its commands."""
        placement.place(self, now)

    def extend_leases(self, gap_us: int) -> None:
        """The coordinator itself was away for so long: no worker is to blame for the silence."""
        for worker in self.workers.values():
            worker.lease_until_us += gap_us
        for grant in self.grants.values():
            if grant.lease_until_us:
                grant.lease_until_us += gap_us

    def next_deadline_us(self) -> int | None:
        """Core time at which `tick` has something to do next."""
        return self.timers.next_us()

    def collect(self) -> Changes:
        """The rows changed since the last call. `revision` is 0 when there are none.

        With rows comes the meta row, so that counters are as durable as what they were used for.
        """
        journal, requests, self._told = self.journal, self.requests, None
        added = [row for row in requests.added if requests.holds(row)]
        removed, requests.added, requests.removed = requests.removed, [], []
        if not (journal.has_rows or added or removed):
            return Changes()
        self.revision += 1
        self.last_us = max(self.last_us, self.now.us)
        changes = views.rows(self, journal, self.revision)
        changes.requests, changes.removed_requests = added, removed
        changes.meta = self.meta
        self._told = (journal, changes)
        self._renew_journal()
        return changes

    def take_events(self) -> list[Event]:
        """For watchers: the entities of the last `collect`. To be called right behind it, or not at all."""
        told, self._told = self._told, None
        return views.events(self, *told) if told is not None else []

    def take_sends(self) -> list[tuple[str, Send]]:
        """(worker id, message), in order."""
        sends, self.journal.sends = self.journal.sends, []
        return sends

    def snapshot(self) -> Snapshot:
        """What a store that has all changes would load."""
        return views.snapshot(self)

    def _renew_journal(self) -> None:
        sends = self.journal.sends
        self.journal = Journal(sends=sends)
