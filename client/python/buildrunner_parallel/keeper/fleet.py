"""The worker processes: started, adopted, noticed when they end, told to leave.

How many there should be is decided in plan.py; calls to the coordinator are chores.
"""

from __future__ import annotations

import json
import logging
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ..detached import python_module, start_detached
from ..records import Pool, Worker
from . import registry
from .chores import Chores
from .clean_up import clean_up
from .deaths import Deaths
from .link import CoordinatorLink, worker_of
from .plan import KEPT, Backoff, Held, Release, Start, next_wake_s, plan_workers, shape_of
from .processes import WatchedProcess, start_ticks
from .registry import Entry

_log = logging.getLogger(__name__)
_LEARN_INTERVAL_S = 0.3
_REFRESH_INTERVAL_S = 5.0
_KEPT_LOGS = 100
_LEAVE_S = 10.0
# Tells them from workers that somebody started by hand.
_METADATA = json.dumps(KEPT)
_INSIST_S = 0.5


@dataclass(slots=True)
class Member:
    """One worker process and what is known of it."""

    entry: Entry
    process: WatchedProcess
    leaving: bool = False
    busy: bool = False
    stop_at_s: float = float("inf")


class Fleet:
    """All workers of one state directory on this machine. Used by the loop alone."""

    def __init__(self, data: Path, link: CoordinatorLink, calls: Chores, cleaning: Chores) -> None:
        self._data = data
        self._link = link
        self._calls = calls
        self._deaths = Deaths(link, calls, cleaning)
        self._members: dict[int, Member] = {}
        self._backoffs: dict[str, Backoff] = {}
        # What the backoffs are about: after another order the next start is not held up by old failures.
        self._ordered: dict[str, Pool] = {}
        self._next_serial = 1
        self._learning = False
        self._learn_at_s = 0.0
        self._asked_at_s = 0.0
        self._known_as_of_s = 0.0
        self._surplus_since_s: float | None = None
        (data / "workers").mkdir(mode=0o700, exist_ok=True)
        self._take_over()

    @property
    def members(self) -> list[Member]:
        return list(self._members.values())

    # --------------------------------------------------------------- taking over

    def _take_over(self) -> None:
        """Finds the workers of an earlier keeper; those that died meanwhile are seen to as any other."""
        known = {entry.mark: entry for entry in registry.load(self._data)}
        living = {entry.mark: entry for entry in registry.scan(self._data)}
        for mark, entry in {**living, **known}.items():
            self._next_serial = max(self._next_serial, entry.serial + 1)
            process = WatchedProcess.adopt(entry.pid, entry.ticks)
            if process is None:
                self._deaths.see_to(entry, "it ended while no keeper ran")
            else:
                self._members[entry.serial] = Member(entry, process)
                _log.info("adopted worker %d, pid %d (%s)", entry.serial, entry.pid, mark)
        self._save()

    # -------------------------------------------------------------------- a step

    def step(self, now_s: float) -> None:
        """Notices ends, learns ids, and brings each pool to its wanted number."""
        for member in self.members:
            if member.process.has_ended():
                self._on_end(member, now_s)
            elif now_s >= member.stop_at_s:
                member.stop_at_s = float("inf")
                member.process.send(signal.SIGTERM)
        pools = self._link.pools
        if pools is None:
            return
        self._forget_failures_of_other_orders(pools)
        actions = plan_workers(pools, self._held(), self._backoffs, now_s)
        releases = [action for action in actions if isinstance(action, Release)]
        for action in actions:
            if isinstance(action, Start):
                self._start(action.pool, now_s)
        self._release_all(releases, now_s)
        if self._members and now_s >= self._learn_at_s:
            self._learn_ids()

    def _forget_failures_of_other_orders(self, pools: dict[str, Pool]) -> None:
        for session_id, pool in pools.items():
            before = self._ordered.get(session_id)
            if before is not None and before != pool:
                self._backoffs.pop(session_id, None)
        self._ordered = dict(pools)

    def due_in_s(self, now_s: float) -> float:
        """Seconds until `step` has something to do by itself."""
        pools = self._link.pools or {}
        learn_s = self._learn_at_s - now_s if self._unknown() and not self._learning else float("inf")
        return max(0.0, min(learn_s, next_wake_s(pools, self._held(), self._backoffs, now_s)))

    def _held(self) -> list[Held]:
        return [
            Held(entry.serial, entry.session_id, member.leaving, member.busy, entry.shape)
            for entry, member in ((member.entry, member) for member in self._members.values())
        ]

    def _start(self, pool: Pool, now_s: float) -> None:
        serial = self._next_serial
        self._next_serial += 1
        mark = registry.new_mark(serial)
        additions = {registry.DATA_VARIABLE: str(self._data), registry.MARK_VARIABLE: mark}
        try:
            log = self._data / "workers" / f"{serial}.log"
            # Handlers are usually found in the workspace that the tasks come from.
            modules_in = [str(self._data.parent)] if pool.handler_modules else []
            child = start_detached(self._command(pool), log, additions=additions, import_from=modules_in)
        except OSError as error:
            _log.error("cannot start a worker: %s", error)
            self._back_off(pool.session_id, exit_code=1, lived_s=0.0, now_s=now_s)
            return
        process = WatchedProcess.of_child(child)
        shape = shape_of(pool.slots, pool.labels, pool.handler_modules)
        entry = Entry(
            serial, child.pid, start_ticks(child.pid) or 0, mark, session_id=pool.session_id, shape=shape
        )
        self._members[serial] = Member(entry, process)
        self._learn_at_s = time.monotonic() + _LEARN_INTERVAL_S
        self._save()
        (self._data / "workers" / f"{serial - _KEPT_LOGS}.log").unlink(missing_ok=True)
        _log.info("started worker %d, pid %d, for %s", serial, child.pid, pool.session_id or "all sessions")

    def _command(self, pool: Pool) -> list[str]:
        arguments = ["--coordinator", self._link.address, "--token-file", str(self._data / "token")]
        arguments += ["--state-dir", str(self._data), "--directory", str(self._data.parent)]
        arguments += ["--slots", str(max(1, pool.slots)), "--metadata", _METADATA]
        for label in pool.labels:
            arguments += ["--label", label]
        for module in pool.handler_modules:
            arguments += ["--handlers", module]
        if pool.session_id:
            arguments += ["--session", pool.session_id]
        return python_module(registry.WORKER_MODULE, *arguments)

    # ---------------------------------------------------------------- ids and use

    def _unknown(self) -> list[Member]:
        return [member for member in self._members.values() if not member.entry.worker_id]

    def _learn_ids(self) -> None:
        if not self._learning:
            self._learning = True
            self._asked_at_s = time.monotonic()
            self._calls.add(self._link.workers_here, self._learned)

    def _learned(self, workers: list[Worker] | None) -> None:
        self._learning = False
        oldest_s = max((member.process.lived_s for member in self._unknown()), default=0.0)
        # A worker that does not come up is not asked for three times a second for ever.
        now_s = time.monotonic()
        pause_s = min(_REFRESH_INTERVAL_S, max(_LEARN_INTERVAL_S, oldest_s / 10))
        self._learn_at_s = now_s + (pause_s if self._unknown() else _REFRESH_INTERVAL_S)
        if workers is not None:
            self._known_as_of_s = self._asked_at_s
        before = [member.entry for member in self.members]
        for member in self.members:
            found = worker_of(workers or (), member.entry.pid, member.process.lived_s)
            if found is not None:
                member.busy = bool(found.tasks)
                # Drained by somebody else: its place is free as soon as that is known.
                member.leaving = member.leaving or found.draining
                member.entry = replace(member.entry, worker_id=found.worker_id)
        if before != [member.entry for member in self.members]:
            self._save()

    # --------------------------------------------------------------------- ends

    def _release_all(self, releases: list[Release], now_s: float) -> None:
        """Who is busy decides who goes, so that is asked for before the first is told to."""
        if not releases:
            self._surplus_since_s = None
            return
        if self._surplus_since_s is None:
            self._surplus_since_s = now_s
        if self._known_as_of_s < self._surplus_since_s:
            self._learn_ids()
            return
        for release in releases:
            self._release(release)

    def _release(self, action: Release) -> None:
        member = self._members[action.serial]
        member.leaving = True
        worker_id = member.entry.worker_id
        if not worker_id:
            # Not registered yet, so it runs nothing.
            member.process.send(signal.SIGTERM)
            return

        def drained(known: bool | None) -> None:
            if known is False:
                # Most likely it has just said goodbye, and is on its way out.
                member.stop_at_s = time.monotonic() + _LEAVE_S

        self._calls.add(lambda: self._link.drain(worker_id), drained)

    def _on_end(self, member: Member, now_s: float) -> None:
        entry = member.entry
        del self._members[entry.serial]
        code = member.process.exit_code()
        lived_s = member.process.lived_s
        member.process.close()
        self._save()
        if not member.leaving:
            self._back_off(entry.session_id, exit_code=code, lived_s=lived_s, now_s=now_s)
        _log.info("worker %d, pid %d, ended (%s)", entry.serial, entry.pid, _reason(code))
        if code != 0:
            self._deaths.see_to(entry, _reason(code), lived_s)

    def _back_off(self, session_id: str, *, exit_code: int | None, lived_s: float, now_s: float) -> None:
        before = self._backoffs.get(session_id, Backoff())
        self._backoffs[session_id] = before.after(exit_code=exit_code, lived_s=lived_s, now_s=now_s)

    def end_all(self, grace_s: float) -> None:
        """Ends every worker: asked to, killed after `grace_s` seconds; leaves nothing of them behind.

        They stay noted: with no coordinator to tell, the next keeper has to report those that it knew.
        """
        self._tell_all(signal.SIGTERM, min(_INSIST_S, grace_s))
        # A worker finishes what it runs at the first, and stops it at the second.
        self._tell_all(signal.SIGTERM, grace_s - _INSIST_S)
        for member in self.members:
            member.process.send(signal.SIGKILL)
        for member in self.members:
            clean_up(member.entry.mark, member.entry.worker_id)

    def _tell_all(self, number: signal.Signals, wait_s: float) -> None:
        """Signals those that are still there, and waits until they are not, at most `wait_s` seconds."""
        for member in self.members:
            member.process.send(number)
        deadline_s = time.monotonic() + wait_s
        while time.monotonic() < deadline_s and not all(m.process.has_ended() for m in self.members):
            time.sleep(0.05)

    def _save(self) -> None:
        try:
            registry.save(self._data, [member.entry for member in self._members.values()])
        except OSError as error:
            # The marks in /proc tell the same, as long as the workers live.
            _log.warning("cannot note the workers: %s", error)


def _reason(code: int | None) -> str:
    if code is None:
        return "its process is gone"
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
