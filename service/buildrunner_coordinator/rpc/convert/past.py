"""Ended attempts and events as they are shown, and the page tokens of both."""

from __future__ import annotations

from collections.abc import Sequence

from buildrunner_coordinator.domain.changes import AttemptRow, EventRow
from buildrunner_coordinator.rpc.convert.basics import invalid, timestamp
from buildrunner_coordinator.rpc.convert.tasks import attempt_message
from buildrunner_parallel.v1 import event_service_pb2 as event_pb
from buildrunner_parallel.v1 import task_service_pb2 as task_pb
from buildrunner_parallel.v1 import types_pb2 as types

_DIGITS = 18


def ended_attempt(row: AttemptRow, spec: bytes) -> task_pb.EndedAttempt:
    """Without `spec`, what it was told to run is left out."""
    return task_pb.EndedAttempt(
        task_id=row.task_id,
        task_number=row.task_number,
        attempt=attempt_message(row),
        spec=types.TaskSpec.FromString(spec) if spec else None,
    )


def history_event(row: EventRow) -> event_pb.HistoryEvent:
    return event_pb.HistoryEvent(
        revision=row.revision,
        at=timestamp(row.at_us),
        kind=row.kind,
        session_id=row.session_id,
        task_id=row.task_id,
        attempt=row.attempt,
        worker_id=row.worker_id,
        message=row.message,
    )


def place_token(place: Sequence[int]) -> str:
    """Where the next page begins: behind this place."""
    return "-".join(map(str, place))


def place_start(token: str, parts: int) -> tuple[int, ...] | None:
    """The place in a page token; None on the first page. Raises Refusal (INVALID)."""
    if not token:
        return None
    numbers = token.split("-")
    fit = all(one.isascii() and one.isdigit() and len(one) <= _DIGITS for one in numbers)
    if not fit or len(numbers) != parts:
        raise invalid(f"The page token {token[:40]!r} is not one of ours. Give next_page_token unchanged.")
    return tuple(map(int, numbers))
