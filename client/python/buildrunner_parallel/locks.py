"""Paths held by a block of a program: taken as it begins, renewed in the background, given back as it ends.

    with client.lock(session, ["src/app.py", "lib/"], wait="30s") as grant:
        ...
        grant.check()

A thread of its own renews each grant. aio_locks.py is the twin for asyncio.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from .calls_locks import Duration, SessionName, Wait, acquire_call, acquire_request
from .errors import BuildRunnerError, WrongStateError
from .lock_holding import enter, leave
from .lock_leases import RETRY_S, HeldGrant, LeaseState, OnLost, end_of_block, lease_clock, refuse_upgrade
from .lock_paths import PathItem, path_items
from .records import Grant

if TYPE_CHECKING:
    from .client import Client

_JOIN_S = 2.0
# Of the tables of all clients: taken for a moment when a block begins or ends.
_tables = threading.Lock()


class Lease:
    """One grant, with the thread that renews it until the last block that uses it has ended."""

    def __init__(self, client: Client, state: LeaseState) -> None:
        self.state = state
        self.lost = threading.Event()
        self.callbacks: list[OnLost] = []
        self._client = client
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="br-lock", daemon=True)
        if state.renews:
            self._thread.start()

    def _renew(self) -> None:
        pause_s = self.state.next_renewal_s
        while not self._stop.wait(pause_s):
            sent_s = lease_clock()
            try:
                lease_s = self._client._connection.make(self.state.renewal(self._client))
            except BuildRunnerError as error:
                if self._stop.is_set():
                    return
                if self.state.not_renewed(error, for_good=self._client._connection.closed):
                    self._tell()
                    return
                pause_s = RETRY_S
            else:
                self.state.renewed(sent_s, lease_s)
                pause_s = self.state.next_renewal_s

    def _tell(self) -> None:
        self.lost.set()
        assert self.state.error is not None
        for callback in tuple(self.callbacks):
            callback(self.state.error)

    def end(self) -> BuildRunnerError | None:
        """Stops renewing it and gives it back; what went wrong with it, at any time."""
        self._stop.set()
        state = self.state
        trouble: BuildRunnerError | None = state.error
        if state.renews and trouble is None:
            try:
                self._client._connection.make(state.release(self._client))
            except BuildRunnerError as error:
                trouble = state.not_released(error)
        state.ended = True
        if state.renews and threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_S)
        return trouble


class LiveGrant(HeldGrant):
    """What a block of `Client.lock` holds. May be asked from several threads."""

    def __init__(self, grant: Grant, lease: Lease) -> None:
        super().__init__(grant, lease.state)
        self._lease = lease

    @property
    def lost(self) -> threading.Event:
        """Set when it is known to be lost: taken away, lapsed, or ended with its session."""
        return self._lease.lost


class LockBlock:
    """Made by `Client.lock`, to be used in a `with` statement."""

    def __init__(
        self,
        client: Client,
        session: SessionName,
        paths: Iterable[PathItem],
        *,
        mode: str,
        wait: Wait,
        lease: Duration,
        on_lost: OnLost | None,
    ) -> None:
        self._client = client
        self._ask = partial(
            acquire_request, client, session, path_items(paths), mode=mode, wait=wait, lease=lease
        )
        self._on_lost = on_lost
        self._grant: LiveGrant | None = None

    def __enter__(self) -> LiveGrant:
        if self._grant is not None:
            raise WrongStateError("this block has begun already; each one needs a client.lock() of its own")
        request = self._ask()
        refuse_upgrade(request)
        asked_s = lease_clock()
        grant = self._client._connection.make(acquire_call(request))
        lease = self._lease_of(grant, asked_s)
        if not lease.state.is_dated:
            self._date(lease)
        self._grant = LiveGrant(grant, lease)
        enter(self._grant)
        return self._grant

    def _date(self, lease: Lease) -> None:
        """Renews what was waited for once: when its lease began only the coordinator knows."""
        sent_s = lease_clock()
        try:
            lease_s = self._client._connection.make(lease.state.renewal(self._client))
        except BaseException:
            self._drop(lease)
            raise
        lease.state.renewed(sent_s, lease_s)

    def _drop(self, lease: Lease) -> BuildRunnerError | None:
        """One block less; with the last the grant is given back. What went wrong with it."""
        grant_id = lease.state.grant.grant_id
        with _tables:
            lease.state.users -= 1
            is_last = not lease.state.users
            if is_last and self._client._leases.get(grant_id) is lease:
                del self._client._leases[grant_id]
            if self._on_lost is not None:
                lease.callbacks.remove(self._on_lost)
        return lease.end() if is_last else lease.state.error

    def _lease_of(self, grant: Grant, asked_s: float) -> Lease:
        """That of a block which holds the same already, or a new one."""
        with _tables:
            lease = self._client._leases.get(grant.grant_id)
            if lease is not None and lease.state.is_open:
                lease.state.users += 1
            else:
                lease = Lease(self._client, LeaseState(grant, asked_s))
                self._client._leases[grant.grant_id] = lease
            if self._on_lost is not None:
                lease.callbacks.append(self._on_lost)
        return lease

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        grant, self._grant = self._grant, None
        assert grant is not None
        leave(grant)
        grant._left = True
        end_of_block(error, self._drop(grant._lease))
