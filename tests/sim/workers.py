"""Workers after the protocol of worker_service.proto: what a runtime does with its attempts.

Stopped (SIGSTOP) and killed as a whole, with its stream; its supervisor goes on by itself.
"""

from __future__ import annotations

from typing import Any

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import Outcome
from buildrunner_coordinator.domain.replies import (
    Acknowledge,
    Assign,
    Disposition,
    Drain,
    Registered,
    Revoke,
    Stop,
)
from tests.sim.attempts import OVER, RUNNING, WAITING, SimAttempt
from tests.sim.schedule import MS, SECOND
from tests.sim.talker import Talker


class SimWorker(Talker):
    """One worker."""

    def _receive(self, call: int, message: tuple[Any, ...]) -> None:
        if call != self._call or self.stream is None:
            return
        self._heard_us = self.world.schedule.now_us
        kind, *rest = message
        if kind == "send":
            self._take_send(rest[0])
        elif kind == "welcome":
            self._welcomed(call, *rest)
        elif kind == "beat":
            self._beat_answered(*rest)
        elif kind == "unknown":
            self._become_new()
        elif kind == "refused":
            self.is_draining = True
            self.stream = None
        else:
            self.disconnect(lose=True)
        self._leave_if_done()

    def _welcomed(self, call: int, registered: Registered, store_id: str, epoch: int) -> None:
        is_new = registered.worker_id != self.worker_id
        if is_new and self.attempts:
            self.supervisor.kill_all()
            self._forget_all()
        self.worker_id, self.generation, self.store_id = registered.worker_id, registered.generation, store_id
        self._pause_us = 50 * MS
        self._beats.clear()
        self._sequence = 0
        if is_new:
            self.supervisor.renew(self._hello_us)
        for attempt in self.attempts.values():
            if attempt.state == OVER and attempt.report is not None:
                self.say(attempt.report)
            elif attempt.state == RUNNING and not attempt.disowned:
                self.say(attempt.started_word(self))
        if self.is_draining:
            self.world.ask_to_drain(self.worker_id)
        self._beat(call)

    def _become_new(self) -> None:
        self.supervisor.kill_all()
        self._forget_all()
        self.worker_id = self.store_id = ""
        self.generation = 0
        self.disconnect(lose=True)

    def _forget_all(self) -> None:
        for attempt in list(self.attempts.values()):
            self._forget(attempt)

    def _beat_answered(self, sequence: int, unknown: tuple[str, ...]) -> None:
        sent_us = self._beats.pop(sequence, None)
        if sent_us is not None:
            self.supervisor.renew(sent_us)
        for attempt_id in unknown:
            self._disown(attempt_id)
        self.dispatch()

    def _take_send(self, send: Any) -> None:
        if isinstance(send, Assign):
            self._assigned(send)
        elif isinstance(send, Revoke):
            self._revoked(send)
        elif isinstance(send, Stop):
            self._cancelled(send)
        elif isinstance(send, Acknowledge):
            self._acknowledged(send)
        else:
            assert isinstance(send, Drain)
            self.drain()

    def _assigned(self, assign: Assign) -> None:
        if assign.generation < self.generation:
            return
        given_back = self.finished.get(assign.attempt_id)
        if assign.attempt_id in self.attempts or given_back is False:
            return
        if self.is_draining or given_back:
            self.say(c.Revoked(self.worker_id, assign.attempt_id, assign.fence, False))
            return
        attempt = SimAttempt(assign, self.world.plans.by_spec(assign.spec))
        self.attempts[assign.attempt_id] = attempt
        self.waiting.append(attempt)
        self.dispatch()

    def _revoked(self, revoke: Revoke) -> None:
        attempt = self.attempts.get(revoke.attempt_id)
        if attempt is None:
            self.say(c.Revoked(self.worker_id, revoke.attempt_id, revoke.fence, False))
        elif attempt.state == WAITING:
            self._give_back(attempt)
        elif attempt.state in (RUNNING, OVER):
            self.say(c.Revoked(self.worker_id, revoke.attempt_id, revoke.fence, True))
        else:
            attempt.revoke_asked = True
            self.supervisor.take_back(attempt)

    def _cancelled(self, stop: Stop) -> None:
        attempt = self.attempts.get(stop.attempt_id)
        if attempt is None:
            self.say(c.Finished(self.worker_id, stop.attempt_id, stop.fence, stop.outcome))
            self.finished[stop.attempt_id] = False
            return
        if attempt.state == OVER:
            return
        attempt.stop_as = stop.outcome
        self._stop(attempt, stop.outcome)

    def _stop(self, attempt: SimAttempt, outcome: Outcome) -> None:
        if attempt.state == WAITING:
            self.waiting.remove(attempt)
            self.given_back(attempt)
        else:
            self.supervisor.stop(attempt, outcome)

    def _acknowledged(self, word: Acknowledge) -> None:
        attempt = self.attempts.get(word.attempt_id)
        if attempt is None or attempt.assign.fence != word.fence:
            return
        if word.disposition is Disposition.STALE:
            self._disown(word.attempt_id)
        elif attempt.report is None:
            return
        elif word.disposition is Disposition.OUTPUT_MISSING:
            attempt.acknowledged_bytes = word.output_offset
            attempt.reported = False
            self._send_output(attempt)
        else:
            # One that was given back before it started leaves no row, so nothing of it is promised.
            given_back = attempt.report.outcome is Outcome.REVOKED and not attempt.report.started_at_us
            if word.disposition is Disposition.ACCEPTED and not given_back:
                self.world.records.promise("attempt", attempt.assign.session_id, word.attempt_id)
            self._forget(attempt)

    def _disown(self, attempt_id: str) -> None:
        attempt = self.attempts.get(attempt_id)
        if attempt is None or attempt.disowned:
            return
        attempt.disowned = True
        if attempt.state == OVER:
            self._forget(attempt)
        else:
            self._stop(attempt, Outcome.CANCELLED)

    # ------------------------------------------------------------------ what the supervisor says

    def dispatch(self) -> None:
        """Hands on what there is room for, first come, first served."""
        while self.waiting and self.supervisor.start(self.waiting[0]):
            del self.waiting[0]

    def started(self, attempt: SimAttempt) -> None:
        attempt.state = RUNNING
        self.say(attempt.started_word(self))
        if attempt.revoke_asked:
            attempt.revoke_asked = False
            self.say(c.Revoked(self.worker_id, attempt.attempt_id, attempt.assign.fence, True))

    def given_back(self, attempt: SimAttempt) -> None:
        """It has not started and never will."""
        if attempt.disowned:
            self._forget(attempt)
        elif attempt.stop_as is not None:
            attempt.state = OVER
            attempt.report = c.Finished(
                self.worker_id, attempt.attempt_id, attempt.assign.fence, attempt.stop_as
            )
            self._report(attempt)
        else:
            self._give_back(attempt)
        self.dispatch()

    def ended(self, attempt: SimAttempt, outcome: Outcome) -> None:
        attempt.state = OVER
        if attempt.disowned:
            self._forget(attempt)
        else:
            if attempt.revoke_asked:
                self.say(c.Revoked(self.worker_id, attempt.attempt_id, attempt.assign.fence, attempt.ran))
            attempt.report = attempt.make_report(self, outcome)
            self._send_output(attempt)
        self.dispatch()
        self._leave_if_done()

    def _send_output(self, attempt: SimAttempt) -> None:
        """Output that is not inline goes first, by another way than the stream; the report follows on it."""
        if attempt.attempt_id not in self.attempts or attempt.reported:
            return
        chunks = attempt.unacknowledged_output()
        if not chunks:
            self._report(attempt)
            return
        word = c.AppendOutput(self.worker_id, attempt.attempt_id, attempt.assign.fence, chunks)
        self.world.append_output(self, attempt, word)
        self.later(6 * SECOND, self._send_output, attempt)

    def output_acknowledged(self, attempt: SimAttempt, offset: int, stale: bool) -> None:
        if stale:
            self._disown(attempt.attempt_id)
        elif attempt.attempt_id in self.attempts:
            attempt.acknowledged_bytes = max(attempt.acknowledged_bytes, offset)
            self._send_output(attempt)

    def _report(self, attempt: SimAttempt) -> None:
        """Said, and repeated until it is acknowledged."""
        if attempt.attempt_id in self.attempts and attempt.report is not None:
            attempt.reported = True
            self.say(attempt.report)
            if self.rng.random() < 0.1:
                self.say(attempt.report)
            self.later(self.world.settings.report_repeat_ms * 1000, self._report, attempt)

    def _give_back(self, attempt: SimAttempt) -> None:
        if attempt in self.waiting:
            self.waiting.remove(attempt)
        self.say(c.Revoked(self.worker_id, attempt.attempt_id, attempt.assign.fence, False))
        del self.attempts[attempt.attempt_id]
        self.finished[attempt.attempt_id] = True

    def _forget(self, attempt: SimAttempt) -> None:
        if attempt in self.waiting:
            self.waiting.remove(attempt)
        self.attempts.pop(attempt.attempt_id, None)
        self.finished[attempt.attempt_id] = False

    # ------------------------------------------------------------------ leaving

    def drain(self) -> None:
        self.is_draining = True
        for attempt in list(self.waiting):
            self._give_back(attempt)
        for attempt in list(self.attempts.values()):
            if attempt.is_handed:
                attempt.revoke_asked = True
                self.supervisor.take_back(attempt)
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        if not self.is_draining or self.attempts or not self.is_alive:
            return
        if self.stream is not None and self.up is not None and self.generation:
            self.up.send(("bye", []))
        self.is_alive = False
        self.stream = None
        self.world.trace.add(self.world.schedule.now_us, "worker leaves", self.name, self.worker_id)
