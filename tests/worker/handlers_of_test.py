"""Handlers that the worker's tests load into a real handler host."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from buildrunner_parallel.specs import Payload
from buildrunner_parallel.worker.handler_context import HandlerContext
from buildrunner_parallel.worker.handlers import handler


@handler("echo")
def echo(context: HandlerContext) -> Payload:
    return Payload(context.payload, "text/plain")


@handler("facts")
def facts(context: HandlerContext) -> object:
    return {
        "pid": os.getpid(),
        "cwd": str(Path.cwd()),
        "task": context.task_id,
        "env": os.environ.get("FOR_TASK", ""),
        "told": [os.environ.get(f"BR_{name}", "") for name in ("TASK_ID", "ATTEMPT_ID", "FENCE")],
        "ids": [context.session_id, context.attempt, context.fence],
    }


@handler("fail")
def fail(context: HandlerContext) -> None:
    raise ValueError("this is\nno good")


@handler("talk")
def talk(context: HandlerContext) -> None:
    print("by print", context.payload.decode())
    subprocess.run(["echo", "by child"], check=True)
    print("by stderr", file=sys.stderr)


@handler("sleep")
def sleep(context: HandlerContext) -> str:
    context.progress(12.5, "asleep")
    time.sleep(float(context.payload))
    return "slept"


@handler("die")
def die(context: HandlerContext) -> None:
    os.write(2, b"cannot go on\n")
    os._exit(9)


@handler("tally")
def tally(context: HandlerContext) -> None:
    with Path(context.payload.decode()).open("a") as file:
        file.write("x\n")
