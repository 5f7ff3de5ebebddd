"""Taking a lock away from its holder, with a reason that is written down."""

from __future__ import annotations

from buildrunner_coordinator.domain import attempts, grants, history, reading
from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.leases import end_lapse
from buildrunner_coordinator.domain.model import Outcome, Time
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import LockView
from buildrunner_coordinator.domain.state import State


def force_release(core: State, command: c.ForceRelease, now: Time) -> LockView:
    """An attempt is stopped first and fails with LOCK_LOST: its paths are free at its end. A grant goes
    whole, since one fence covers it; a lapse ends early."""
    if not command.reason.strip():
        raise Refusal(Reason.INVALID, "A lock is taken away for a reason only: give one.")
    view = next((one for one in reading.all_locks(core) if one.lock_id == command.lock_id), None)
    if view is None:
        raise Refusal(
            Reason.LOCK_NOT_FOUND, f"There is no lock {command.lock_id!r}: it may be free by now.",
            id=command.lock_id,
        )  # fmt: skip
    holder = view.holder
    told = f"The lock of {view.path or './'} was taken away by force: {command.reason}"
    history.note(core, "lock_forced", told, session_id=holder.session_id, task_id=holder.task_id,
                 worker_id=holder.worker_id)  # fmt: skip
    grant = core.grants.get(holder.grant_id) if holder.grant_id else None
    if grant is not None and not (grant.attempt_id and grant.attempt_id in core.attempts):
        grants.free(core, grant)
        return view
    task = core.attempts.get(holder.attempt_id)
    if task is not None:
        attempts.stop(core, task, Outcome.LOCK_LOST, f"lock released by force: {command.reason}", now)
    elif holder.attempt_id in core.lapses:
        end_lapse(core, holder.attempt_id)
    return view
