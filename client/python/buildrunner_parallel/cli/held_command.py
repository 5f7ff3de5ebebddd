"""The process between `br parallel lock ... -- CMD` and CMD: it ends CMD, and all that CMD started, as soon
as nobody renews the lock any more.

The kernel tells it of its starter's death, however that came (PR_SET_PDEATHSIG). Single-threaded and standard
library only, so that it may fork; it knows neither gRPC nor locks. It stays in the process group of both, so
that the terminal's keys reach CMD as if it stood alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from buildrunner_parallel.worker import process_tree

END = signal.SIGRTMIN + 5
"""Sent by the starter, or by the kernel once that is dead: nothing of CMD may go on."""
PASSED_ON = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip
NOT_RUNNABLE = 126
NOT_THERE = 127

_SET_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36
_SENT_BY_KERNEL = 0x80
_SAME_KEY_S = 0.5
_KILL_AGAIN_S = 0.05
_BOOT = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from buildrunner_parallel.cli.held_command import main; sys.exit(main(sys.argv[1:]))"
)


def guarded(command: Sequence[str], grace_s: float) -> list[str]:
    """What the starter runs for `command`, from its main thread. The environment is handed on as it is."""
    root = str(Path(__file__).resolve().parents[2])
    return [sys.executable, "-I", "-S", "-c", _BOOT, root, str(os.getpid()), str(grace_s), *command]


def exit_code(return_code: int) -> int:
    """As shells count: 128 and the signal's number for what a signal ended."""
    return return_code if return_code >= 0 else 128 - return_code


def main(arguments: Sequence[str]) -> int:
    """Runs CMD to its end; its exit code."""
    starter, grace_s, command = int(arguments[0]), float(arguments[1]), list(arguments[2:])
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, (*PASSED_ON, signal.SIGCHLD, END))
    _prctl(_SET_CHILD_SUBREAPER, 1)
    _prctl(_SET_DEATH_SIGNAL, END)
    if os.getppid() != starter:
        return exit_code(-signal.SIGKILL)
    me = os.getpid()
    pid = os.fork()
    if not pid:
        _become(command, usual, me)
    return Watch(pid, grace_s).run()


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def _become(command: list[str], usual: Iterable[int], parent: int) -> NoReturn:
    """In the child: never returns. Killed with its parent, should that be killed."""
    code = NOT_RUNNABLE
    try:
        # What Python ignores for itself.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() == parent:
            signal.pthread_sigmask(signal.SIG_SETMASK, usual)
            os.execvp(command[0], command)
    except OSError as error:
        code = NOT_THERE if isinstance(error, (FileNotFoundError, NotADirectoryError)) else NOT_RUNNABLE
        message = f"Cannot run {command[0]!a}: {error.strerror}\n"
        with contextlib.suppress(OSError):
            os.write(2, message.encode())
    finally:
        os._exit(code)


class Watch:
    """Waits for signals alone, and does what each asks for."""

    def __init__(self, pid: int, grace_s: float) -> None:
        self._pid = pid
        self._grace_s = grace_s
        self._code: int | None = None
        self._kill_at_s: float | None = None
        # When a key of the terminal last sent a signal; CMD got it as well.
        self._typed_at_s: dict[int, float] = {}

    def run(self) -> int:
        """Until CMD has ended; once it was told to end all, until nothing is left."""
        while not self._is_over():
            told = self._next()
            if told is None:
                self._signal_all(signal.SIGKILL)
                self._kill_at_s = time.monotonic() + _KILL_AGAIN_S
            elif told.si_signo == END:
                self._end_all()
            elif told.si_signo != signal.SIGCHLD:
                self._pass_on(told)
        assert self._code is not None
        return self._code

    def _next(self) -> signal.struct_siginfo | None:
        waited_for = (*PASSED_ON, signal.SIGCHLD, END)
        if self._kill_at_s is None:
            return signal.sigwaitinfo(waited_for)
        return signal.sigtimedwait(waited_for, max(0.0, self._kill_at_s - time.monotonic()))

    def _is_over(self) -> bool:
        """Takes note of what has ended, orphans of CMD among it."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == self._pid:
                self._code = exit_code(os.waitstatus_to_exitcode(status))
            if not pid:
                return self._code is not None and self._kill_at_s is None

    def _end_all(self) -> None:
        if self._kill_at_s is None:
            self._kill_at_s = time.monotonic() + self._grace_s
            self._signal_all(signal.SIGTERM)
            self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in process_tree.tree_of(process_tree.children_of(os.getpid())):
            process_tree.signal_process(pid, number)

    def _pass_on(self, told: signal.struct_siginfo) -> None:
        """Once: what a key sent has reached all three of us, and the starter sends it here again."""
        now_s = time.monotonic()
        if told.si_code == _SENT_BY_KERNEL:
            self._typed_at_s[told.si_signo] = now_s
        elif now_s - self._typed_at_s.get(told.si_signo, -_SAME_KEY_S) >= _SAME_KEY_S:
            process_tree.signal_process(self._pid, signal.Signals(told.si_signo))
