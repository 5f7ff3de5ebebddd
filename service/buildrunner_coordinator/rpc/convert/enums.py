"""Enumerations of the wire and of the domain, matched by name, both ways, checked at import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Generic, TypeVar

from buildrunner_coordinator.domain import model, replies
from buildrunner_parallel.v1 import event_service_pb2, types_pb2, worker_service_pb2

Member = TypeVar("Member", bound=StrEnum)


class Matched(Generic[Member]):
    """One enumeration of both sides. Raises AssertionError when a member has no value on the wire."""

    def __init__(self, wire_enum: Any, prefix: str, members: Iterable[Member]) -> None:
        values: Mapping[str, int] = dict(wire_enum.items())
        self.to_wire: dict[str, int] = {}
        self._from_wire: dict[int, Member] = {}
        for member in members:
            name = f"{prefix}_{member.name}"
            assert name in values, f"{name} is not in the protocol"
            self.to_wire[member.value] = values[name]
            self._from_wire[values[name]] = member

    def wire(self, value: str | None) -> Any:
        """The number of a member or of its text; 0 (unspecified) for None and the empty text."""
        return self.to_wire[value] if value else 0

    def domain(self, number: int) -> Member | None:
        """None for unspecified and for numbers of a newer protocol."""
        return self._from_wire.get(number)

    def known(self, numbers: Iterable[int]) -> tuple[Member, ...]:
        """The members among `numbers`, in order, without the unspecified and the unknown."""
        return tuple(self._from_wire[number] for number in numbers if number in self._from_wire)


class WaitKind(StrEnum):
    """What the core calls the kinds of waits."""

    NEEDS = "needs"
    LOCKS = "locks"
    NO_WORKER = "no_worker"
    NO_SLOT = "no_slot"
    SESSION = "session"
    BACKOFF = "backoff"
    MAX_PARALLEL = "max_parallel"
    LOCK_DELAY = "lock_delay"
    SHARE = "share"


class EntityKind(StrEnum):
    """What the feed calls its entities."""

    SESSION = "session"
    TASK = "task"
    WORKER = "worker"
    LOCK = "lock"
    POOL = "pool"


SESSION_STATUS = Matched(types_pb2.SessionStatus, "SESSION_STATUS", model.SessionStatus)
TASK_STATUS = Matched(types_pb2.TaskStatus, "TASK_STATUS", model.TaskStatus)
WORKER_STATUS = Matched(types_pb2.WorkerStatus, "WORKER_STATUS", model.WorkerStatus)
OUTCOME = Matched(types_pb2.Outcome, "OUTCOME", model.Outcome)
FAILURE_ACTION = Matched(types_pb2.FailureAction, "FAILURE_ACTION", model.FailureAction)
DRIVER = Matched(types_pb2.SessionDriver, "SESSION_DRIVER", model.Driver)
LOCK_MODE = Matched(types_pb2.LockMode, "LOCK_MODE", model.LockMode)
LOCK_KIND = Matched(types_pb2.LockKind, "LOCK_KIND", model.LockKind)
WAIT_KIND = Matched(types_pb2.WaitKind, "WAIT_KIND", WaitKind)
ENTITY_KIND = Matched(event_service_pb2.EntityKind, "ENTITY_KIND", EntityKind)
MERGE = Matched(worker_service_pb2.MergeOutcome, "MERGE_OUTCOME", model.Merge)
DISPOSITION = Matched(worker_service_pb2.Disposition, "DISPOSITION", replies.Disposition)
