"""The handlers that every worker under test has; tests/conformance/README.md says what each does."""

from __future__ import annotations

import time

from buildrunner_parallel import HandlerContext, Payload, handler

_STEP_S = 0.05


@handler("conformance.echo")
def echo(context: HandlerContext) -> Payload:
    return Payload(context.payload, context.content_type)


@handler("conformance.busy")
def busy(context: HandlerContext) -> dict[str, int]:
    ms = int(context.json()["ms"])
    ends_s = time.monotonic() + ms / 1000
    while time.monotonic() < ends_s:
        pass
    return {"ms": ms}


@handler("conformance.wait")
def wait(context: HandlerContext) -> dict[str, bool]:
    return {"cancelled": context.sleep(int(context.json()["ms"]) / 1000)}


@handler("conformance.progress")
def progress(context: HandlerContext) -> None:
    steps = int(context.json()["steps"])
    for step in range(1, steps + 1):
        context.progress(100 * step / steps, f"step {step}")
        time.sleep(_STEP_S)


@handler("conformance.fail")
def fail(context: HandlerContext) -> None:
    raise RuntimeError(context.json()["message"])
