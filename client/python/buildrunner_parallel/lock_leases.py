"""What is known of a grant with a lease, for both kinds of lock block. Waits for nothing and sends nothing.

A lease counts from when its last renewal was sent, on a clock that goes on while the machine sleeps: past
its end somebody else may hold the paths. A renewal that is answered all the same proves that nobody did.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from . import calls_locks
from .calls import Call, Scope
from .convert_specs import path_request_from_wire
from .durations import format_duration
from .errors import BuildRunnerError, InvalidRequestError, LockLostError, NotFoundError, RefusedError
from .lock_holding import GRANT_VARIABLE, entered_here
from .records import Grant, LockMode, PathLock
from .text import sanitize

if TYPE_CHECKING:
    from .v1.lock_service_pb2 import AcquireLocksRequest

OnLost: TypeAlias = Callable[[LockLostError], None]

RETRY_S = 0.5
"""Between renewals that were not answered."""
_LONGEST_CALL_S = 10.0
_SHORTEST_CALL_S = 1.0
_PATHS_TOLD = 3
_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def lease_clock() -> float:
    """Seconds since some moment, those in which the machine slept among them."""
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


class LeaseState:
    """One grant, which several blocks of a program may share: what is asked for again is held already.

    `asked_s` is when the request for it was sent, on `clock`.
    """

    def __init__(self, grant: Grant, asked_s: float, clock: Callable[[], float] = lease_clock) -> None:
        self.grant = grant
        self.users = 1
        self.error: LockLostError | None = None
        self.ended = False
        is_ours = not grant.already_held and grant.grant_id not in ("", os.environ.get(GRANT_VARIABLE))
        self.renews = is_ours and bool(grant.lease_ms)
        """False when it is somebody else's to renew and release: a task's own, or that of the program which
        started this one."""
        self._clock = clock
        self._lease_s = grant.lease_ms / 1000
        self.is_dated = not (self.renews and grant.waited_ms)
        """False while it is not known when the lease began: it was waited for, and core time may jump."""
        begun_s = asked_s if self.is_dated else clock()
        self._until_s = begun_s + self._lease_s if self.renews else math.inf

    @property
    def is_open(self) -> bool:
        """Neither given back nor known to be lost."""
        return not self.ended and self.error is None

    @property
    def is_certain(self) -> bool:
        """Whether nobody else can hold it at this moment."""
        return self.is_open and self._clock() < self._until_s

    @property
    def next_renewal_s(self) -> float:
        """Seconds from now: a third of the lease after the last one."""
        return max(0.0, self._until_s - self._lease_s * 2 / 3 - self._clock())

    def renewal(self, scope: Scope) -> Call[float]:
        """The next one; it is tried until the lease is over, and once after."""
        left_s = max(0.0, self._until_s - self._clock())
        timeout_s = min(_LONGEST_CALL_S, max(_SHORTEST_CALL_S, left_s / 2))
        return replace(calls_locks.renew_lease(scope, self.grant), timeout_s=timeout_s, patience_s=left_s)

    def renewed(self, sent_s: float, lease_s: float) -> None:
        self._until_s, self._lease_s, self.is_dated = sent_s + lease_s, lease_s, True

    def not_renewed(self, error: BuildRunnerError, *, for_good: bool = False) -> bool:
        """Whether that was the end of it: it was refused, or the lease is over; else it is tried again."""
        refused = isinstance(error, (RefusedError, NotFoundError))
        if not (refused or for_good or self._clock() >= self._until_s):
            return False
        lease = format_duration(self._lease_s)
        self.lose(str(error) if refused else f"its lease of {lease} could not be renewed in time: {error}")
        return True

    def lose(self, why: str) -> None:
        """Known to be lost; a later reason changes nothing."""
        if self.is_open:
            told = ", ".join(sanitize(path or "./", 200) for path in self.grant.paths[:_PATHS_TOLD])
            more = len(self.grant.paths) - _PATHS_TOLD
            named = f"{told} and {more} more" if more > 0 else told
            self.error = LockLostError(
                f"the lock of {named} was lost while it was needed: {why}", grant_id=self.grant.grant_id
            )

    def release(self, scope: Scope) -> Call[list[PathLock]]:
        grant = self.grant
        return calls_locks.release_locks(scope, grant.session_id, grant_id=grant.grant_id, fence=grant.fence)

    def not_released(self, error: BuildRunnerError) -> BuildRunnerError:
        """What to tell of a release that was refused: it was lost before, and nobody had noticed."""
        if isinstance(error, (RefusedError, NotFoundError)):
            self.lose(str(error))
        return self.error or error


class HeldGrant:
    """What both kinds of block give: the grant, and whether it is still held."""

    _state: LeaseState

    def __init__(self, grant: Grant, state: LeaseState) -> None:
        self._record = grant
        self._state = state
        self._left = False

    @property
    def record(self) -> Grant:
        """All that the coordinator said of it."""
        return self._record

    @property
    def session_id(self) -> str:
        return self._record.session_id

    @property
    def grant_id(self) -> str:
        """Empty for what a task holds by declaring it."""
        return self._record.grant_id

    @property
    def fence(self) -> int:
        """Larger than that of whoever held any of it before: a store that remembers the largest it has seen
        can refuse whoever comes late."""
        return self._record.fence

    @property
    def locks(self) -> tuple[PathLock, ...]:
        """One for each path asked for, in that order."""
        return self._record.locks

    @property
    def waited_s(self) -> float:
        """How long it stood in the queue."""
        return self._record.waited_ms / 1000

    @property
    def is_open(self) -> bool:
        """False once it was given back, or is known to be lost."""
        return not self._left and self._state.is_open

    @property
    def held(self) -> bool:
        """Whether nobody else can hold it at this moment. False too while its renewal is late, and true again
        when that arrives before somebody else has it."""
        return not self._left and self._state.is_certain

    def check(self) -> None:
        """Raises LockLostError when it is lost; for long work to call between its steps."""
        if self._state.error is not None:
            raise self._state.error

    def __repr__(self) -> str:
        state = "held" if self.held else "lost" if self._state.error else "not held"
        return f"<{type(self).__name__} {self.grant_id} of session {self.session_id}: {state}>"


def refuse_upgrade(request: AcquireLocksRequest) -> None:
    """Raises InvalidRequestError for paths that a block around this one holds shared and that are asked for
    exclusively: with the end of the inner block the outer one would hold nothing."""
    shared = {
        (lock.path, lock.kind.value)
        for grant in entered_here()
        if isinstance(grant, HeldGrant)
        for lock in grant.locks
        if lock.mode == LockMode.SHARED
    }
    for wanted in map(path_request_from_wire, request.paths if shared else ()):
        if wanted.mode == LockMode.EXCLUSIVE and (_key(wanted.path), wanted.kind) in shared:
            raise InvalidRequestError(
                f"{sanitize(wanted.path, 200)} is held shared by a block around this one; let that one "
                "ask for it exclusively",
                reason="INVALID",
            )


def _key(path: str) -> str:
    return "" if path == "." else path


def end_of_block(error: BaseException | None, trouble: BuildRunnerError | None) -> None:
    """Raises what went wrong with the lock, unless the block itself failed: then that is told beside it."""
    if trouble is None or error is trouble:
        return
    if error is None:
        raise trouble
    error.add_note(str(trouble))
