"""Taking over the sessions of another program, with their ids, states and times. Their owner ends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain import history, sessions
from buildrunner_coordinator.domain.changes import SessionRow
from buildrunner_coordinator.domain.codec import session_row
from buildrunner_coordinator.domain.model import Driver, Session, SessionStatus, Time
from buildrunner_coordinator.domain.timers import Timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildrunner_coordinator.domain.state import State


def import_sessions(core: State, command: c.ImportSessions, now: Time) -> Callable[[], list[SessionRow]]:
    """Those whose id is known are passed over. The caller has checked names and numbers."""
    new = [one for one in command.sessions if one.session_id not in core.sessions]
    # In the order of their creation, so that lists show the newest first.
    new.sort(key=lambda one: one.created_at_us)
    if command.dry_run:
        return lambda: [session_row(_made(core, one, now)) for one in new]
    added = [_add(core, one, now) for one in new]
    return lambda: [session_row(session) for session in added]


def _made(core: State, one: c.ImportedSession, now: Time) -> Session:
    return Session(
        one.session_id, core.workspace_id, one.name, one.status, driver=Driver.OWNER,
        declared_tasks=one.declared_tasks, worker_id=one.worker_id, metadata_json=one.metadata_json,
        created_at_us=one.created_at_us or now.wall_us, started_at_us=one.started_at_us, reason=one.reason,
        reported=one.reported, modified_files=one.modified_files, order=core.next_order,
    )  # fmt: skip


def _add(core: State, one: c.ImportedSession, now: Time) -> Session:
    session = _made(core, one, now)
    core.next_order += 1
    core.sessions[session.session_id] = session
    core.touch(session)
    history.note_session(core, session, "imported", f"Taken over from elsewhere as {session.status}")
    if session.is_over:
        session.open = False
        session.ended_at_us, session.ended_us = one.ended_at_us or now.wall_us, now.us
        if core.settings.retention_ms:
            core.timers.add(now.us + core.settings.retention_ms * 1000, Timer.RETENTION, session.session_id)
        return session
    sessions.remember(core, session)
    if session.status is not SessionStatus.CREATED:
        session.started_at_us = session.started_at_us or session.created_at_us
    return session
