"""The calls about the coordinator itself, as methods of both clients."""

from __future__ import annotations

from .calls import Call, Scope, read_record
from .convert import from_wire
from .convert_specs import milliseconds
from .records import CoordinatorInfo, Summary
from .v1 import coordinator_service_pb2 as wire


def info(self: Scope) -> Call[CoordinatorInfo]:
    """What it is and how it does."""
    return Call(
        lambda stubs: stubs.coordinator.GetInfo,
        wire.GetInfoRequest(),
        lambda answer: from_wire(CoordinatorInfo, answer),
    )


def summary(self: Scope) -> Call[Summary]:
    """Counts over everything."""
    request = wire.GetSummaryRequest()
    return Call(lambda stubs: stubs.coordinator.GetSummary, request, read_record(Summary, "summary"))


def shutdown(
    self: Scope, *, drain: bool = False, drain_timeout_s: float = 0, stop_workers: bool = True
) -> Call[None]:
    """Ends the coordinator; with `drain` once nothing runs any more, or after `drain_timeout_s` seconds
    (0: no limit). Returns once the order is taken."""
    request = wire.ShutdownRequest(
        drain=drain, drain_timeout_ms=milliseconds(drain_timeout_s), stop_workers=stop_workers
    )
    return Call(lambda stubs: stubs.coordinator.Shutdown, request, lambda _answer: None, repeatable=False)
