"""What waits to be said to the coordinator on the worker's stream, gathered into as few messages as possible.

Attempts are known by id only; nothing is decided here.
"""

from __future__ import annotations

from typing import TypeVar

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2

_MOST_ITEMS = 500
_MOST_REPORT_BYTES = 1 << 20

_Part = TypeVar("_Part")


def _take_some(parts: dict[str, _Part]) -> list[_Part]:
    return [parts.pop(attempt_id) for attempt_id in list(parts)[:_MOST_ITEMS]]


class Outgoing:
    """Parts of the next ConnectRequest."""

    def __init__(self) -> None:
        self._started: dict[str, worker_service_pb2.TaskStarted] = {}
        self._progress: dict[str, worker_service_pb2.TaskProgress] = {}
        self._reports: dict[str, worker_service_pb2.TaskReport] = {}
        self._answers: dict[str, worker_service_pb2.RevocationAnswer] = {}
        self.credit = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say."""
        return not (self._reports or self._started or self._answers or self._progress or self.credit)

    def started(self, message: worker_service_pb2.TaskStarted) -> None:
        """A process runs."""
        self._started[message.attempt_id] = message

    def progress(self, attempt_id: str, fence: int, percent: float, text: str) -> None:
        """A newer word on the same attempt replaces the older one."""
        self._progress[attempt_id] = worker_service_pb2.TaskProgress(
            attempt_id=attempt_id, fence=fence, percent=percent, message=text
        )

    def report(self, report: worker_service_pb2.TaskReport) -> None:
        """An attempt is over; a start that was not told yet need not be told any more."""
        self._reports[report.attempt_id] = report
        self._progress.pop(report.attempt_id, None)
        if report.outcome not in (types_pb2.OUTCOME_REVOKED, types_pb2.OUTCOME_CANCELLED):
            self._started.pop(report.attempt_id, None)

    def answer(self, attempt_id: str, fence: int, *, started: bool) -> None:
        """To a revocation."""
        self._answers[attempt_id] = worker_service_pb2.RevocationAnswer(
            attempt_id=attempt_id, fence=fence, started=started
        )

    def forget(self, attempt_id: str) -> None:
        """Nothing is to be said about the attempt any more, but an answer that is owed."""
        self._reports.pop(attempt_id, None)
        self._started.pop(attempt_id, None)
        self._progress.pop(attempt_id, None)

    def clear(self) -> None:
        """The other side is not who it was."""
        for part in (self._started, self._progress, self._reports, self._answers):
            part.clear()
        self.credit = 0

    def take(self) -> worker_service_pb2.ConnectRequest:
        """The next message, cut to a size that any coordinator accepts; the rest stays."""
        request = worker_service_pb2.ConnectRequest(credit=self.credit)
        self.credit = 0
        request.revocation_answers.extend(_take_some(self._answers))
        request.started.extend(_take_some(self._started))
        request.progress.extend(_take_some(self._progress))
        size_bytes = 0
        for attempt_id in list(self._reports)[:_MOST_ITEMS]:
            report = self._reports.pop(attempt_id)
            request.reports.append(report)
            size_bytes += len(report.result.data) + len(report.error) + 512
            if report.output:
                size_bytes += report.output_bytes
            if size_bytes > _MOST_REPORT_BYTES:
                break
        return request
