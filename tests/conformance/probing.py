"""Before a third program goes through the scenarios: does it start, and find the coordinator, at all?

Else each scenario would wait for it in vain, and say so in its own way.
"""

from __future__ import annotations

from collections.abc import Collection

from . import specs
from .asking import Refused
from .programs import Programs
from .stage import Stage

_CONTRACT = "see tests/conformance/README.md"


def probe(programs: Programs, sides: Collection[str]) -> str:
    """Starts the programs of these sides once; one line that says what is wrong and what to do, or none."""
    stage = Stage(programs)
    try:
        stage.open()
        faults = [
            _worker_fault(stage) if programs.worker and "worker" in sides else "",
            _client_fault(stage) if programs.client and "client" in sides else "",
        ]
    finally:
        stage.close()
    return next((" ".join(fault.split()) for fault in faults if fault), "")


def _worker_fault(stage: Stage) -> str:
    between = stage.interposer()
    streams = between.heard("WorkerService.Connect")
    process = stage.start_worker(through=between)
    try:
        specs.until(
            lambda: not process.is_alive or stage.observer.all_workers(), "it registers", specs.READY_S
        )
    except AssertionError:
        return (
            f"the worker runs and has not registered within {specs.READY_S:g} s ({process.last_words}); it "
            f"must find the coordinator by BR_COORDINATOR and BR_TOKEN_FILE: {_CONTRACT}"
        )
    if not process.is_alive:
        code, said = process.popen.returncode, process.last_words
        return (
            f"the worker ended with {code} before it was asked to ({said}); it is started in another folder, "
            f"so give paths of files, and must serve until SIGTERM: {_CONTRACT}"
        )
    kind = "stream" if streams else "polling"
    if kind != stage.programs.worker_kind:
        return f"the worker is of the kind {kind}, not {stage.programs.worker_kind}: say --kind {kind}"
    return ""


def _client_fault(stage: Stage) -> str:
    client = stage.client()
    try:
        client.ask("info", within_s=specs.READY_S)
    except (AssertionError, Refused) as error:
        return (
            f"{error} ({client.process.last_words}); a client answers each line of its input at once with a "
            f"line of JSON on standard output: {_CONTRACT}"
        )
    return ""
