"""What is asked of sessions: create, start, pause, resume, close, cancel, end, change, read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildrunner_coordinator.domain import attempts, endings, history, relocking, views, waiting
from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.changes import SessionRow
from buildrunner_coordinator.domain.codec import session_row
from buildrunner_coordinator.domain.finding import find
from buildrunner_coordinator.domain.ids import fresh_id
from buildrunner_coordinator.domain.model import Driver, Outcome, Pool, Session, SessionStatus, Time
from buildrunner_coordinator.domain.moves import check_session, move_session
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.replies import SessionPage

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildrunner_coordinator.domain.state import State


def shown(core: State, session: Session) -> Callable[[], SessionRow]:
    """The session as it is when the batch has been placed."""
    return lambda: views.session_view(core, session)


def create(core: State, command: c.CreateSession, now: Time) -> Session:
    """Registers the session. The caller has checked names and numbers."""
    session = Session(
        fresh_id(command.seed, core.sessions), command.workspace_id or core.workspace_id, command.name,
        driver=command.driver, declared_tasks=command.declared_tasks, failure_action=command.failure_action,
        failure_limit=command.failure_limit, max_parallel=command.max_parallel,
        wanted_workers=command.wanted_workers, metadata_json=command.metadata_json,
        created_at_us=now.wall_us, order=core.next_order,
    )  # fmt: skip
    core.next_order += 1
    core.sessions[session.session_id] = session
    remember(core, session)
    core.touch(session)
    history.note_session(core, session, "created", f"Created as {session.name!r}")
    return session


def remember(core: State, session: Session) -> None:
    """Makes room in memory for the tasks of an unfinished session."""
    core.tasks[session.session_id] = {}
    core.ended[session.session_id] = {}
    core.dependents[session.session_id] = {}


def run(core: State, session: Session, event: str, now: Time) -> None:
    """CREATED, PAUSED or FAILED to RUNNING, with its pool of workers."""
    before = session.status
    if move_session(core, session, event):
        if event != "retry":
            kind = "resumed" if before is SessionStatus.PAUSED else "started"
            history.note_session(core, session, kind, kind.capitalize())
        session.started_at_us = session.started_at_us or now.wall_us
        core.queue.lanes.setdefault(session.session_id, {})
    set_wanted(core, session, session.wanted_workers)
    endings.settle(core, session, now)


def set_wanted(core: State, session: Session, wanted: int) -> None:
    """How many workers the keeper should run for this session alone."""
    session.wanted_workers = wanted
    core.touch(session)
    key = (session.session_id, "")
    pool = core.pools.get(key)
    if session.is_over or session.status is SessionStatus.CREATED or (pool is None and not wanted):
        return
    if pool is None:
        pool = core.pools[key] = Pool(session.session_id, "", 0)
    if wanted > pool.wanted:
        pool.asked_us = core.now.us
    pool.wanted = wanted
    core.journal.pools[key] = pool


def seal(core: State, session: Session) -> None:
    """No task can be added any more. A repetition changes nothing."""
    if session.open:
        session.open = False
        there = history.counted(sum(session.counts.values()), "task")
        history.note_session(core, session, "sealed", f"Sealed with {there}: no more can be added")
    core.touch(session)


def create_session(core: State, command: c.CreateSession, now: Time) -> Callable[[], SessionRow]:
    if command.workspace_id not in ("", core.workspace_id):
        raise Refusal(
            Reason.WORKSPACE_NOT_FOUND, f"This coordinator does not serve workspace {command.workspace_id!r}."
        )
    return shown(core, create(core, command, now))


def read_session(core: State, command: c.ReadSession, now: Time) -> Callable[[], SessionRow]:
    return shown(core, find(core, command.session_id))


def list_sessions(core: State, command: c.ListSessions, now: Time) -> SessionPage:
    chosen = [s for s in core.sessions.values() if not command.statuses or s.status in command.statuses]
    chosen.sort(key=lambda session: session.order, reverse=True)
    older = [s for s in chosen if not command.before or s.order < command.before]
    page = older[: command.limit]
    more = len(older) > len(page)
    return SessionPage([session_row(s) for s in page], page[-1].order if more else 0, len(chosen))


def start_session(core: State, command: c.StartSession, now: Time) -> Callable[[], SessionRow]:
    session = find(core, command.session_id)
    check_session(session, "start")
    if command.wanted_workers is not None:
        session.wanted_workers = command.wanted_workers
    relocking.take_again(core, session)
    session.worker_id = command.worker_id or session.worker_id
    run(core, session, "start", now)
    return shown(core, session)


def resume_session(core: State, command: c.ResumeSession, now: Time) -> Callable[[], SessionRow]:
    session = find(core, command.session_id)
    check_session(session, "resume")
    relocking.take_again(core, session)
    session.worker_id = command.worker_id or session.worker_id
    run(core, session, "resume", now)
    return shown(core, session)


def pause_session(core: State, command: c.PauseSession, now: Time) -> Callable[[], SessionRow]:
    """Nothing new starts. What has not started is taken back; with `now` what runs is stopped too."""
    session = find(core, command.session_id)
    if session.status is SessionStatus.CREATED and session.driver is Driver.OWNER:
        run(core, session, "start", now)
    if move_session(core, session, "pause"):
        what = "what runs is stopped and queued again" if command.now else "what runs goes on to its end"
        history.note_session(core, session, "paused", f"Paused: {what}")
    if command.release_locks:
        relocking.give_up(core, session)
    core.touch(session)
    waiting.step_aside(core, session.session_id)
    for task in [one for one in core.attempts.values() if one.session_id == session.session_id]:
        if command.now:
            attempts.stop(core, task, Outcome.REVOKED, "PAUSED", now)
        elif task.attempt is not None:
            attempts.revoke(core, task.attempt, "its session is paused")
    return shown(core, session)


def cancel_session(core: State, command: c.CancelSession, now: Time) -> Callable[[], SessionRow]:
    session = find(core, command.session_id)
    if session.is_over and session.driver is Driver.OWNER:
        return shown(core, session)
    if check_session(session, "cancel") is not None:
        _end(core, session, SessionStatus.CANCELLED, command.reason, now)
    return shown(core, session)


def close_session(core: State, command: c.CloseSession, now: Time) -> Callable[[], SessionRow]:
    session = find(core, command.session_id)
    if session.open:
        seal(core, session)
        endings.settle(core, session, now)
    return shown(core, session)


def complete_session(core: State, command: c.CompleteSession, now: Time) -> Callable[[], SessionRow]:
    return _end_by_owner(core, command.session_id, "complete", SessionStatus.COMPLETED, "", now)


def fail_session(core: State, command: c.FailSession, now: Time) -> Callable[[], SessionRow]:
    return _end_by_owner(core, command.session_id, "fail", SessionStatus.FAILED, command.reason, now)


def update_session(core: State, command: c.UpdateSession, now: Time) -> Callable[[], SessionRow]:
    session = find(core, command.session_id)
    _check_changes(session, command)
    if command.declared_tasks is not None:
        session.declared_tasks = command.declared_tasks
    if command.ended_at_us:
        session.ended_at_us = min(command.ended_at_us, now.wall_us)
        session.ended_us = now.us - (now.wall_us - session.ended_at_us)
    _note_changes(core, session, command)
    if command.max_parallel is not None:
        session.max_parallel = command.max_parallel
    if command.metadata_json is not None:
        session.metadata_json = command.metadata_json
    if command.failure_action is not None:
        session.failure_action = command.failure_action
        session.failure_limit = command.failure_limit or 1
    if command.wanted_workers is not None:
        set_wanted(core, session, command.wanted_workers)
    core.touch(session)
    return shown(core, session)


def _check_changes(session: Session, command: c.UpdateSession) -> None:
    """Raises Refusal (WRONG_STATE) for what cannot be changed, or not any more."""
    is_owners = session.driver is Driver.OWNER
    where = f"Session {session.session_id} is {session.status}"
    if (command.declared_tasks is not None or command.ended_at_us) and not is_owners:
        raise Refusal(Reason.WRONG_STATE, f"Session {session.session_id} ({session.name}) is driven by its "
                                          f"tasks: they say how many, and when it ends.")  # fmt: skip
    if command.ended_at_us and not session.is_over:
        raise Refusal(Reason.WRONG_STATE, f"{where}: end it first, then say when it ended.")
    steers = (command.max_parallel, command.failure_action, command.wanted_workers)
    if session.is_over and not (is_owners and all(one is None for one in steers)):
        raise Refusal(Reason.WRONG_STATE, f"{where}: nothing to change.")


def _note_changes(core: State, session: Session, command: c.UpdateSession) -> None:
    """What steers it; metadata and reported progress are no events."""
    told = []
    if command.max_parallel not in (None, session.max_parallel):
        told.append(f"at most {command.max_parallel} tasks at once" if command.max_parallel
                    else "any number of tasks at once")  # fmt: skip
    if command.failure_action is not None:
        told.append(f"failure policy {command.failure_action} after {command.failure_limit or 1}")
    if command.wanted_workers not in (None, session.wanted_workers):
        told.append(f"{history.counted(command.wanted_workers or 0, 'worker')} wanted")
    if told:
        history.note_session(core, session, "changed", f"Changed: {', '.join(told)}")


def update_progress(core: State, command: c.UpdateProgress, now: Time) -> Callable[[], SessionRow]:
    session = find(core, command.session_id)
    if not session.is_over:
        session.reported = (command.completed, command.failed, command.in_progress)
        core.touch(session)
    return shown(core, session)


def mark_files_modified(core: State, command: c.MarkFilesModified, now: Time) -> Callable[[], SessionRow]:
    session = find(core, command.session_id)
    session.modified_files = tuple(sorted({*session.modified_files, *command.paths}))
    core.touch(session)
    return shown(core, session)


def _end_by_owner(
    core: State, given: str, event: str, status: SessionStatus, reason: str, now: Time
) -> Callable[[], SessionRow]:
    session = find(core, given)
    if session.is_over:
        return shown(core, session)
    if session.driver is not Driver.OWNER:
        raise Refusal(
            Reason.WRONG_STATE,
            f"Session {session.session_id} ({session.name}) ends with its tasks. Close or cancel it instead.",
            status=session.status.value,
        )
    check_session(session, event)
    _end(core, session, status, reason, now)
    return shown(core, session)


def _end(core: State, session: Session, status: SessionStatus, reason: str, now: Time) -> None:
    """Stops everything of the session; it is over when its last attempt is."""
    session.open = False
    session.ending_as = status
    session.reason = reason or session.reason
    core.touch(session)
    because = f": {reason}" if reason else ""
    history.note_session(core, session, history.ends_session(status), f"Told to end as {status}{because}")
    endings.cancel_all(core, session, "SESSION_CANCELLED", now, running=True)
    endings.settle(core, session, now)
