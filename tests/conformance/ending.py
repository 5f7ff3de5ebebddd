"""The kit is told to end by a signal: what is under way is cut short, and cleans up as after a failure."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """Raised in the main thread by the first signal; `exit_code` is what shells make of it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_code = 128 + number


@contextmanager
def signals_raise() -> Iterator[None]:
    """While it lasts the first signal raises Ended; later ones change nothing, as cleaning up takes seconds.

    A signal that is ignored, as under nohup, stays so.
    """
    before = {one: signal.getsignal(one) for one in _SIGNALS if signal.getsignal(one) != signal.SIG_IGN}

    def end(number: int, _frame: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        raise Ended(number)

    for one in before:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
