"""The Python worker with one fault: `worker.py FAULT [the worker's own options]`.

Each function plants the fault of its name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any, cast

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2
from buildrunner_parallel.worker import (
    attempt_book,
    lease,
    output_buffer,
    runtime,
    task_environment,
)
from buildrunner_parallel.worker.outgoing import Outgoing
from buildrunner_parallel.worker.supervisor_messages import LEASE
from conformance import worker

# Any: what is planted need not fit.
Book: Any = attempt_book.AttemptBook
Runtime: Any = runtime.WorkerRuntime


def repeats_nothing() -> None:
    Book.repeat_reports = lambda *_: None


def reports_differently() -> None:
    """A repeated report has another time of its end."""
    told: dict[str, int] = {}
    outgoing: Any = Outgoing
    send = outgoing.report

    def report(self: Any, one: worker_service_pb2.TaskReport) -> None:
        one.ended_at_us += told.setdefault(one.attempt_id, 0)
        told[one.attempt_id] += 1
        send(self, one)

    outgoing.report = report


def runs_duplicates() -> None:
    seen: set[str] = set()
    assign = Book.assign

    def twice(self: Any, assignments: Any, generation: int) -> None:
        for one in assignments:
            if one.attempt_id in seen and one.spec.command.shell_line:
                subprocess.Popen(["/bin/sh", "-c", one.spec.command.shell_line])
            seen.add(one.attempt_id)
        assign(self, assignments, generation)

    Book.assign = twice


def heartbeats_wait_for_handlers() -> None:
    """User code on the loop that should send them."""
    assign = Book.assign

    def blocks(self: Any, assignments: Any, generation: int) -> None:
        assign(self, assignments, generation)
        if any(one.spec.handler.name == "conformance.busy" for one in assignments):
            self._unblock_at_s = time.monotonic() + 0.3

    received = Runtime.received

    def late(self: Any, response: Any) -> None:
        received(self, response)
        if time.monotonic() > getattr(self._book, "_unblock_at_s", float("inf")):
            self._book._unblock_at_s = float("inf")
            time.sleep(8)

    Book.assign, Runtime.received = blocks, late


def ignores_cancellations() -> None:
    Book.cancel = lambda *_: None


def cancels_without_grace() -> None:
    stop = Book._stop
    Book._stop = lambda self, attempt, _grace_ms, cause: stop(self, attempt, 0, cause)


def forgets_what_it_holds() -> None:
    """What it runs is neither in its hello nor in its heartbeats, and is not told to have started again."""
    Book.held = lambda _self: []
    Book._tell_start_again = lambda *_: None


def comes_back_as_another() -> None:
    hello = Runtime.hello

    def new(self: Any) -> Any:
        self._worker_id = ""
        return hello(self)

    Runtime.hello = new


def has_no_lease() -> None:
    never = (LEASE, "boottime", 1 << 62, 1 << 62, "")
    cast("Any", lease.Lease)._renewal = lambda *_: never


def leaves_at_once() -> None:
    """SIGTERM ends it, and what it runs."""
    Runtime._on_signal = lambda self, _number: os._exit(0)


def goes_on_taking_work() -> None:
    """A drain that the coordinator asks for is not heard."""
    Runtime._drain = lambda *_: None


def never_starts_anew() -> None:
    Runtime._become_new = lambda _self: None


def passes_its_environment_on() -> None:
    cast("Any", task_environment)._is_allowed = lambda _name, _patterns: True


def loses_standard_error() -> None:
    buffer: Any = output_buffer.OutputBuffer
    append = buffer.append

    def only_one(self: Any, channel: int, data: bytes, now_s: float) -> None:
        if channel == types_pb2.OUTPUT_CHANNEL_STDOUT:
            append(self, channel, data, now_s)

    buffer.append = only_one


def dies_of_an_unknown_disposition() -> None:
    acknowledge = Book.acknowledge

    def strict(self: Any, one: Any) -> None:
        if one.disposition not in worker_service_pb2.Disposition.values():
            os.kill(os.getpid(), signal.SIGKILL)
        acknowledge(self, one)

    Book.acknowledge = strict


def ends_well_with_a_wrong_token() -> None:
    fail = Runtime._fail
    Runtime._fail = lambda self, _code, why: fail(self, 0, why)


if __name__ == "__main__":
    globals()[sys.argv.pop(1)]()
    sys.exit(worker.main())
