"""Handlers that the worker's tests load into a real handler host."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from buildrunner_parallel.worker.handlers import HandlerCall, Result, handler


@handler("echo")
def echo(call: HandlerCall) -> Result:
    return Result(call.payload, "text/plain")


@handler("facts")
def facts(call: HandlerCall) -> object:
    return {
        "pid": os.getpid(),
        "cwd": str(Path.cwd()),
        "task": call.task_id,
        "env": os.environ.get("FOR_TASK", ""),
        "ids": [call.session_id, call.attempt, call.fence],
    }


@handler("fail")
def fail(call: HandlerCall) -> None:
    raise ValueError("this is\nno good")


@handler("talk")
def talk(call: HandlerCall) -> None:
    print("by print", call.payload.decode())
    subprocess.run(["echo", "by child"], check=True)
    print("by stderr", file=sys.stderr)


@handler("sleep")
def sleep(call: HandlerCall) -> str:
    call.report_progress(12.5, "asleep")
    time.sleep(float(call.payload))
    return "slept"


@handler("die")
def die(call: HandlerCall) -> None:
    os.write(2, b"cannot go on\n")
    os._exit(9)


@handler("tally")
def tally(call: HandlerCall) -> None:
    with Path(call.payload.decode()).open("a") as file:
        file.write("x\n")
