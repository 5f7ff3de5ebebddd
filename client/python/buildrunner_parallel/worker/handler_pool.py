"""The runtime's side of its handler hosts: which host gets which task, and what becomes of it.

Feeds short tasks ahead, takes back those stuck behind a long one, and has a host killed to end the task in
it. No loop of its own: it is driven by readable sockets, the supervisor's events and `on_time`.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

from . import host_messages as say
from . import spawning
from . import supervisor_messages as events
from .framing import Message
from .host_link import HandlerJob, HostLink

RETURNED = "returned"
HANDLED = "handled"
PROGRESS = "progress"
HOSTS_READY = "hosts_ready"
HOST_FAILED = "host_failed"

_AHEAD_NS = 5_000_000
_MOST_AHEAD = 96
_RECALL_SETTLE_NS = 10_000_000
_STUCK_NS = 25_000_000
_REPORT_START_NS = 15_000_000
_HOST_GRACE_NS = 2_000_000_000

# One count for all pools: a host of a closed pool may still be ending when the next pool starts its own.
_host_numbers = itertools.count(1)

SendWithFds = Callable[[list[Message], list[int]], None]


class HandlerPool:
    """Hosts of one worker, each started with `host_arguments`. `emit` gets what happened, in the words of
    supervisor_messages and this module."""

    def __init__(
        self,
        host_arguments: list[str],
        env: dict[str, str],
        directory: str,
        send_with_fds: SendWithFds,
        emit: Callable[[Message], None],
        watch: Callable[[HostLink], None],
        unwatch: Callable[[HostLink], None],
    ) -> None:
        self._host_arguments = host_arguments
        self._env = env
        self._directory = directory
        self._send_with_fds = send_with_fds
        self._emit = emit
        self._watch = watch
        self._unwatch = unwatch
        self._hosts: dict[str, HostLink] = {}
        self._by_key: dict[Any, HostLink] = {}
        self._mean_ns: dict[str, float] = {}
        self._mark_base = env.get("BR_WORKER_ID", "")

    # Feeding

    @property
    def slots_used(self) -> int:
        """Slots of the tasks that hosts run or are about to run; one a host, unless a task wants more."""
        used = 0
        for host in self._hosts.values():
            used += host.slots_used
        return used

    @property
    def is_waiting(self) -> bool:
        """Whether `on_time` must be called every few milliseconds."""
        return bool(self._by_key)

    def feed(self, job: HandlerJob, free_slots: int) -> bool:
        """Gives the job to a host: an idle one if a slot is free, else behind a short one of its kind."""
        if free_slots >= job.slots:
            host = next((host for host in self._hosts.values() if host.is_idle), None) or self._spawn()
        elif job.slots == 1:
            room = self._room_ahead(job.name)
            hosts = [host for host in self._hosts.values() if host.pending and host.takes_more(room)]
            if not hosts:
                return False
            host = min(hosts, key=lambda one: len(one.pending))
        else:
            return False
        host.add(job)
        self._by_key[job.key] = host
        return True

    def _room_ahead(self, name: str) -> int:
        mean_ns = self._mean_ns.get(name)
        return 1 if mean_ns is None else int(max(1, min(_MOST_AHEAD, _AHEAD_NS / (mean_ns + 1))))

    def flush(self) -> None:
        """Sends what was fed since the last call, one frame a host."""
        for host in self._hosts.values():
            host.flush()

    def warm_up(self) -> None:
        """Starts the first host, so that the handlers' names become known (HOSTS_READY or HOST_FAILED)."""
        if not self._hosts:
            self._spawn()

    def _spawn(self) -> HostLink:
        slot = next(n for n in range(len(self._hosts) + 1) if n not in {h.slot for h in self._hosts.values()})
        key = f"host-{next(_host_numbers)}"
        host = HostLink(key, slot)
        mark = f"BR_HOST={self._mark_base}-{key}"
        env = self._env | dict([mark.split("=", 1)]) | {"BR_SLOT": str(slot)}
        argv = [sys.executable, "-P", "-m", "buildrunner_parallel.worker.handler_host", *self._host_arguments]
        request = (
            events.HOST,
            key,
            argv,
            self._directory,
            env,
            _HOST_GRACE_NS,
            mark,
            len(host.fds_for_child),
        )
        self._send_with_fds([request], host.fds_for_child)
        host.close_fds_for_child()
        self._hosts[key] = host
        self._watch(host)
        return host

    # What hosts say

    def on_readable(self, host: HostLink) -> None:
        """Reads what the host has sent."""
        for message in host.read():
            self._on_message(host, message)
        if not host.is_open:
            self._unwatch(host)

    def _on_message(self, host: HostLink, message: Message) -> None:
        name = message[0]
        if name == say.DONE:
            self._on_done(host, *message[1:])
        elif name == say.OUTPUT:
            if (job := host.pending.get(message[1])) is not None:
                self._emit((events.OUTPUT, job.key, message[2], message[3]))
        elif name == say.SKIPPED:
            if (key := host.on_skipped(message[1])) is not None:
                self._by_key.pop(key, None)
                self._give_back(host, message[1], key)
        elif name == say.PROGRESS:
            if (job := host.pending.get(message[1])) is not None:
                self._emit((PROGRESS, job.key, message[2], message[3]))
        elif name == say.READY:
            host.is_ready = True
            self._emit((HOSTS_READY, message[1]))
        elif name == say.LOAD_FAILED:
            host.load_error = message[1]

    def _on_done(
        self,
        host: HostLink,
        number: int,
        data: bytes | None,
        content_type: str,
        error: str,
        started_at_us: int,
        wall_us: int,
        cpu_us: int,
        peak_memory_bytes: int,
    ) -> None:
        job = host.pending.pop(number, None)
        if job is None:
            return
        self._by_key.pop(job.key, None)
        host.intents.pop(number, None)
        mean_ns = self._mean_ns.get(job.name, float(wall_us * 1000))
        self._mean_ns[job.name] = mean_ns + (wall_us * 1000 - mean_ns) / 8
        usage = (started_at_us, wall_us, cpu_us, peak_memory_bytes)
        self._emit((HANDLED, job.key, data, content_type, error, *usage, host.pid, host.slot))

    # What the supervisor says of hosts

    def on_supervisor_event(self, event: Message) -> bool:
        """Takes an event that is about a host; False when it is not."""
        host = self._hosts.get(event[1])
        if host is None:
            return False
        if event[0] == events.STARTED:
            host.pid = event[2]
        elif event[0] == events.OUTPUT:
            host.last_words = (host.last_words + event[3])[-4096:]
        elif event[0] == events.ENDED:
            self._on_host_ended(host, events.Ended(*event))
        elif event[0] == events.REFUSED:
            self._on_host_refused(host, event[2], event[3])
        return True

    def _remove(self, host: HostLink) -> None:
        while host.is_open:
            for message in host.read():
                self._on_message(host, message)
            if not host.more_to_read:
                break
        self._unwatch(host)
        self._hosts.pop(host.key, None)

    def _on_host_ended(self, host: HostLink, ended: events.Ended) -> None:
        self._remove(host)
        current = host.current
        if not host.is_ready and not ended.cause:
            host.load_error = (
                host.load_error or _last_line(host.last_words) or "the handler host does not start"
            )
            self._fail_all(host)
            host.close()
            return
        for number, job in list(host.pending.items()):
            self._by_key.pop(job.key, None)
            if number > current:
                self._give_back(host, number, job.key)
                continue
            cause = host.intents[number][1] if number in host.intents else ended.cause
            started_at_us = ended.ended_at_us - (time.monotonic_ns() - host.started_ns) // 1000
            self._emit((events.STARTED, job.key, host.pid, host.slot, started_at_us))
            for stream, data in host.unread_output():
                self._emit((events.OUTPUT, job.key, stream, data))
            error = "" if cause else "its process ended before it returned"
            gone = ended._replace(key=job.key, cause=cause, error=error, result=None)
            self._emit(tuple(gone._replace(exit_code=gone.exit_code or (0 if gone.signal else 1))))
        host.close()

    def _on_host_refused(self, host: HostLink, kind: str, message: str) -> None:
        self._remove(host)
        host.load_error = message
        if kind == spawning.LEASE:
            for job in host.pending.values():
                self._by_key.pop(job.key, None)
                self._emit((events.REFUSED, job.key, kind, message))
        else:
            self._fail_all(host)
        host.close()

    def _fail_all(self, host: HostLink) -> None:
        for job in host.pending.values():
            self._by_key.pop(job.key, None)
        self._emit((HOST_FAILED, [job.key for job in host.pending.values()], host.load_error))

    def _give_back(self, host: HostLink, number: int, key: Any) -> None:
        wanted_by_coordinator = host.intents.pop(number, None) is not None
        self._emit((events.REVOKED if wanted_by_coordinator else RETURNED, key))

    # Stopping and taking back

    def cancel(self, key: Any, grace_ns: int, cause: str) -> None:
        """Ends the task: REVOKED if it has not started, else ENDED with this cause once its host is gone."""
        host = self._by_key.get(key)
        if host is not None:
            number = host.number_of(key)
            host.intents[number] = (grace_ns, cause)
            host.begin_recall(time.monotonic_ns() + _RECALL_SETTLE_NS)

    def revoke(self, key: Any) -> None:
        """Takes the task back if it has not started: REVOKED, or STARTED at the latest when it has."""
        if (host := self._by_key.get(key)) is not None:
            host.intents.setdefault(host.number_of(key), (-1, ""))
            host.begin_recall(time.monotonic_ns() + _RECALL_SETTLE_NS)

    def pause(self, key: Any, *, paused: bool) -> None:
        """Leaves what the task's host says unread, or goes on reading it."""
        if (host := self._by_key.get(key)) is not None and host.is_open:
            (self._unwatch if paused else self._watch)(host)

    def on_time(self, now_ns: int) -> list[Message]:
        """Timeouts, starts worth telling, tasks stuck behind a long one; gives the supervisor's requests."""
        requests: list[Message] = []
        for host in self._hosts.values():
            if host.recall_at_ns and now_ns >= host.recall_at_ns:
                requests += self._settle_recall(host)
            if host.pending and host.is_ready:
                self._look_at_current(host, now_ns)
        return requests

    def _look_at_current(self, host: HostLink, now_ns: int) -> None:
        current, running_ns = host.current, now_ns - host.started_ns
        job = host.pending.get(current)
        if job is None:
            return
        if running_ns > _REPORT_START_NS and not job.start_told:
            job.start_told = True
            at_us = time.time_ns() // 1000 - running_ns // 1000
            self._emit((events.STARTED, job.key, host.pid, host.slot, at_us))
        if job.timeout_ns and running_ns > job.timeout_ns and host.intents.get(current, (-1, ""))[0] < 0:
            self.cancel(job.key, job.grace_ns, events.CAUSE_TIMEOUT)
        elif len(host.pending) > 1 and running_ns > _STUCK_NS and not host.recall_at_ns:
            host.begin_recall(now_ns + _RECALL_SETTLE_NS)

    def _settle_recall(self, host: HostLink) -> list[Message]:
        requests: list[Message] = []
        for number, key in host.settle_recall():
            self._by_key.pop(key, None)
            self._give_back(host, number, key)
        current = host.current
        for number, (grace_ns, cause) in list(host.intents.items()):
            job = host.pending.get(number)
            if job is None or number < current:
                continue
            if grace_ns >= 0:
                requests.append((events.CANCEL, host.key, grace_ns, cause))
                host.dying = True
            else:
                del host.intents[number]
                at_us = time.time_ns() // 1000 - (time.monotonic_ns() - host.started_ns) // 1000
                job.start_told = True
                self._emit((events.STARTED, job.key, host.pid, host.slot, at_us))
        return requests

    def close(self) -> None:
        """Closes every socket; the hosts end by themselves or with the supervisor."""
        for host in list(self._hosts.values()):
            self._unwatch(host)
            host.close()
        self._hosts.clear()
        self._by_key.clear()


def _last_line(text: bytes) -> str:
    lines = [line for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
