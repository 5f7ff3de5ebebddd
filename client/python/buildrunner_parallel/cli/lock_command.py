"""A command that runs while paths are held, `lock ... -- CMD`: it ends when the lock does, and the lock with
it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .held_command import END, PASSED_ON, exit_code, guarded

if TYPE_CHECKING:
    from buildrunner_parallel.lock_holding import Held

GRACE_S = 5.0
"""Between SIGTERM and SIGKILL for a command whose lock is lost. Shorter than the lock delay."""


class HeldCommand:
    """One command, which `end` ends from any thread, even before it has begun."""

    def __init__(self, words: Sequence[str], grace_s: float = GRACE_S) -> None:
        self._words = words
        self._grace_s = grace_s
        self._process: subprocess.Popen[bytes] | None = None
        self.was_ended = False
        self.exit_code: int | None = None
        """None until it has ended."""

    def run(self, grant: Held) -> int:
        """Runs it to its end, with signals that come here passed on to it; its exit code."""
        environment = {**os.environ, **variables(grant)}
        with self._signals_passed_on():
            self._process = subprocess.Popen(
                guarded(self._words, self._grace_s), env=environment, close_fds=False
            )
            if self.was_ended:
                self._send(END)
            self.exit_code = exit_code(self._process.wait())
        return self.exit_code

    def end(self, _why: object) -> None:
        """Its lock is lost: nothing of it may go on."""
        self.was_ended = self.exit_code is None
        self._send(END)

    def _send(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    @contextmanager
    def _signals_passed_on(self) -> Iterator[None]:
        before: dict[signal.Signals, Any] = {}
        try:
            for number in PASSED_ON:
                # Whoever started us without a signal (nohup, a job in the background) means CMD too.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, lambda told, _frame: self._send(told))
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def variables(grant: Held) -> dict[str, str]:
    """What the command is told of its lock; nothing of what its task holds by declaring it."""
    from buildrunner_parallel.lock_holding import (
        GRANT_FENCE_VARIABLE,
        GRANT_SESSION_VARIABLE,
        GRANT_VARIABLE,
    )

    if not grant.grant_id:
        return {}
    return {
        GRANT_VARIABLE: grant.grant_id,
        GRANT_FENCE_VARIABLE: str(grant.fence),
        GRANT_SESSION_VARIABLE: grant.session_id,
    }
