"""What a polling worker runs: commands in process groups of their own, and the handlers of the contract."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from buildrunner_parallel.v1 import types_pb2 as types
from buildrunner_parallel.v1 import worker_service_pb2 as wire

GRACE_MS = 10_000
RESULT_BYTES, ERROR_BYTES = 1 << 20, 4096
PASSED = ("PATH", "HOME", "USER", "SHELL", "LANG", "TZ", "TMPDIR")
Progress = Callable[[float, str], None]


class Attempt:
    """One attempt from its assignment to its acknowledged report."""

    def __init__(self, assignment: wire.Assignment, base: dict[str, str], cwd: str) -> None:
        self.assignment, self._base, self._cwd = assignment, base, cwd
        self.output: list[types.OutputChunk] = []
        self.report = wire.TaskReport(attempt_id=assignment.attempt_id, fence=assignment.fence)
        self.stop_outcome = types.OUTCOME_UNSPECIFIED
        self.started_at_us = self.pid = self.output_bytes = 0
        self.is_disowned = self.is_over = False
        self.stopped = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def held(self) -> wire.HeldAttempt:
        a = self.assignment
        return wire.HeldAttempt(
            attempt_id=a.attempt_id, fence=a.fence, started=self.started_at_us > 0, ended=self.is_over,
            pid=self.pid, started_at_us=self.started_at_us,
        )  # fmt: skip

    def stop(self, outcome: types.Outcome.ValueType, grace_ms: int) -> None:
        """SIGTERM now, SIGKILL when the grace is over, to the whole group."""
        with self._lock:
            if self.is_over or self.stop_outcome:
                return
            self.stop_outcome = outcome
            self.stopped.set()
            self._signal(signal.SIGTERM)
        threading.Timer(grace_ms / 1000, self.kill).start()

    def kill(self) -> None:
        with self._lock:
            if not self.is_over:
                self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                pass  # all of it has gone

    def run(self, on_start: Callable[[], None], progress: Progress) -> None:
        """Fills the report."""
        spec = self.assignment.spec
        timer = threading.Timer(spec.timeout_ms / 1000, self._time_out)
        timer.daemon = True
        if spec.timeout_ms:
            timer.start()
        try:
            work = spec.WhichOneof("work")
            if work == "command":
                self._command(on_start)
            elif work == "handler":
                self._handler(on_start, progress)
            else:
                self._not_started("this worker does not know this kind of work")
        finally:
            timer.cancel()
            self.report.ended_at_us = time.time_ns() // 1000
            self.report.started_at_us, self.report.pid = self.started_at_us, self.pid
            self.report.output_bytes = self.output_bytes

    def _time_out(self) -> None:
        spec = self.assignment.spec
        self.stop(types.OUTCOME_TIMED_OUT, spec.grace_ms if spec.HasField("grace_ms") else GRACE_MS)

    def _not_started(self, why: str) -> None:
        self.is_over = True
        self.report.outcome, self.report.error = types.OUTCOME_NOT_STARTED, why

    def _started(self, pid: int, on_start: Callable[[], None]) -> None:
        self.pid, self.started_at_us = pid, time.time_ns() // 1000
        on_start()

    def _end(self, failed: bool, error: str) -> None:
        with self._lock:
            self.is_over = True
        ended = types.OUTCOME_FAILED if failed else types.OUTCOME_SUCCEEDED
        self.report.outcome = self.stop_outcome if self.stop_outcome and failed else ended
        if self.report.outcome != types.OUTCOME_SUCCEEDED:
            self.report.error = " ".join(error.split()).encode()[:ERROR_BYTES].decode("utf-8", "ignore")

    # ----------------------------------------------------------------- commands

    def _command(self, on_start: Callable[[], None]) -> None:
        with tempfile.TemporaryDirectory(prefix="br-polling-") as folder:
            try:
                with self._lock:
                    self._process = self._spawn(folder)
            except OSError as error:
                self._not_started(str(error))
                return
            self._started(self._process.pid, on_start)
            if self.stop_outcome:
                self._signal(signal.SIGTERM)
            readers = [threading.Thread(target=self._read, args=pair) for pair in self._pipes()]
            for reader in readers:
                reader.start()
            code = self._process.wait()
            self._signal(signal.SIGKILL)
            for reader in readers:
                reader.join()
            self._tell(code, Path(folder))

    def _spawn(self, folder: str) -> subprocess.Popen[bytes]:
        command, a = self.assignment.spec.command, self.assignment
        env = self._base | dict(a.spec.passed_environment) | dict(a.spec.environment)
        env |= {
            "BR_SESSION_ID": a.session_id, "BR_SESSION_NAME": a.session_name, "BR_TASK_ID": a.spec.task_id,
            "BR_ATTEMPT": str(a.number), "BR_ATTEMPT_ID": a.attempt_id, "BR_FENCE": str(a.fence),
            "BR_SLOT": "0", "BR_RESULT_FILE": f"{folder}/result", "BR_ERROR_FILE": f"{folder}/error",
        }  # fmt: skip
        where = a.spec.directory
        cwd = (
            where.path if where.path.startswith("/") else str(Path(where.worktree or self._cwd) / where.path)
        )
        argv = list(command.argv) or ["/bin/sh", "-c", command.shell_line]
        return subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip

    def _pipes(self) -> list[tuple[types.OutputChannel.ValueType, int]]:
        assert self._process and self._process.stdout and self._process.stderr
        out, err = self._process.stdout.fileno(), self._process.stderr.fileno()
        return [(types.OUTPUT_CHANNEL_STDOUT, out), (types.OUTPUT_CHANNEL_STDERR, err)]

    def _read(self, channel: types.OutputChannel.ValueType, fd: int) -> None:
        while data := os.read(fd, 64 << 10):
            with self._lock:
                self.output.append(types.OutputChunk(offset=self.output_bytes, channel=channel, data=data))
                self.output_bytes += len(data)

    def _tell(self, code: int, folder: Path) -> None:
        result, error = folder / "result", folder / "error"
        if result.exists():
            with result.open("rb") as file:
                self.report.result.data = file.read(RESULT_BYTES)
        told = error.read_bytes().decode("utf-8", "replace").splitlines()[-1:] if error.exists() else []
        if code < 0:
            self.report.signal = -code
        else:
            self.report.exit_code = code
        self._end(code != 0, told[0] if told else f"exit code {code}" if code > 0 else f"signal {-code}")

    # ----------------------------------------------------------------- handlers

    def _handler(self, on_start: Callable[[], None], progress: Progress) -> None:
        handler = HANDLERS.get(self.assignment.spec.handler.name)
        if handler is None:
            self._not_started(f"no handler {self.assignment.spec.handler.name}")
            return
        self._started(os.getpid(), on_start)
        payload = self.assignment.spec.handler.payload
        try:
            self.report.result.data = handler(self, payload.data, progress)
            self._end(self.stopped.is_set(), "stopped")
        except Exception as error:  # whatever it is, it is the task's failure
            self._end(True, str(error))


def _busy(_attempt: Attempt, payload: bytes, _progress: Progress) -> bytes:
    ends_s = time.monotonic() + json.loads(payload)["ms"] / 1000
    while time.monotonic() < ends_s:
        pass
    return payload


def _wait(attempt: Attempt, payload: bytes, _progress: Progress) -> bytes:
    attempt.stopped.wait(json.loads(payload)["ms"] / 1000)
    return b"{}"


def _steps(_attempt: Attempt, payload: bytes, progress: Progress) -> bytes:
    steps = json.loads(payload)["steps"]
    for step in range(1, steps + 1):
        progress(100 * step / steps, f"step {step}")
        time.sleep(0.05)
    return b"{}"


def _fail(_attempt: Attempt, payload: bytes, _progress: Progress) -> bytes:
    raise RuntimeError(json.loads(payload)["message"])


HANDLERS: dict[str, Callable[[Attempt, bytes, Progress], bytes]] = {
    "conformance.echo": lambda _attempt, payload, _progress: payload,
    "conformance.busy": _busy,
    "conformance.wait": _wait,
    "conformance.progress": _steps,
    "conformance.fail": _fail,
}
