"""Planted bugs about paths that are held by hand; as those in planted.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from buildrunner_coordinator.domain import grants, lock_checks, locks, restoring, waiting
from buildrunner_coordinator.domain.timers import Timer
from tests.sim.hooks import Hooks
from tests.sim.planting import Patched

if TYPE_CHECKING:
    from buildrunner_coordinator.domain.core import Core
    from buildrunner_coordinator.domain.locks import Party
    from buildrunner_coordinator.domain.model import Grant


class LapseFreesAtOnce(Patched):
    """A lease that was not renewed frees its paths without the lock delay."""

    def patches(self) -> list[Any]:
        return [patch.object(grants, "lapse", lambda core, grant, why: grants.free(core, grant))]


class HangUpForgotten(Patched):
    """Who hung up stays in the line, and is granted when it is its turn."""

    def patches(self) -> list[Any]:
        return [patch.dict("buildrunner_coordinator.domain.handlers.HANDLERS", self._handlers())]

    @staticmethod
    def _handlers() -> dict[type, Callable[..., None]]:
        from buildrunner_coordinator.domain import commands as c

        return {c.LeaveQueue: lambda core, command, now: None}


class OneSessionOneParty(Patched):
    """All that a session does counts as one holder."""

    def patches(self) -> list[Any]:
        def excludes(a: Party, b: Party) -> bool:
            return a.session_id != b.session_id

        return [patch.object(locks, "excludes", excludes)]


class GrantFenceReused(Patched):
    """Grants get the fence that was given last."""

    def patches(self) -> list[Any]:
        return [patch.object(grants, "next_fence", lambda core: core.next_fence - 1)]


class GrantsForgottenAtStart(Patched):
    """A restarted coordinator knows nothing of what is held by hand."""

    def patches(self) -> list[Any]:
        return [patch.object(restoring, "_restore_grants", lambda core, snapshot, now: None)]


class RenewalIgnored(Patched):
    """Renewals are answered, and change nothing."""

    def patches(self) -> list[Any]:
        return [patch.object(grants, "renew", self._renew)]

    @staticmethod
    def _renew(core: Core, grant: Grant) -> None:
        pass


class WaitersJumpTheQueue(Patched):
    """Requests by hand are granted whatever was asked for before."""

    def patches(self) -> list[Any]:
        original = waiting.in_the_way

        def in_the_way(core: Core, files: Any, ticket: int, party: Party) -> Any:
            return [one for one in original(core, files, ticket, party) if one.ticket == locks.HELD]

        return [patch.object(waiting, "in_the_way", in_the_way)]


class WaitsNeverDue(Patched):
    """Whoever waits for so long at most waits on."""

    def patches(self) -> list[Any]:
        handlers = {Timer.LOCK_REQUEST: lambda core, waiter_id, other, now: None}
        return [patch.dict("buildrunner_coordinator.domain.leases.FIRE", handlers)]


class EveryPauseGivesUp(Patched):
    """A session that is paused holds nothing itself, whether its locks were to be given up or not."""

    def patches(self) -> list[Any]:
        original = waiting.step_aside

        def step_aside(core: Core, session_id: str) -> None:
            original(core, session_id)
            for grant in grants.of_session(core, session_id):
                if grants.is_own(grant) and not grant.suspended:
                    grants.free(core, grant)

        return [patch.object(waiting, "step_aside", step_aside)]


class TakenAndGivenUp(Patched):
    """What a session takes that is paused without its locks is granted, and given up a moment later."""

    def patches(self) -> list[Any]:
        return [patch.object(lock_checks, "check_takes_its_own", lambda session: None)]


LOCK_PLANTS: Final[dict[str, Callable[[], Hooks]]] = {
    "lapse-frees-at-once": LapseFreesAtOnce,
    "hang-up-forgotten": HangUpForgotten,
    "one-session-one-party": OneSessionOneParty,
    "grant-fence-reused": GrantFenceReused,
    "grants-forgotten-at-start": GrantsForgottenAtStart,
    "renewal-ignored": RenewalIgnored,
    "waiters-jump-the-queue": WaitersJumpTheQueue,
    "waits-never-due": WaitsNeverDue,
    "every-pause-gives-up": EveryPauseGivesUp,
    "taken-and-given-up": TakenAndGivenUp,
}
