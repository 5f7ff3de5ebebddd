"""Every attempt in the worker's hands, and what each word from the coordinator or from below means for it.

Events in, instructions out: no loop, no socket, no clock. The coordinator's words come as proto messages,
those from below as the tuples of supervisor_messages, handler_pool and groundwork; instructions go to
`Executor`, `Preparer` and `Outgoing`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2

from . import attempt as states
from . import groundwork, handler_pool, reports, spawning
from . import supervisor_messages as events
from .attempt import Attempt
from .credit import CreditGauge
from .framing import Message
from .ground import Ground
from .outgoing import Outgoing
from .output_buffer import PAUSE_ABOVE_BYTES, RESUME_BELOW_BYTES, OutputBuffer
from .ports import Executor, Preparer

_log = logging.getLogger(__name__)
_MS = 1_000_000
_REMEMBERED_ATTEMPTS = 10_000


class AttemptBook:
    """One worker's attempts by id. `read_time_us` gives microseconds since 1970 for reports made here."""

    def __init__(
        self,
        executor: Executor,
        outgoing: Outgoing,
        credit: CreditGauge,
        read_time_us: Callable[[], int],
        preparer: Preparer,
    ) -> None:
        self._executor = executor
        self._preparer = preparer
        self._outgoing = outgoing
        self._credit = credit
        self._read_time_us = read_time_us
        self._attempts: dict[str, Attempt] = {}
        self._waiting: deque[Attempt] = deque()
        self._unacknowledged: dict[str, Attempt] = {}
        self._with_output: dict[str, Attempt] = {}
        self._finished: dict[str, bool] = {}
        self._finished_in_order: deque[str] = deque()
        self._is_without_lease = False
        self.is_draining = False
        self.output_head_bytes = 0
        self.output_tail_bytes = 0
        self.spool_folder = ""

    def __len__(self) -> int:
        return len(self._attempts)

    @property
    def has_processes(self) -> bool:
        """Whether anything is started or about to be."""
        return any(one.state in (states.HANDED, states.RUNNING) for one in self._attempts.values())

    @property
    def with_output(self) -> Iterable[Attempt]:
        """Attempts whose output has to be streamed, or may have to be."""
        return self._with_output.values()

    def had_a_turn(self, attempt: Attempt) -> None:
        """Some of its output was taken to be sent: the others come first now."""
        self._with_output[attempt.attempt_id] = self._with_output.pop(attempt.attempt_id)

    def held(self) -> list[worker_service_pb2.HeldAttempt]:
        """For hello and heartbeats."""
        return [states.held(one) for one in self._attempts.values() if not one.is_disowned]

    # From the coordinator

    def assign(self, assignments: Iterable[worker_service_pb2.Assignment], generation: int) -> None:
        """Takes what is new; what is known already, or was sent on an older stream, is void."""
        for assignment in assignments:
            attempt_id = assignment.attempt_id
            if assignment.generation and assignment.generation < generation:
                continue
            if attempt_id in self._attempts:
                continue
            was_given_back = self._finished.get(attempt_id)
            if was_given_back or (was_given_back is None and self.is_draining):
                self._outgoing.answer(attempt_id, assignment.fence, started=False)
            if was_given_back is not None or self.is_draining:
                continue
            attempt = self._attempts[attempt_id] = states.take(assignment)
            self._waiting.append(attempt)

    def revoke(self, revocation: worker_service_pb2.Revocation) -> None:
        """Gives the attempt back unless it has started; the answer may come later."""
        attempt = self._attempts.get(revocation.attempt_id)
        if attempt is None:
            self._outgoing.answer(revocation.attempt_id, revocation.fence, started=False)
        elif attempt.state == states.WAITING:
            self._waiting.remove(attempt)
            self._give_back(attempt)
        elif attempt.state in (states.HANDED, states.PREPARING):
            self._take_back(attempt)
        else:
            self._outgoing.answer(attempt.attempt_id, attempt.fence, started=True)

    def _take_back(self, attempt: Attempt) -> None:
        attempt.revoke_asked = True
        if attempt.state == states.HANDED:
            self._executor.take_back(attempt)

    def _give_back(self, attempt: Attempt) -> None:
        self._outgoing.answer(attempt.attempt_id, attempt.fence, started=False)
        self._forget(attempt, given_back=True)

    def cancel(self, cancellation: worker_service_pb2.Cancellation) -> None:
        """Stops the attempt; its report carries the outcome that the coordinator wants."""
        attempt = self._attempts.get(cancellation.attempt_id)
        outcome = cancellation.outcome or types_pb2.OUTCOME_CANCELLED
        if attempt is None:
            # Each time: the answer to an earlier one may be lost, and one too many is answered as stale.
            self._report_unstarted(cancellation.attempt_id, cancellation.fence, outcome, cancellation.reason)
            self._remember(cancellation.attempt_id, given_back=False)
            return
        if attempt.state == states.OVER:
            return
        attempt.cancel_outcome, attempt.cancel_reason = outcome, cancellation.reason
        grace_ms = cancellation.grace_ms if cancellation.HasField("grace_ms") else attempt.grace_ms
        self._stop(attempt, grace_ms, events.CAUSE_CANCEL)

    def _report_unstarted(
        self, attempt_id: str, fence: int, outcome: types_pb2.Outcome.ValueType, reason: str
    ) -> worker_service_pb2.TaskReport:
        now_us = self._read_time_us()
        report = reports.cancelled_unstarted(attempt_id, fence, outcome, reason, now_us)
        self._outgoing.report(report)
        return report

    def _stop(self, attempt: Attempt, grace_ms: int, cause: str) -> None:
        if attempt.state == states.WAITING:
            self._waiting.remove(attempt)
            self._on_revoked(attempt)
        elif attempt.state == states.PREPARING:
            attempt.revoke_asked = True
        elif attempt.state != states.OVER:
            if attempt.is_paused:
                attempt.is_paused = False
                self._executor.pause_output(attempt, paused=False)
            self._executor.stop(attempt, grace_ms * _MS, cause)

    def disown(self, attempt_ids: Iterable[str]) -> None:
        """Attempts that the coordinator does not want of us: stopped, and nothing is reported."""
        for attempt_id in attempt_ids:
            attempt = self._attempts.get(attempt_id)
            if attempt is None or attempt.is_disowned:
                continue
            attempt.is_disowned = True
            if attempt.state == states.OVER:
                self._forget(attempt)
            else:
                self._stop(attempt, attempt.grace_ms, events.CAUSE_CANCEL)

    def acknowledge(self, acknowledgement: worker_service_pb2.Acknowledgement) -> None:
        """Lets go of a report, or of the whole attempt when it is stale."""
        attempt = self._attempts.get(acknowledgement.attempt_id)
        if attempt is None or attempt.fence != acknowledgement.fence:
            return
        disposition = acknowledgement.disposition
        if disposition == worker_service_pb2.DISPOSITION_STALE:
            _log.warning("attempt %s is stale: dropped with its report", attempt.attempt_id)
            self.disown([attempt.attempt_id])
        elif attempt.report is None:
            return
        elif disposition == worker_service_pb2.DISPOSITION_OUTPUT_MISSING:
            self._send_output_again(attempt, acknowledgement.output_offset)
        else:
            self._forget(attempt)

    def _send_output_again(self, attempt: Attempt, offset: int) -> None:
        if attempt.output is not None and attempt.output.is_streamed:
            attempt.output.acknowledged_offset = offset
            attempt.output.rewind()
            self._unacknowledged.pop(attempt.attempt_id, None)
            self._with_output[attempt.attempt_id] = attempt
        elif attempt.report is not None:
            self._outgoing.report(attempt.report)

    def acknowledge_output(self, attempt_id: str, fence: int, offset: int, *, stale: bool) -> None:
        """Output before `offset` is durable."""
        attempt = self._attempts.get(attempt_id)
        if attempt is None or attempt.fence != fence or attempt.output is None:
            return
        if stale:
            self.disown([attempt_id])
            return
        attempt.output.acknowledge(offset)
        if attempt.is_paused and attempt.output.held_bytes < RESUME_BELOW_BYTES:
            attempt.is_paused = False
            self._executor.pause_output(attempt, paused=False)
        self._report_if_complete(attempt)

    # From below

    def on_ground(self, event: Message) -> None:
        """What the preparer has done."""
        attempt = self._attempts.get(event[1])
        if event[0] == groundwork.PREPARED and attempt is not None:
            self._on_prepared(attempt, event[2], event[3])
        elif event[0] == groundwork.CLOSED and attempt is not None:
            self._conclude(attempt, event[2])

    def _on_prepared(self, attempt: Attempt, ground: Ground | None, failure: str) -> None:
        self._executor.release(attempt)
        attempt.ground = ground
        attempt.state, attempt.is_prepared = states.WAITING, True
        if attempt.revoke_asked or attempt.is_disowned or attempt.cancel_outcome:
            self._on_revoked(attempt)
        elif failure:
            attempt.state = states.OVER
            now_us = self._read_time_us()
            self._conclude(attempt, reports.not_started(attempt, failure, now_us, worker_fault=False))
        else:
            self._waiting.appendleft(attempt)

    def on_event(self, event: Message, now_s: float) -> None:
        """What became of attempts that were handed on."""
        if event[0] == handler_pool.HOST_FAILED:
            for key in event[1]:
                self._on_refused(key, "", event[2], worker_fault=True)
            return
        attempt = self._attempts.get(event[1])
        if attempt is not None and attempt.state != states.OVER:
            _EVENTS[event[0]](self, attempt, event, now_s)

    def _on_started(self, attempt: Attempt, event: Message, now_s: float) -> None:
        if attempt.state == states.RUNNING:
            return
        attempt.state = states.RUNNING
        _, _, attempt.pid, attempt.slot, attempt.started_at_us = event
        self._outgoing.started(
            worker_service_pb2.TaskStarted(
                attempt_id=attempt.attempt_id,
                fence=attempt.fence,
                pid=attempt.pid,
                started_at_us=attempt.started_at_us,
                slot=attempt.slot,
            )
        )
        if attempt.revoke_asked:
            attempt.revoke_asked = False
            self._outgoing.answer(attempt.attempt_id, attempt.fence, started=True)

    def _on_output(self, attempt: Attempt, event: Message, now_s: float) -> None:
        output = attempt.output
        if output is None:
            output = OutputBuffer(self.output_head_bytes, self.output_tail_bytes, self.spool_folder)
            attempt.output = output
            self._with_output[attempt.attempt_id] = attempt
        output.append(event[2], event[3], now_s)
        if output.held_bytes > PAUSE_ABOVE_BYTES and not attempt.is_paused:
            attempt.is_paused = True
            self._executor.pause_output(attempt, paused=True)

    def _on_ended(self, attempt: Attempt, event: Message, now_s: float) -> None:
        how = events.Ended(*event)
        self._credit.ran(how.wall_us)
        self._finish(attempt, reports.ended(attempt, how))

    def _on_handled(self, attempt: Attempt, event: Message, now_s: float) -> None:
        _, _, data, content_type, error, started_at_us, wall_us, cpu_us, peak_bytes, pid, slot = event
        attempt.pid, attempt.slot, attempt.started_at_us = pid, slot, started_at_us
        self._credit.ran(wall_us)
        usage = (cpu_us, peak_bytes)
        self._finish(
            attempt, reports.handled(attempt, data, content_type, error, started_at_us + wall_us, usage)
        )

    def _on_progress(self, attempt: Attempt, event: Message, now_s: float) -> None:
        self._outgoing.progress(attempt.attempt_id, attempt.fence, event[2], event[3])

    def _on_refused_event(self, attempt: Attempt, event: Message, now_s: float) -> None:
        self._on_refused(event[1], event[2], event[3], worker_fault=reports.is_worker_fault(event[2]))

    def _on_refused(self, key: Any, kind: str, message: str, *, worker_fault: bool) -> None:
        attempt = self._attempts.get(key)
        if attempt is None:
            return
        if kind == spawning.LEASE:
            self._is_without_lease = True
            self._return(attempt)
            return
        report = reports.not_started(attempt, message, self._read_time_us(), worker_fault=worker_fault)
        self._finish(attempt, report)

    def _return(self, attempt: Attempt) -> None:
        """It was handed on, has not started, and may be tried again."""
        self._executor.over(attempt)
        attempt.state = states.WAITING
        if attempt.revoke_asked or attempt.is_disowned or attempt.cancel_outcome:
            self._on_revoked(attempt)
        else:
            self._waiting.appendleft(attempt)

    def _on_returned_event(self, attempt: Attempt, event: Message, now_s: float) -> None:
        self._return(attempt)

    def _on_revoked_event(self, attempt: Attempt, event: Message, now_s: float) -> None:
        self._executor.over(attempt)
        self._on_revoked(attempt)

    def _on_revoked(self, attempt: Attempt) -> None:
        """It has not started and never will."""
        if attempt.is_disowned:
            self._forget(attempt)
        elif attempt.cancel_outcome:
            self._abandon_ground(attempt)
            attempt.state = states.OVER
            attempt.report = self._report_unstarted(
                attempt.attempt_id, attempt.fence, attempt.cancel_outcome, attempt.cancel_reason
            )
            self._unacknowledged[attempt.attempt_id] = attempt
        else:
            self._give_back(attempt)

    def _finish(self, attempt: Attempt, report: worker_service_pb2.TaskReport) -> None:
        self._executor.over(attempt)
        attempt.state = states.OVER
        if attempt.is_disowned:
            self._forget(attempt)
            return
        if attempt.revoke_asked:
            self._outgoing.answer(attempt.attempt_id, attempt.fence, started=True)
        if attempt.ground is None:
            self._conclude(attempt, report)
        elif report.outcome == types_pb2.OUTCOME_NOT_STARTED:
            self._abandon_ground(attempt)
            self._conclude(attempt, report)
        else:
            self._preparer.close(attempt, report, lambda: attempt.attempt_id in self._attempts)

    def _abandon_ground(self, attempt: Attempt) -> None:
        if attempt.ground is not None:
            self._preparer.abandon(attempt)

    def _conclude(self, attempt: Attempt, report: worker_service_pb2.TaskReport) -> None:
        """Nothing more is to be learned of it."""
        attempt.report = report
        if attempt.output is not None:
            attempt.output.finish()
            reports.add_output(report, attempt.output)
        self._report_if_complete(attempt)

    def _report_if_complete(self, attempt: Attempt) -> None:
        """A report leaves once its output is durable, or when it carries the output itself."""
        if attempt.report is None or attempt.attempt_id in self._unacknowledged:
            return
        output = attempt.output
        if output is None or output.fits_inline or output.is_acknowledged:
            self._with_output.pop(attempt.attempt_id, None)
            self._unacknowledged[attempt.attempt_id] = attempt
            self._outgoing.report(attempt.report)

    def _forget(self, attempt: Attempt, *, given_back: bool = False) -> None:
        attempt_id = attempt.attempt_id
        self._attempts.pop(attempt_id, None)
        self._unacknowledged.pop(attempt_id, None)
        self._abandon_ground(attempt)
        if attempt.output is not None:
            self._with_output.pop(attempt_id, None)
            attempt.output.close()
        if not self._outgoing.is_empty:
            self._outgoing.forget(attempt_id)
        self._remember(attempt_id, given_back=given_back)

    def _remember(self, attempt_id: str, *, given_back: bool) -> None:
        """So that a late repetition of its assignment starts nothing, and a lost answer is given again."""
        if attempt_id not in self._finished:
            self._finished_in_order.append(attempt_id)
        self._finished[attempt_id] = given_back
        if len(self._finished_in_order) > _REMEMBERED_ATTEMPTS:
            self._finished.pop(self._finished_in_order.popleft(), None)

    # By itself

    def dispatch(self) -> None:
        """Hands on what there is room for, first come, first served."""
        waiting = self._waiting
        while waiting and not self._is_without_lease:
            attempt = waiting[0]
            if not attempt.is_prepared and self._preparer.is_needed(attempt):
                if not self._executor.reserve(attempt):
                    break
                waiting.popleft().state = states.PREPARING
                self._preparer.prepare(attempt)
            elif self._executor.start(attempt):
                waiting.popleft().state = states.HANDED
            else:
                break
        if change := self._credit.change():
            self._outgoing.credit = change

    def lease_renewed(self) -> None:
        """Starts are possible again."""
        self._is_without_lease = False

    def repeat_reports(self, now_s: float, repeat_s: float) -> None:
        """Says again what has waited too long for its acknowledgement; 0 repeats everything."""
        for attempt in self._unacknowledged.values():
            if attempt.report is not None and now_s - attempt.sent_at_s >= repeat_s:
                if attempt.sent_at_s or not repeat_s:
                    self._outgoing.report(attempt.report)
                attempt.sent_at_s = now_s

    def new_stream(self, now_s: float) -> None:
        """After a break everything that is not acknowledged is said and sent again."""
        for attempt in self._with_output.values():
            if attempt.output is not None:
                attempt.output.rewind()
        self.repeat_reports(now_s, 0.0)
        for attempt in self._attempts.values():
            if attempt.state == states.RUNNING and not attempt.is_disowned:
                self._tell_start_again(attempt)

    def _tell_start_again(self, attempt: Attempt) -> None:
        self._outgoing.started(
            worker_service_pb2.TaskStarted(
                attempt_id=attempt.attempt_id,
                fence=attempt.fence,
                pid=attempt.pid,
                started_at_us=attempt.started_at_us,
                slot=attempt.slot,
            )
        )

    def drain(self) -> None:
        """Takes nothing new and gives back what has not started."""
        self.is_draining = True
        while self._waiting:
            self._give_back(self._waiting.popleft())
        for attempt in list(self._attempts.values()):
            if attempt.state in (states.HANDED, states.PREPARING):
                self._take_back(attempt)

    def stop_all(self, grace_ms: int) -> None:
        """Stops what runs; the reports say that it was on order and costs nothing."""
        self.drain()
        for attempt in list(self._attempts.values()):
            self._stop(attempt, min(grace_ms, attempt.grace_ms), events.CAUSE_STOP)

    def disown_all(self) -> None:
        """The store is not the one that these attempts came from."""
        self.disown(list(self._attempts))


_EVENTS: dict[str, Callable[[AttemptBook, Attempt, Message, float], None]] = {
    events.STARTED: AttemptBook._on_started,
    events.OUTPUT: AttemptBook._on_output,
    events.ENDED: AttemptBook._on_ended,
    events.REFUSED: AttemptBook._on_refused_event,
    events.REVOKED: AttemptBook._on_revoked_event,
    handler_pool.RETURNED: AttemptBook._on_returned_event,
    handler_pool.HANDLED: AttemptBook._on_handled,
    handler_pool.PROGRESS: AttemptBook._on_progress,
}
