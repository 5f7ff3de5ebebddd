"""An attempt book between recording neighbours: what it is told, and all that it says and does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2
from buildrunner_parallel.worker import groundwork
from buildrunner_parallel.worker import supervisor_messages as say
from buildrunner_parallel.worker.attempt import Attempt
from buildrunner_parallel.worker.attempt_book import AttemptBook
from buildrunner_parallel.worker.credit import CreditGauge
from buildrunner_parallel.worker.ground import Ground
from buildrunner_parallel.worker.outgoing import Outgoing

NOW_US = 1_800_000_000_000_000


class RecordingExecutor:
    """Takes `room` attempts and notes what it is told."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.told: list[tuple[Any, ...]] = []
        self.reserved: set[str] = set()

    def reserve(self, attempt: Attempt) -> bool:
        if self.room - len(self.reserved) < 1:
            return False
        self.reserved.add(attempt.attempt_id)
        return True

    def release(self, attempt: Attempt) -> None:
        self.reserved.discard(attempt.attempt_id)

    def start(self, attempt: Attempt) -> bool:
        if self.room < 1:
            return False
        self.room -= 1
        self.told.append(("start", attempt.attempt_id))
        return True

    def stop(self, attempt: Attempt, grace_ns: int, cause: str) -> None:
        self.told.append(("stop", attempt.attempt_id, grace_ns, cause))

    def take_back(self, attempt: Attempt) -> None:
        self.told.append(("take back", attempt.attempt_id))

    def over(self, attempt: Attempt) -> None:
        self.room += 1

    def pause_output(self, attempt: Attempt, paused: bool) -> None:
        self.told.append(("pause" if paused else "resume", attempt.attempt_id))


class RecordingPreparer:
    """Prepares attempts whose task is audited, as told by the test; notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.is_wanted: Callable[[], bool] = lambda: True

    def is_needed(self, attempt: Attempt) -> bool:
        return attempt.assignment.spec.audit == types_pb2.AUDIT_MODE_ON

    def prepare(self, attempt: Attempt) -> None:
        self.told.append(("prepare", attempt.attempt_id))

    def close(
        self, attempt: Attempt, report: worker_service_pb2.TaskReport, is_wanted: Callable[[], bool]
    ) -> None:
        attempt.ground = None
        self.is_wanted = is_wanted
        self.told.append(("close", attempt.attempt_id))

    def abandon(self, attempt: Attempt) -> None:
        attempt.ground = None
        self.told.append(("abandon", attempt.attempt_id))


class Bench:
    """A book with a recording executor; `said` empties what would be sent."""

    def __init__(self, room: int = 1) -> None:
        self.executor = RecordingExecutor(room)
        self.outgoing = Outgoing()
        self.preparer = RecordingPreparer()
        self.book = AttemptBook(
            self.executor, self.outgoing, CreditGauge(1, 4), lambda: NOW_US, self.preparer
        )

    def assign(self, *attempt_ids: str, generation: int = 1, audited: bool = False) -> None:
        for attempt_id in attempt_ids:
            spec = types_pb2.TaskSpec(command=types_pb2.CommandWork(argv=["true"]))
            if audited:
                spec.audit = types_pb2.AUDIT_MODE_ON
            assignment = worker_service_pb2.Assignment(
                attempt_id=attempt_id, fence=int(attempt_id, 16), spec=spec, generation=generation
            )
            self.book.assign([assignment], 1)
        self.book.dispatch()

    def prepared(self, attempt_id: str, failure: str = "") -> None:
        ground = None if failure else Ground("/elsewhere")
        self.book.on_ground((groundwork.PREPARED, attempt_id, ground, failure))
        self.book.dispatch()

    def closed(self, attempt_id: str) -> None:
        report = worker_service_pb2.TaskReport(
            attempt_id=attempt_id, fence=int(attempt_id, 16), outcome=types_pb2.OUTCOME_SUCCEEDED
        )
        self.book.on_ground((groundwork.CLOSED, attempt_id, report))

    def prepared_told(self) -> list[tuple[str, str]]:
        told, self.preparer.told = self.preparer.told, []
        return told

    def started(self, attempt_id: str) -> None:
        self.book.on_event((say.STARTED, attempt_id, 77, 0, NOW_US), 1.0)

    def printed(self, attempt_id: str, data: bytes) -> None:
        self.book.on_event((say.OUTPUT, attempt_id, 1, data), 1.0)

    def ended(self, attempt_id: str, exit_code: int = 0, cause: str = "") -> None:
        ended = say.Ended(
            say.ENDED, attempt_id, exit_code, 0, cause, NOW_US + 5, 5, 1, 2, 4096, None, ""
        )  # fmt: skip
        self.book.on_event(tuple(ended), 1.0)
        self.book.dispatch()

    def acknowledge(self, attempt_id: str, disposition: Any, offset: int = 0) -> None:
        self.book.acknowledge(
            worker_service_pb2.Acknowledgement(
                attempt_id=attempt_id,
                fence=int(attempt_id, 16),
                disposition=disposition,
                output_offset=offset,
            )
        )

    def cancel(self, attempt_id: str, **fields: Any) -> None:
        self.book.cancel(
            worker_service_pb2.Cancellation(attempt_id=attempt_id, fence=int(attempt_id, 16), **fields)
        )

    def revoke(self, attempt_id: str) -> None:
        self.book.revoke(worker_service_pb2.Revocation(attempt_id=attempt_id, fence=int(attempt_id, 16)))

    def said(self) -> list[tuple[str, ...]]:
        request = self.outgoing.take()
        words: list[tuple[str, ...]] = [
            ("answer", one.attempt_id, str(one.started)) for one in request.revocation_answers
        ]
        words += [("started", one.attempt_id) for one in request.started]
        outcome_name = types_pb2.Outcome.Name
        return words + [("report", one.attempt_id, outcome_name(one.outcome)[8:]) for one in request.reports]

    def told(self) -> list[tuple[Any, ...]]:
        told, self.executor.told = self.executor.told, []
        return told
