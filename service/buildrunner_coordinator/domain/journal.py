"""What a batch has touched so far: entities to be written, messages to be sent, locks to be told of.

Entities are noted by reference and turned into rows once, when the batch is collected; so ten
changes of one task in a batch are one row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from buildrunner_coordinator.domain.changes import (
    AttemptRow,
    EventRow,
    LockTimeRow,
    OutputRow,
    OutputTrim,
    PatchRow,
)
from buildrunner_coordinator.domain.model import Grant, Lapse, LockRequest, Pool, Session, Task, Worker
from buildrunner_coordinator.domain.replies import LockView, Send


@dataclass(slots=True)
class Journal:
    sessions: dict[str, Session] = field(default_factory=dict)
    specs: list[Task] = field(default_factory=list)
    tasks: dict[int, Task] = field(default_factory=dict)
    """By index."""
    attempts: list[AttemptRow] = field(default_factory=list)
    outputs: list[OutputRow] = field(default_factory=list)
    output_trims: dict[tuple[str, str, int], OutputTrim] = field(default_factory=dict)
    events: list[EventRow] = field(default_factory=list)
    workers: dict[str, Worker] = field(default_factory=dict)
    pools: dict[tuple[str, str], Pool] = field(default_factory=dict)
    lapses: dict[str, Lapse] = field(default_factory=dict)
    patches: list[PatchRow] = field(default_factory=list)
    grants: dict[str, Grant] = field(default_factory=dict)
    lock_requests: dict[str, LockRequest] = field(default_factory=dict)
    lock_times: list[LockTimeRow] = field(default_factory=list)
    removed_grants: list[str] = field(default_factory=list)
    removed_lock_requests: list[str] = field(default_factory=list)
    locks: list[LockView] = field(default_factory=list)
    removed_sessions: list[str] = field(default_factory=list)
    removed_workers: list[str] = field(default_factory=list)
    removed_pools: list[tuple[str, str]] = field(default_factory=list)
    removed_lapses: list[str] = field(default_factory=list)
    removed_events: list[tuple[int]] = field(default_factory=list)
    removed_locks: list[tuple[str, str]] = field(default_factory=list)
    """(lock id, session id)"""
    sends: list[tuple[str, Send]] = field(default_factory=list)
    counters_changed: bool = False
    """The meta row is to be written, even if nothing else is."""
    watched_tasks: dict[int, Task] = field(default_factory=dict)
    """Changed only in what watchers see (progress, what it waits for): told with the next commit."""

    @property
    def has_rows(self) -> bool:
        return bool(
            self.tasks or self.sessions or self.workers or self.attempts or self.outputs or self.specs
            or self.pools or self.lapses or self.removed_sessions or self.removed_workers
            or self.removed_pools or self.removed_lapses or self.watched_tasks or self.events
            or self.patches or self.grants or self.lock_requests or self.lock_times or self.removed_grants
            or self.removed_lock_requests or self.counters_changed
        )  # fmt: skip
