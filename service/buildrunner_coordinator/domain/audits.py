"""What an audited attempt changed, compared with what it declared: what it is charged with or warned of.

In a shared checkout nobody can tell who wrote a file. So a change is charged only when nobody else could have
made it: no other attempt ran there meanwhile that held or declared the path. Who was there and is gone again
is kept in `core.departed` while an older attempt lives; after a restart of the coordinator that is not known,
and nothing is charged. A worktree of its own has no others in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from buildrunner_coordinator.domain import grants, history
from buildrunner_coordinator.domain.commands import Finished
from buildrunner_coordinator.domain.locks import Entry, LockTable, Party
from buildrunner_coordinator.domain.model import (
    ISOLATED,
    Attempt,
    LockKind,
    LockMode,
    Outcome,
    PathRequest,
    Session,
    Task,
    Time,
)
from buildrunner_coordinator.domain.paths import covers
from buildrunner_coordinator.domain.state import Departed, State

UNDECLARED_WRITE = "UNDECLARED_WRITE"
MAX_SESSION_FILES = 10_000
MAX_DEPARTED = 10_000
_JUDGED_FILES = 1_000
_WARNINGS = 20
_SHOWN = 5


class Verdict(NamedTuple):
    """`trespass` is one line when a path was changed that another session holds. `is_odd`: something that was
    not declared was changed, so the patch is worth keeping."""

    warnings: tuple[str, ...] = ()
    trespass: str = ""
    is_odd: bool = False


UNSEEN = Verdict()


def judge(core: State, task: Task, attempt: Attempt, report: Finished) -> Verdict:
    """Called while the attempt still holds its paths."""
    audit = report.audit
    if audit is None:
        return UNSEEN
    warnings = [audit.failure] if audit.failure else []
    if audit.more_files:
        warnings.append(f"changed {audit.more_files:,} files more than are listed")
    if not task.traits.is_audited:
        return Verdict(tuple(warnings))
    undeclared = [one for one in report.modified_files if not _is_own(core, task, attempt, one)]
    if not undeclared:
        return Verdict(tuple(warnings))
    scene = _Scene(core, task, attempt)
    findings = [scene.look_at(path) for path in undeclared[:_JUDGED_FILES]]
    warnings += _told(findings)
    if len(undeclared) > _JUDGED_FILES:
        warnings.append(f"changed {len(undeclared) - _JUDGED_FILES:,} files more without declaring them")
    return Verdict(tuple(warnings[:_WARNINGS]), _trespass(findings), is_odd=True)


def _is_own(core: State, task: Task, attempt: Attempt, path: str) -> bool:
    """Declared, taken on top of that by the attempt, or held by its session, whose tasks may use it."""
    folds = core.folds_case
    if any(covers(one, path, folds) for one in task.files):
        return True
    accounts = (*grants.on_account(core, attempt.attempt_id), *grants.on_account(core, task.session_id))
    return any(covers(one, path, folds) for grant in accounts for one in grant.files)


class _Finding(NamedTuple):
    path: str
    candidates: tuple[str, ...]
    """Others that may have changed it."""
    holder: str
    """A session that holds it and could not have changed it."""
    is_unsure: bool


class _Scene:
    """Who was in the attempt's checkout while it ran."""

    def __init__(self, core: State, task: Task, attempt: Attempt) -> None:
        self._core = core
        self._task = task
        self._attempt = attempt
        self._party = Party(attempt.attempt_id, task.session_id)
        self._is_unsure = attempt.assigned_us < core.departed_known_us
        self._gone = [
            one for one in core.departed
            if one.ended_us > attempt.assigned_us and self._is_here(one.host, one.place)
        ]  # fmt: skip
        self._gone_by_id = {one.attempt_id: one for one in self._gone}
        self._table = LockTable(core.folds_case)
        for one in self._gone:
            self._table.add(one.attempt_id, one.files, Party(one.attempt_id, one.session_id))
        self._sessions = {one.session_id for one in self._gone} | {
            other.session_id
            for other in core.attempts.values()
            if other.attempt is not None and other is not task and self._is_here_now(other)
        }

    def _is_here(self, host: str, place: str) -> bool:
        """One whose checkout is not known may be anywhere on its host, but in no worktree of one's own."""
        mine = self._task.traits.place
        if ISOLATED in (mine, place) or host != self._attempt.host:
            return False
        return mine == place or not mine or not place

    def _is_here_now(self, other: Task) -> bool:
        return other.attempt is not None and self._is_here(other.attempt.host, other.traits.place)

    def look_at(self, path: str) -> _Finding:
        wanted = (PathRequest(path, LockMode.EXCLUSIVE, LockKind.FILE),)
        candidates: dict[str, None] = {}
        holder = ""
        for _, entry in self._core.locks.conflicts(wanted, self._party):
            name, is_candidate = self._who(entry)
            if is_candidate:
                candidates[name] = None
            elif entry.party.session_id != self._task.session_id:
                holder = holder or name
        for _, entry in self._table.conflicts(wanted, self._party):
            candidates[self._gone_by_id[entry.owner].name] = None
        return _Finding(path, tuple(candidates), holder, self._is_unsure)

    def _who(self, entry: Entry) -> tuple[str, bool]:
        """The holder's name, and whether it may have written here."""
        core, owner = self._core, entry.owner
        grant = core.grants.get(owner)
        other = core.attempts.get(grant.attempt_id if grant is not None else owner)
        if other is not None:
            return _name(core, other), self._is_here_now(other)
        lapse = core.lapses.get(owner)
        if lapse is not None:
            return f"task {lapse.task_id} of session {lapse.session_id}, whose worker was lost", True
        session_id = entry.party.session_id
        session = core.sessions.get(session_id)
        name = f"session {session_id} ({session.name})" if session is not None else f"session {session_id}"
        return name, session_id in self._sessions


def _name(core: State, task: Task) -> str:
    return f"task {task.task_id} of session {task.session_id}"


def _told(findings: Iterable[_Finding]) -> list[str]:
    """One line for all paths of the same kind, so that a thousand files make no thousand lines."""
    groups: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for one in findings:
        groups.setdefault((one.candidates, one.holder), []).append(one.path)
    lines = []
    for (candidates, holder), paths in groups.items():
        shown = _listed(paths)
        if candidates:
            lines.append(f"changed while it ran, by it or by {_listed(candidates)}: {shown}")
        elif holder:
            lines.append(f"changed without declaring it, and held by {holder}: {shown}")
        else:
            lines.append(f"changed without declaring it: {shown}")
    return lines


def _trespass(findings: Iterable[_Finding]) -> str:
    charged = [one for one in findings if one.holder and not one.candidates and not one.is_unsure]
    if not charged:
        return ""
    holders = _listed(dict.fromkeys(one.holder for one in charged))
    paths = _listed([one.path for one in charged])
    return f"changed what {holders} holds, without declaring it: {paths}"


def _listed(names: Iterable[str]) -> str:
    several = list(names)
    more = f" and {len(several) - _SHOWN} more" if len(several) > _SHOWN else ""
    return ", ".join(several[:_SHOWN]) + more


def keeps_patch(report: Finished, verdict: Verdict) -> bool:
    """What went as declared is in the checkout; what did not may have to be taken back."""
    audit = report.audit
    if audit is None or not audit.patch:
        return False
    return verdict.is_odd or bool(audit.branch) or report.outcome is not Outcome.SUCCEEDED


# ------------------------------------------------------------------ what is remembered


def note_files(core: State, session: Session, report: Finished) -> None:
    """Adds what was changed to the session's own record."""
    known = session.modified_files
    fresh = set(report.modified_files).difference(known)
    if not fresh or len(known) >= MAX_SESSION_FILES:
        return
    room = MAX_SESSION_FILES - len(known)
    session.modified_files = tuple(sorted((*known, *sorted(fresh)[:room])))
    core.touch(session)
    if len(session.modified_files) >= MAX_SESSION_FILES:
        full = f"Its list of modified files is full at {MAX_SESSION_FILES:,}"
        history.note_session(core, session, "changed", f"{full}; further ones are told by their attempts")


def note_departure(core: State, task: Task, attempt: Attempt, now: Time) -> None:
    """The attempt is over, and out of `core.attempts`. Kept for those that began before its end."""
    departed: deque[Departed] = core.departed
    oldest = next(iter(core.attempts.values()), None)
    if oldest is None or oldest.attempt is None:
        departed.clear()
        return
    while departed and departed[0].ended_us <= oldest.attempt.assigned_us:
        departed.popleft()
    if task.files and task.traits.place != ISOLATED:
        departed.append(Departed(
            attempt.attempt_id, _name(core, task), task.session_id, attempt.host, task.traits.place,
            task.files, now.us,
        ))  # fmt: skip
    if len(departed) > MAX_DEPARTED:
        core.departed_known_us = departed.popleft().ended_us
