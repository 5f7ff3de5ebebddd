"""How runs end: exits noticed, timeouts, cancels, escalation from SIGTERM to SIGKILL, and the leftovers.

A run is over when its main process has exited and no process of it is left. Pipes and messages are elsewhere.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from time import monotonic_ns

from . import process_tree
from .orphans import OrphanBook
from .runs import Run
from .supervisor_messages import CAUSE_TIMEOUT

LEFTOVER_GRACE_NS = 500_000_000
_CHECK_INTERVAL_NS = 20_000_000


class Endings:
    """Watches over every run from its start until nothing of it is left, then calls `on_over`."""

    def __init__(self, on_over: Callable[[Run], None]) -> None:
        self._on_over = on_over
        self._by_pid: dict[int, Run] = {}
        self._open: dict[int, Run] = {}
        self._orphans = OrphanBook()
        self._due_at_ns: int | None = None

    @property
    def runs(self) -> list[Run]:
        """Every run that is not over."""
        return list(self._open.values())

    def add(self, run: Run) -> None:
        """Takes charge of a run that has just started."""
        self._by_pid[run.pid] = run
        self._open[id(run)] = run
        if run.request.timeout_ns:
            run.timeout_at_ns = run.started_ns + run.request.timeout_ns
            self._wake_at(run.timeout_at_ns)

    def due_at_ns(self) -> int | None:
        """When `on_time` has something to do; None when never."""
        return self._due_at_ns

    def _wake_at(self, at_ns: int) -> None:
        if self._due_at_ns is None or at_ns < self._due_at_ns:
            self._due_at_ns = at_ns

    # Exits

    def reap(self) -> None:
        """Collects every exit there is, then judges what is left of the runs concerned."""
        exited: list[Run] = []
        others = True
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                others = False
                break
            if pid == 0:
                break
            run = self._by_pid.pop(pid, None)
            if run is None:
                self._orphans.reaped(pid)
                continue
            run.exited, run.wait_status = True, status
            run.user_cpu_us = int(usage.ru_utime * 1e6)
            run.system_cpu_us = int(usage.ru_stime * 1e6)
            run.peak_memory_bytes = usage.ru_maxrss * 1024
            run.ended_ns = monotonic_ns()
            exited.append(run)
        if others and (exited or len(self._open) > len(self._by_pid)):
            self._orphans.look(self._by_pid, self._open.values())
        for run in exited:
            self._orphans.hand_over_unowned(run)
        for run in [run for run in self._open.values() if run.exited]:
            self._judge(run)

    def _judge(self, run: Run) -> None:
        # Once the group is empty its number may be given to another: it is never asked or signalled again.
        run.group_gone = run.group_gone or not process_tree.group_exists(run.pid)
        if run.group_gone and not run.orphans:
            del self._open[id(run)]
            self._on_over(run)
            return
        now_ns = monotonic_ns()
        if not run.stopping:
            run.stopping = True
            run.kill_at_ns = now_ns + min(run.request.grace_ns, LEFTOVER_GRACE_NS)
            self._signal(run, signal.SIGTERM)
        self._tell_orphans(run)
        run.check_at_ns = now_ns + _CHECK_INTERVAL_NS
        self._wake_at(min(run.check_at_ns, run.kill_at_ns))

    # Stopping

    def stop(self, run: Run, cause: str, grace_ns: int) -> None:
        """SIGTERM now, SIGKILL after the grace. A second call can only bring the SIGKILL forward."""
        kill_at_ns = monotonic_ns() + grace_ns
        if not run.stopping:
            run.stopping, run.cause, run.kill_at_ns = True, run.cause or cause, kill_at_ns
            self._signal(run, signal.SIGTERM)
        run.kill_at_ns = min(run.kill_at_ns, kill_at_ns)
        self._wake_at(run.kill_at_ns)

    def _tell_orphans(self, run: Run) -> None:
        """SIGTERM to those that were found after the run was told to stop: it went to the group only."""
        fresh = [pid for pid in process_tree.tree_of(run.orphans - run.told) if pid not in run.told]
        for pid in fresh:
            process_tree.signal_process(pid, signal.SIGTERM)
        run.told.update(fresh)

    def _signal(self, run: Run, number: signal.Signals) -> None:
        """Reaches the group, what is known to have left it, and on SIGKILL the whole tree below."""
        strays = process_tree.tree_of(run.orphans)
        if number == signal.SIGKILL and not run.exited:
            strays += process_tree.tree_of([run.pid])
        if not run.group_gone:
            process_tree.signal_group(run.pid, number)
        for pid in strays:
            process_tree.signal_process(pid, number)
        run.told.update(strays)

    def on_time(self, now_ns: int) -> None:
        """Does what is due: timeouts, kills after the grace, another look at leftovers."""
        if self._due_at_ns is None or now_ns < self._due_at_ns:
            return
        self._due_at_ns = None
        look_again = False
        for run in self.runs:
            look_again |= self._on_time_of(run, now_ns)
            for at_ns in (run.timeout_at_ns if not run.stopping else 0, run.kill_at_ns, run.check_at_ns):
                if at_ns:
                    self._wake_at(at_ns)
        if look_again:
            self.reap()

    def _on_time_of(self, run: Run, now_ns: int) -> bool:
        """Whether what is left of the run has to be looked at again."""
        if run.timeout_at_ns and now_ns >= run.timeout_at_ns and not run.stopping:
            self.stop(run, CAUSE_TIMEOUT, run.request.grace_ns)
        if run.kill_at_ns and now_ns >= run.kill_at_ns:
            self._signal(run, signal.SIGKILL)
            run.kill_at_ns = now_ns + _CHECK_INTERVAL_NS
        return run.exited
