"""Why a task does not run: the answer to the question that every user of a queue asks.

An `Explainer` answers for many tasks of one session at one moment; what several answers have in common
it works out once, so that a page of a thousand is quick.
"""

from __future__ import annotations

from buildrunner_coordinator.domain import conflicts, history, waiting, waits
from buildrunner_coordinator.domain.lacking import Lacking, count_before
from buildrunner_coordinator.domain.locks import Party
from buildrunner_coordinator.domain.model import PathRequest, Session, SessionStatus, Task, TaskStatus
from buildrunner_coordinator.domain.moves import held
from buildrunner_coordinator.domain.replies import Wait
from buildrunner_coordinator.domain.state import State

_NEEDS_SHOWN = 4


class Explainer:
    """Of one session. To be thrown away with the batch."""

    def __init__(self, core: State, session: Session) -> None:
        self._core = core
        self._session = session
        self._tasks = core.tasks.get(session.session_id, {})
        self._lacking = Lacking(core, session)
        self._roots: dict[str, Task] = {}
        self._reasons: dict[str, list[Wait]] = {}
        self._chains: dict[str, str] = {}
        self._locks: dict[tuple[PathRequest, ...], Wait | None] = {}

    def explain(self, task: Task) -> list[Wait]:
        """Everything that keeps an unfinished task from running, the most telling first."""
        if task.status is TaskStatus.BLOCKED:
            found = [self._stands_still(), self._needs(task)]
        elif task.status is TaskStatus.QUEUED:
            still = self._stands_still()
            # Workers may come only once a session runs: before that nobody misses them.
            nobody = None if still else self._lacking.suitable(task)
            found = [still, self._own_reason(task), nobody, self._parallel()]
        else:
            return []
        return [one for one in found if one is not None] or self._lacking.waits(task)

    def explain_fully(self, task: Task) -> list[Wait]:
        """As `explain`, with the task's place in the queue of its session: for one task, not for a page."""
        found = self.explain(task)
        if task.status is TaskStatus.QUEUED and found and found[0].kind in ("no_slot", "share"):
            count = count_before(self._core, task)
            if count:
                tasks = history.counted(count, "task")
                verb = "goes" if count == 1 else "go"
                message = f"{found[0].message}; {tasks} of its own session {verb} before it"
                found[0] = found[0]._replace(message=message)
        return found

    def _stands_still(self) -> Wait | None:
        session = self._session
        if session.ending_as is not None:
            return Wait("session", f"its session {session.name} is ending as {session.ending_as}")
        if session.status is SessionStatus.CREATED:
            return Wait("session", f"its session {session.name} has not been started")
        if session.status is not SessionStatus.RUNNING:
            return Wait("session", f"its session {session.name} is {session.status}")
        return None

    def _parallel(self) -> Wait | None:
        session = self._session
        if not session.max_parallel or held(session) < session.max_parallel:
            return None
        tasks = history.counted(held(session), "task")
        return Wait("max_parallel", f"its session {session.name} runs {tasks}, as many as it may at once")

    def _own_reason(self, task: Task) -> Wait | None:
        """Also for those who have not asked for their paths yet, since others go before them."""
        found = waits.own_reason(self._core, task)
        if found is not None or not task.files:
            return self._with_chain(found)
        if task.key in self._core.queue.waiters.waiting:
            return None
        if task.files not in self._locks:
            wait = taken_paths(self._core, task.files, task.session_id)
            self._locks[task.files] = self._with_chain(wait)
        return self._locks[task.files]

    def _with_chain(self, wait: Wait | None) -> Wait | None:
        """With what the first of those who hold the paths hangs on himself, to the end."""
        if wait is None or wait.kind != "locks" or not wait.holders:
            return wait
        owner = waits.owner_of(self._core, wait.holders[0])
        if owner not in self._chains:
            self._chains[owner] = conflicts.chain_phrase(self._core, owner)
        return wait._replace(message=wait.message + self._chains[owner])

    # ------------------------------------------------------------------ needs

    def _needs(self, task: Task) -> Wait:
        open_needs = tuple(need for need in task.needs if need in self._tasks)
        if len(open_needs) == 1 and self._tasks[open_needs[0]].status is TaskStatus.QUEUED:
            only = self._tasks[open_needs[0]]
            return Wait("needs", f"needs {only.task_id}, which is queued{self._why(only)}", open_needs)
        shown = [f"{need} ({self._state(self._tasks[need])})" for need in open_needs[:_NEEDS_SHOWN]]
        if len(open_needs) > _NEEDS_SHOWN:
            shown.append(f"{len(open_needs) - _NEEDS_SHOWN} more")
        return Wait("needs", f"needs {waits.listed(shown)}{self._root_cause(task)}", open_needs)

    def _state(self, task: Task) -> str:
        attempt = task.attempt
        if task.status is TaskStatus.RUNNING and attempt is not None:
            for_us = max(0, self._core.now.wall_us - attempt.started_at_us)
            return f"running on worker {attempt.worker_id} for {history.duration(for_us)}"
        if task.status is TaskStatus.ASSIGNED and attempt is not None:
            return f"about to start on worker {attempt.worker_id}"
        if task.status is TaskStatus.BLOCKED:
            return "waiting for its own needs"
        return "being stopped" if task.status is TaskStatus.CANCELLING else "queued"

    def _root_cause(self, task: Task) -> str:
        """What it all hangs on, when that is not simply running."""
        root = self._root_of(task)
        if root.status is not TaskStatus.QUEUED:
            direct = root.task_id in task.needs
            return "" if direct else f"; the first of them waits for {root.task_id} ({self._state(root)})"
        return f"; it hangs on {root.task_id}, which is queued{self._why(root)}"

    def _why(self, root: Task) -> str:
        """The first reason of a queued task; the end of a sentence."""
        reasons = self._reasons.get(root.task_id)
        if reasons is None:
            reasons = self._reasons[root.task_id] = self.explain(root)
        return f": {reasons[0].message}" if reasons else ""

    def _root_of(self, task: Task) -> Task:
        """Along the chain of open needs to a task that waits for no other."""
        passed = []
        while task.status is TaskStatus.BLOCKED and task.task_id not in self._roots:
            passed.append(task.task_id)
            task = self._slowest_need(task)
        root = self._roots.get(task.task_id, task)
        for task_id in passed:
            self._roots[task_id] = root
        return root

    def _slowest_need(self, task: Task) -> Task:
        """The first open need that no worker has; without one the first that is open."""
        first: Task | None = None
        for need in task.needs:
            found = self._tasks.get(need)
            if found is not None:
                if found.status is TaskStatus.BLOCKED or found.status is TaskStatus.QUEUED:
                    return found
                first = first or found
        assert first is not None, f"{task.key} is blocked and has no open need"
        return first


def taken_paths(core: State, files: tuple[PathRequest, ...], session_id: str = "") -> Wait | None:
    """What a task of that session (empty: of a new one) would have to wait for if it asked now."""
    blockers = waiting.in_the_way(core, files, core.next_ticket, Party("", session_id))
    if not blockers:
        return None
    paths = tuple(dict.fromkeys(one.request.path for one in blockers))
    return waits.locks_wait(core, paths, tuple(dict.fromkeys(one.owner for one in blockers)), session_id)
