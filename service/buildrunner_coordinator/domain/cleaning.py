"""Forgetting: sessions that are over leave memory, old ones and old workers leave altogether."""

from __future__ import annotations

from buildrunner_coordinator.domain import grants, history
from buildrunner_coordinator.domain.changes import SessionRow
from buildrunner_coordinator.domain.codec import session_row
from buildrunner_coordinator.domain.commands import DeleteSessions
from buildrunner_coordinator.domain.ids import resolve
from buildrunner_coordinator.domain.model import Session, Time
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.state import State


def forget_session(core: State, session_id: str) -> None:
    """Drops the tasks that a session keeps in memory. All of them are over."""
    assert not core.tasks.get(session_id), f"session {session_id} still has tasks"
    core.tasks.pop(session_id, None)
    core.ended.pop(session_id, None)
    core.dependents.pop(session_id, None)
    core.untold.pop(session_id, None)
    core.reviving.pop(session_id, None)
    core.external.discard(session_id)
    core.queue.drop_session(session_id)


def remove_session(core: State, session: Session) -> None:
    """Removes an ended session and everything of it, here and in the store."""
    for grant in grants.of_session(core, session.session_id):
        grants.free(core, grant)
    del core.sessions[session.session_id]
    core.journal.sessions.pop(session.session_id, None)
    core.journal.removed_sessions.append(session.session_id)


def remove_worker(core: State, worker_id: str, why: str) -> None:
    """The worker is no more. It has no attempts."""
    worker = core.workers.pop(worker_id)
    history.note_worker(core, worker, "gone", why)
    assert not worker.attempts, f"worker {worker_id} still has attempts"
    core.journal.workers.pop(worker_id, None)
    core.journal.removed_workers.append(worker_id)


def delete_sessions(core: State, command: DeleteSessions, now: Time) -> list[SessionRow]:
    chosen = _chosen(core, command)
    old = [
        s
        for s in chosen
        if s.is_over and s.ended_us <= now.us - command.older_than_us and not _lingers(core, s)
    ]
    rows = [session_row(session) for session in old]
    if not command.dry_run:
        for session in old:
            remove_session(core, session)
    return rows


def _chosen(core: State, command: DeleteSessions) -> list[Session]:
    if not command.session_ids:
        return list(core.sessions.values())
    found = [core.sessions[resolve(one, core.sessions, Reason.SESSION_NOT_FOUND, "session")]
             for one in command.session_ids]  # fmt: skip
    for session in found:
        if not session.is_over:
            raise Refusal(
                Reason.WRONG_STATE,
                f"Session {session.session_id} ({session.name}) is {session.status}: cancel it first.",
            )
    return found


def _lingers(core: State, session: Session) -> bool:
    """Something of it is still held: what a lost worker left, or a grant whose user has not let go."""
    if any(lapse.session_id == session.session_id for lapse in core.lapses.values()):
        return True
    return any(not one.suspended for one in grants.of_session(core, session.session_id))
