"""Printing what a handler raised: its own frames, without those of the host around it.

Loaded by the first failure only.
"""

from __future__ import annotations

import asyncio
import os
import traceback
from types import TracebackType

_NOT_THE_USERS = (os.path.dirname(os.path.abspath(__file__)), os.path.dirname(asyncio.__file__))


def print_traceback(error: BaseException) -> None:
    """To stderr, which is the task's output."""
    traceback.print_exception(error.with_traceback(_of_the_handler(error.__traceback__)))


def _of_the_handler(trace: TracebackType | None) -> TracebackType | None:
    """From the first frame of the handler on; the whole when it never got there."""
    frame = trace
    while frame is not None and os.path.dirname(frame.tb_frame.f_code.co_filename) in _NOT_THE_USERS:
        frame = frame.tb_next
    return frame or trace
