"""The polling worker: `worker.py [--slots N] [--label L]... [--session ID]`, as the contract has it."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grpc

from buildrunner_parallel.v1 import log_service_pb2, log_service_pb2_grpc, worker_service_pb2_grpc
from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1 import worker_service_pb2 as wire
from tests.conformance.polling.attempts import GRACE_MS, HANDLERS, PASSED, Attempt

CALL_S = 10.0
CLAIM_MS = 1_000
INLINE_BYTES = 32 << 10
OPTIONS = (
    ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000), ("grpc.max_receive_message_length", 16 << 20),
)  # fmt: skip
_FOREIGN = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


class Worker:
    """Registers, then claims in this thread, beats in another, and runs each attempt in one of its own."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._address = os.environ["BR_COORDINATOR"]
        token = os.environ.get("BR_TOKEN") or Path(os.environ["BR_TOKEN_FILE"]).read_text().strip()
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._attempts: dict[str, Attempt] = {}
        self._taken: set[str] = set()
        self._welcome = wire.Welcome()
        self._lock = threading.RLock()
        self._registered = threading.Event()
        self._sequence = 0
        self._answered_s = 0.0
        self._is_draining = False
        self.exit_code: int | None = None
        self._connect()

    def _connect(self) -> None:
        self._channel = grpc.insecure_channel(self._address, options=OPTIONS)
        self._stub = worker_service_pb2_grpc.WorkerServiceStub(self._channel)

    def _call(self, method: str, request: Any, timeout_s: float = CALL_S) -> Any:
        """The answer. Raises grpc.RpcError; a silent connection is replaced by another."""
        try:
            return getattr(self._stub, method)(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                self._connect()
            if error.code() in _FOREIGN:
                print(f"refused: {error.details()}", file=sys.stderr)
                os._exit(1)
            if error.code() == grpc.StatusCode.NOT_FOUND:
                self._registered.clear()
            raise

    # ------------------------------------------------------------- registration

    def _register(self) -> None:
        with self._lock:
            known = self._welcome
            hello = wire.Hello(
                worker_id=known.worker_id, store_id=known.store_id, epoch=known.epoch,
                host=socket.gethostname(), pid=os.getpid(), version="kit",
                slots=self._given.slots, labels=self._given.label,
                kinds=types.WorkerKinds(commands=True, handlers=list(HANDLERS)),
                session_id=self._given.session, held=[one.held for one in self._attempts.values()],
            )  # fmt: skip
        sent_s = time.monotonic()
        try:
            welcome = self._call("Register", wire.RegisterRequest(hello=hello)).welcome
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                self._forget_everything()
            raise
        if known.store_id and welcome.store_id != known.store_id:
            self._forget_everything()
            return
        with self._lock:
            if not known.worker_id:
                self._answered_s = sent_s
            self._welcome = welcome
            self._sequence = 0
        self._registered.set()

    def _forget_everything(self) -> None:
        with self._lock:
            for attempt in self._attempts.values():
                attempt.is_disowned = True
                attempt.stop(types.OUTCOME_LOST, GRACE_MS)
            self._attempts.clear()
            self._welcome = wire.Welcome()

    # ---------------------------------------------------------------- heartbeats

    def beat(self) -> None:
        while self.exit_code is None:
            time.sleep((self._welcome.heartbeat_interval_ms or 200) / 1000)
            self._mind_the_lease()
            if self._registered.is_set():
                try:
                    self._heartbeat()
                except grpc.RpcError:
                    continue  # the lease decides

    def _heartbeat(self) -> None:
        with self._lock:
            self._sequence += 1
            held = [one.held for one in self._attempts.values()]
            request = wire.HeartbeatRequest(
                worker_id=self._welcome.worker_id,
                heartbeat=wire.Heartbeat(sequence=self._sequence, held=held),
            )
        sent_s = time.monotonic()
        answer = self._call("Heartbeat", request, min(CALL_S, 5.0))
        self._answered_s = sent_s
        for cancellation in answer.cancellations:
            attempt = self._attempts.get(cancellation.attempt_id)
            if attempt is not None:
                spec = attempt.assignment.spec
                own_ms = spec.grace_ms if spec.HasField("grace_ms") else GRACE_MS
                grace_ms = cancellation.grace_ms if cancellation.HasField("grace_ms") else own_ms
                attempt.stop(cancellation.outcome or types.OUTCOME_CANCELLED, grace_ms)
        for attempt_id in answer.reply.unknown_attempt_ids:
            self._disown(attempt_id)
        self._is_draining = self._is_draining or answer.draining

    def _disown(self, attempt_id: str) -> None:
        with self._lock:
            attempt = self._attempts.pop(attempt_id, None)
        if attempt is not None:
            attempt.is_disowned = True
            attempt.stop(types.OUTCOME_LOST, GRACE_MS)

    def watch_the_lease(self) -> None:
        """Apart from the heartbeats, which may be stuck in a call."""
        while self.exit_code is None:
            time.sleep(0.1)
            self._mind_the_lease()

    def _mind_the_lease(self) -> None:
        welcome = self._welcome
        if not welcome.kill_after_ms:
            return
        silent_ms = (time.monotonic() - self._answered_s) * 1000
        for attempt in list(self._attempts.values()):
            if silent_ms >= welcome.kill_after_ms:
                attempt.kill()
            elif silent_ms >= welcome.stop_after_ms:
                attempt.stop(types.OUTCOME_LOST, welcome.kill_after_ms - welcome.stop_after_ms)

    # -------------------------------------------------------------------- tasks

    def drain(self, *_: object) -> None:
        self._is_draining = True

    def serve(self) -> int:
        while True:
            try:
                if self._is_draining and not self._attempts:
                    return self._leave()
                if not self._registered.is_set():
                    self._register()
                self._claim()
            except grpc.RpcError as error:
                print(f"{error.code().name}: {error.details()}", file=sys.stderr, flush=True)
                time.sleep(0.2)

    def _claim(self) -> None:
        room = self._given.slots - len(self._attempts)
        if self._is_draining or room <= 0 or not self._registered.is_set():
            time.sleep(0.05)
            return
        request = wire.ClaimTasksRequest(worker_id=self._welcome.worker_id, max_tasks=room, wait_ms=CLAIM_MS)
        for assignment in self._call("ClaimTasks", request).assignments:
            self._take(assignment)

    def _take(self, assignment: wire.Assignment) -> None:
        base = {name: os.environ[name] for name in PASSED if name in os.environ}
        base |= {"BR_WORKER_ID": self._welcome.worker_id, "BR_COORDINATOR": self._address}
        with self._lock:
            if assignment.attempt_id in self._taken:
                return
            self._taken.add(assignment.attempt_id)
            attempt = self._attempts[assignment.attempt_id] = Attempt(assignment, base, str(Path.cwd()))
        threading.Thread(target=self._run, args=(attempt,), daemon=True).start()

    def _run(self, attempt: Attempt) -> None:
        a = attempt.assignment

        def say(**parts: Any) -> None:
            try:
                self._call("ReportTasks", wire.ReportTasksRequest(worker_id=self._welcome.worker_id, **parts))
            except grpc.RpcError:
                return  # the report says it again

        def started() -> None:
            us, pid = attempt.started_at_us, attempt.pid
            say(started=[wire.TaskStarted(attempt_id=a.attempt_id, fence=a.fence, pid=pid, started_at_us=us)])

        def progress(percent: float, message: str) -> None:
            told = wire.TaskProgress(attempt_id=a.attempt_id, fence=a.fence, percent=percent, message=message)
            say(progress=[told])

        attempt.run(started, progress)
        if attempt.output_bytes <= INLINE_BYTES:
            attempt.report.output.extend(attempt.output)
        while self._attempts.get(a.attempt_id) is attempt and not self._is_acknowledged(attempt):
            time.sleep(0.2)
        with self._lock:
            if self._attempts.get(a.attempt_id) is attempt:
                del self._attempts[a.attempt_id]

    def _is_acknowledged(self, attempt: Attempt) -> bool:
        if not self._registered.is_set():
            return False
        try:
            if attempt.output_bytes > INLINE_BYTES:
                self._send_output(attempt)
            request = wire.ReportTasksRequest(worker_id=self._welcome.worker_id, reports=[attempt.report])
            (answer,) = self._call("ReportTasks", request).acknowledgements
        except (grpc.RpcError, ValueError):
            return False
        return bool(answer.disposition != wire.DISPOSITION_OUTPUT_MISSING)

    def _send_output(self, attempt: Attempt) -> None:
        a = attempt.assignment
        pieces = [
            log_service_pb2.WriteOutputRequest(
                worker_id=self._welcome.worker_id,
                outputs=[
                    log_service_pb2.AttemptOutput(attempt_id=a.attempt_id, fence=a.fence, chunks=[chunk])
                ],
            )
            for chunk in attempt.output
        ]
        answers = log_service_pb2_grpc.LogServiceStub(self._channel).WriteOutput(
            iter(pieces), timeout=60, metadata=self._metadata
        )
        for answer in answers:
            if any(one.stale or one.offset >= attempt.output_bytes for one in answer.acknowledgements):
                return

    def _leave(self) -> int:
        self.exit_code = 0
        if self._welcome.worker_id:
            self._call(
                "Unregister", wire.UnregisterRequest(worker_id=self._welcome.worker_id, reason="drained")
            )
        return 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("--session", default="")
    worker = Worker(parser.parse_args())
    signal.signal(signal.SIGTERM, worker.drain)
    for work in (worker.beat, worker.watch_the_lease):
        threading.Thread(target=work, daemon=True).start()
    return worker.serve()


if __name__ == "__main__":
    sys.exit(main())
