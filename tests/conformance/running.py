"""Runs one scenario for one language, and says how it went."""

from __future__ import annotations

import time
import traceback
from typing import NamedTuple

from . import specs
from .programs import Programs
from .scenarios import Scenario
from .stage import Stage

OK = "ok"
FAILED = "FAILED"
NOT_APPLICABLE = "n/a"
NOT_RUN = "not run"


class Result(NamedTuple):
    """`state` is one of the words above; `reason` is why it is not ok, `evidence` what the programs wrote."""

    language: str
    scenario: str
    state: str
    reason: str = ""
    evidence: str = ""
    seconds: float = 0.0


def why_not(programs: Programs, scenario: Scenario) -> Result | None:
    """A result without running it, where there is nothing to run."""
    key = (programs.language, scenario.name)
    for name in (scenario.name, scenario.name.partition("/")[2]):
        if name in programs.not_applicable:
            return Result(*key, NOT_APPLICABLE, programs.not_applicable[name])
    if scenario.needs in programs.lacks:
        return Result(*key, NOT_APPLICABLE, programs.lacks[scenario.needs])
    if not (programs.client if scenario.side == "client" else programs.worker):
        return Result(*key, NOT_RUN, f"no {scenario.side} was given")
    return None


def run(programs: Programs, scenario: Scenario) -> Result:
    """Runs it with a coordinator of its own; nothing that it started is left."""
    known = why_not(programs, scenario)
    if known is not None:
        return known
    if specs.CUT_SHORT.is_set():
        return Result(programs.language, scenario.name, NOT_RUN, "cut short")
    began_s = time.monotonic()
    stage = Stage(programs, scenario.options)
    reason = evidence = ""
    try:
        stage.open()
        scenario.play(stage)
    except Exception as error:  # whatever went wrong is this scenario's result
        reason, evidence = _reason(error), stage.evidence()
    finally:
        left = stage.close()
    if left and not reason:
        reason = f"left behind: {', '.join(left)}"
    state = FAILED if reason else OK
    seconds = time.monotonic() - began_s
    return Result(programs.language, scenario.name, state, reason, evidence, seconds)


def _reason(error: Exception) -> str:
    where = next(
        (
            frame
            for frame in reversed(traceback.extract_tb(error.__traceback__))
            if "scenarios" in frame.filename
        ),
        None,
    )
    text = str(error) or type(error).__name__
    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    return f"{kind}{text}" + (
        f" (line {where.lineno} of {where.filename.rpartition('/')[2]})" if where else ""
    )
