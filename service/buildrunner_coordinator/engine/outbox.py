"""What is to be sent to workers: one bounded queue a stream, filled by the engine, emptied by its writer.

Nothing is kept for a worker without a stream: it is told again when it says hello.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from enum import StrEnum

from buildrunner_coordinator.domain.replies import Assign, Send

MAX_SENDS = 50_000


class Closed(StrEnum):
    """Why an outbox takes and gives nothing more."""

    SUPERSEDED = "superseded"
    OVERFLOW = "overflow"
    ENDED = "ended"


class Outbox:
    """The queue of one stream (or of one polling worker). Entries are sends, or bytes ready to be written."""

    def __init__(self, worker_id: str, generation: int, max_sends: int = MAX_SENDS) -> None:
        self.worker_id = worker_id
        self.generation = generation
        self.closed: Closed | None = None
        self._entries: list[Send | bytes] = []
        self._max_sends = max_sends
        self._wake = asyncio.Event()

    def put(self, entry: Send | bytes) -> None:
        if self.closed is not None:
            return
        if len(self._entries) >= self._max_sends:
            self.close(Closed.OVERFLOW)
            return
        self._entries.append(entry)
        self._wake.set()

    def close(self, why: Closed) -> None:
        """What is still in it can be taken. The first reason stands."""
        if self.closed is None:
            self.closed = why
        self._wake.set()

    async def wait(self) -> None:
        """Returns once there is something to take, or the outbox is closed."""
        if not self._entries and self.closed is None:
            self._wake.clear()
            await self._wake.wait()

    def take(self) -> list[Send | bytes]:
        """Everything that is in it, in order."""
        entries, self._entries = self._entries, []
        return entries

    def take_assignments(self, limit: int) -> list[Assign]:
        """At most `limit` assignments; the rest stays."""
        taken: list[Assign] = []
        kept: list[Send | bytes] = []
        for entry in self._entries:
            if isinstance(entry, Assign) and len(taken) < limit:
                taken.append(entry)
            else:
                kept.append(entry)
        self._entries = kept
        return taken

    def take_others(self) -> list[Send | bytes]:
        """All but the assignments, in order."""
        others: list[Send | bytes] = [entry for entry in self._entries if not isinstance(entry, Assign)]
        self._entries = [entry for entry in self._entries if isinstance(entry, Assign)]
        return others


class Outboxes:
    """The outboxes of all connected workers; at most one a worker."""

    def __init__(self) -> None:
        self._by_worker: dict[str, Outbox] = {}

    def attach(self, outbox: Outbox) -> None:
        """From now on its worker's sends go here; an older stream of the same worker is ended."""
        former = self._by_worker.get(outbox.worker_id)
        self._by_worker[outbox.worker_id] = outbox
        if former is not None:
            former.close(Closed.SUPERSEDED)

    def detach(self, outbox: Outbox) -> None:
        """Idempotent; leaves a newer outbox of the same worker alone."""
        outbox.close(Closed.ENDED)
        if self._by_worker.get(outbox.worker_id) is outbox:
            del self._by_worker[outbox.worker_id]

    def forget(self, worker_ids: Iterable[str]) -> None:
        """The workers are removed. A stream's own end still closes its outbox; one that polled just goes."""
        for worker_id in worker_ids:
            self._by_worker.pop(worker_id, None)

    def of(self, worker_id: str) -> Outbox | None:
        return self._by_worker.get(worker_id)

    def __len__(self) -> int:
        return len(self._by_worker)

    def deliver(self, sends: Sequence[tuple[str, Send]]) -> None:
        """Sends to workers without an outbox are dropped."""
        boxes = self._by_worker
        for worker_id, send in sends:
            box = boxes.get(worker_id)
            if box is not None:
                box.put(send)

    def close_all(self) -> None:
        for box in list(self._by_worker.values()):
            box.close(Closed.ENDED)
