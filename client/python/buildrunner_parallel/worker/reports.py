"""From how a run ended to the report on its attempt. Pure functions.

Who sends it, and how often, is the attempt book's.
"""

from __future__ import annotations

import signal

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2

from . import spawning, supervisor_messages
from .attempt import Attempt
from .output_buffer import OutputBuffer
from .supervisor_messages import Ended

_ERROR_LIMIT_BYTES = 4096
_OUTCOME_OF_CAUSE = {
    supervisor_messages.CAUSE_TIMEOUT: types_pb2.OUTCOME_TIMED_OUT,
    supervisor_messages.CAUSE_LEASE: types_pb2.OUTCOME_LOST,
    supervisor_messages.CAUSE_STOP: types_pb2.OUTCOME_REVOKED,
    supervisor_messages.CAUSE_CANCEL: types_pb2.OUTCOME_CANCELLED,
}


def one_line(text: str) -> str:
    """At most 4 KiB of UTF-8 without line breaks."""
    data = " ".join(text.split()).encode("utf-8", "backslashreplace")
    return data[:_ERROR_LIMIT_BYTES].decode("utf-8", "ignore")


def ended(attempt: Attempt, how: Ended) -> worker_service_pb2.TaskReport:
    """The report on a process that ran."""
    report = worker_service_pb2.TaskReport(
        attempt_id=attempt.attempt_id,
        fence=attempt.fence,
        outcome=_outcome(attempt, how),
        signal=how.signal,
        pid=attempt.pid,
        started_at_us=attempt.started_at_us,
        ended_at_us=how.ended_at_us,
        slot=max(attempt.slot, 0),
        usage=types_pb2.ResourceUsage(
            user_cpu_us=how.user_cpu_us, system_cpu_us=how.system_cpu_us, max_rss_bytes=how.peak_memory_bytes
        ),
    )
    if not how.signal:
        report.exit_code = how.exit_code
    if how.result is not None:
        report.result.data = how.result
    if report.outcome != types_pb2.OUTCOME_SUCCEEDED:
        report.error = one_line(how.error or _why(report.outcome, attempt, how))
    elif how.error:
        report.error = one_line(how.error)
    return report


def _outcome(attempt: Attempt, how: Ended) -> types_pb2.Outcome.ValueType:
    if how.cause == supervisor_messages.CAUSE_CANCEL and attempt.cancel_outcome:
        return attempt.cancel_outcome
    if how.cause:
        return _OUTCOME_OF_CAUSE[how.cause]
    failed = how.signal or how.exit_code
    return types_pb2.OUTCOME_FAILED if failed else types_pb2.OUTCOME_SUCCEEDED


def _why(outcome: types_pb2.Outcome.ValueType, attempt: Attempt, how: Ended) -> str:
    if outcome == types_pb2.OUTCOME_TIMED_OUT:
        return f"stopped after its timeout of {attempt.timeout_ms / 1000:g} s"
    if how.cause:
        return attempt.cancel_reason or f"stopped: {how.cause}"
    fact = f"killed by {_signal_name(how.signal)}" if how.signal else f"exit code {how.exit_code}"
    last_line = _last_line(attempt.output.error_tail) if attempt.output else ""
    return f"{fact}: {last_line}" if last_line else fact


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(text: bytes) -> str:
    """The last line that says something; compilers like to end with one of marks alone (`|   ^`)."""
    lines = [line for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    telling = [line for line in lines if any(character.isalnum() for character in line)]
    return (telling or lines or [""])[-1].strip()


def handled(
    attempt: Attempt,
    data: bytes | None,
    content_type: str,
    error: str,
    ended_at_us: int,
    usage: tuple[int, int],
) -> worker_service_pb2.TaskReport:
    """The report on a handler that returned or raised; `usage` is CPU microseconds and peak memory bytes."""
    report = worker_service_pb2.TaskReport(
        attempt_id=attempt.attempt_id,
        fence=attempt.fence,
        outcome=types_pb2.OUTCOME_FAILED if error else types_pb2.OUTCOME_SUCCEEDED,
        pid=attempt.pid,
        started_at_us=attempt.started_at_us,
        ended_at_us=ended_at_us,
        slot=attempt.slot,
    )
    usage_field = report.usage
    usage_field.user_cpu_us, usage_field.max_rss_bytes = usage
    if error:
        report.error = one_line(error)
    if data is not None:
        report.result.data = data
        report.result.content_type = content_type
    return report


def not_started(
    attempt: Attempt, error: str, now_us: int, *, worker_fault: bool
) -> worker_service_pb2.TaskReport:
    """The report on an attempt that could not be started."""
    return worker_service_pb2.TaskReport(
        attempt_id=attempt.attempt_id,
        fence=attempt.fence,
        outcome=types_pb2.OUTCOME_NOT_STARTED,
        error=one_line(error),
        ended_at_us=now_us,
        worker_fault=worker_fault,
    )


def cancelled_unstarted(
    attempt_id: str, fence: int, outcome: types_pb2.Outcome.ValueType, reason: str, now_us: int
) -> worker_service_pb2.TaskReport:
    """The report on an attempt that was told to stop before it started."""
    return worker_service_pb2.TaskReport(
        attempt_id=attempt_id, fence=fence, outcome=outcome, error=one_line(reason), ended_at_us=now_us
    )


def is_worker_fault(kind: str) -> bool:
    """Whether a refused start is the worker's own fault, not its task's."""
    return kind == spawning.RESOURCES


def add_output(report: worker_service_pb2.TaskReport, output: OutputBuffer) -> None:
    """Final offsets, and the whole output when it is small."""
    report.output_bytes = output.total_bytes
    report.output_dropped_bytes = output.dropped_bytes
    if output.fits_inline:
        for piece in output.all_pieces():
            report.output.add(
                offset=piece.offset,
                channel=types_pb2.OutputChannel.ValueType(piece.channel),
                data=piece.data,
                dropped_bytes=piece.dropped_bytes,
            )
