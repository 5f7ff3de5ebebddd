"""What the engine needs of its neighbours, as protocols, so that the simulator and tests can stand in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from buildrunner_coordinator.domain.changes import Changes, MetaRow
from buildrunner_coordinator.domain.model import Time
from buildrunner_coordinator.domain.replies import Event, Send


class RequestMemory(Protocol):
    """The answers to request ids; see `domain.requests.RequestLog`."""

    def lookup(self, client_id: str, request_id: str, digest: bytes) -> bytes | None: ...

    def remember(self, client_id: str, request_id: str, digest: bytes, reply: bytes, now: Time) -> None: ...


class CorePort(Protocol):
    """The part of `domain.core.Core` that a batch uses, in the order in which it is used."""

    @property
    def requests(self) -> RequestMemory: ...

    @property
    def revision(self) -> int: ...

    @property
    def meta(self) -> MetaRow: ...

    def extend_leases(self, gap_us: int) -> None: ...

    def tick(self, now: Time) -> None: ...

    def apply(self, command: object, now: Time) -> object: ...

    def place(self, now: Time) -> None: ...

    def collect(self) -> Changes: ...

    def take_events(self) -> list[Event]: ...

    def take_sends(self) -> list[tuple[str, Send]]: ...

    def next_deadline_us(self) -> int | None: ...


class Clock(Protocol):
    def now(self) -> Time:
        """The present moment; `us` never goes back."""


class SendSink(Protocol):
    def deliver(self, sends: Sequence[tuple[str, Send]]) -> None:
        """Takes what is to be sent to workers, in order."""


class EventSink(Protocol):
    def publish(self, revision: int, events: list[Event]) -> None:
        """Takes what a batch changed, for watchers."""
