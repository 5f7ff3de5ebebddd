"""Handlers that are asked to end, and one that tells many times how far it is."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from buildrunner_parallel.worker import HandlerContext, handler

_loops: set[int] = set()
_left_behind: list[asyncio.Task[None]] = []


@handler("polite")
def polite(context: HandlerContext, witness: str) -> str:
    context.progress(1)
    while not context.sleep(60):
        pass
    Path(witness).write_text(f"ended, {context.cancelled}")
    print("tidied up")
    return "not kept"


@handler("stubborn")
def stubborn(context: HandlerContext, witness: str) -> None:
    context.progress(1)
    while not context.cancelled:
        time.sleep(0.01)
    Path(witness).write_text("knew it")
    time.sleep(600)


@handler("async-polite")
async def async_polite(context: HandlerContext, witness: str) -> None:
    context.progress(1)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        _write(witness, "CancelledError")
        raise


@handler("async-stubborn")
async def async_stubborn(context: HandlerContext, witness: str) -> None:
    context.progress(1)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            _write(witness, "swallowed")


@handler("async-fail")
async def async_fail(context: HandlerContext) -> None:
    await asyncio.sleep(0)
    raise LookupError("nothing there")


@handler("async-leftovers")
async def async_leftovers(context: HandlerContext) -> dict[str, object]:
    """Leaves a task behind, and tells how many others there are, and whether the loop is the first one."""
    _loops.add(id(asyncio.get_running_loop()))
    before = len(asyncio.all_tasks()) - 1
    _left_behind.append(asyncio.create_task(asyncio.sleep(600)))
    return {"before": before, "loops": len(_loops)}


def _write(witness: str, text: str) -> None:
    Path(witness).write_text(text)


@handler("exit")
def leave(context: HandlerContext) -> None:
    raise SystemExit("enough")


@handler("chatty")
def chatty(context: HandlerContext) -> None:
    for number in range(20_000):
        context.progress(number / 200, f"at {number}")
    time.sleep(10)


@handler("tally-host")
def tally_host(context: HandlerContext) -> str:
    print("a line of output")
    context.progress(50)
    return f"{os.getpid()}"
