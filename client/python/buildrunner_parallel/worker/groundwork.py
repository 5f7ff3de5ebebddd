"""What is done for an attempt before its start and after its end: pictures of its checkout, or a worktree.

On the worker's loop; all that blocks is done on threads. Each request is answered by one event to the attempt
book, in any order.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from buildrunner_parallel.v1 import types_pb2
from buildrunner_parallel.v1 import worker_service_pb2 as pb

from . import audits, worktrees
from .attempt import Attempt
from .framing import Message
from .git_calls import GitFailed, find_checkout, is_in_git
from .ground import Ground
from .merging import merge
from .photographer import Photographer
from .pictures import Studio, difference
from .task_environment import working_directory

PREPARED = "prepared"
CLOSED = "closed"

_THREADS = 4
_LOOK_INTERVAL_S = 0.2
_KEPT_OUTCOMES = (types_pb2.OUTCOME_FAILED, types_pb2.OUTCOME_TIMED_OUT)
_log = logging.getLogger(__name__)
HeldByOthers = Callable[[Attempt, Sequence[str], Callable[[], bool]], Awaitable[str]]
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Groundwork:
    """One worker's. `emit` takes the events, `may_act` says whether the worker's lease holds now, and
    `held_by_others` is LockQuestions.held_by_others."""

    def __init__(
        self,
        folder: str,
        directory: str,
        emit: Callable[[Message], None],
        may_act: Callable[[], bool],
        held_by_others: HeldByOthers,
    ) -> None:
        self._folder = folder
        self._directory = directory
        self._emit = emit
        self._may_act = may_act
        self._held_by_others = held_by_others
        self._threads = ThreadPoolExecutor(_THREADS, "br-git")
        self._photographers: dict[str, Photographer] = {}
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()

    def is_needed(self, attempt: Attempt) -> bool:
        """Whether the attempt must be prepared."""
        spec = attempt.assignment.spec
        if audits.is_isolated(spec) or audits.must_tell(spec):
            return True
        return audits.is_audited(spec) and is_in_git(self._root(attempt))

    def _root(self, attempt: Attempt) -> str:
        return attempt.assignment.spec.directory.worktree or self._directory

    # Before the start

    def prepare(self, attempt: Attempt) -> None:
        """Answered by (PREPARED, attempt id, ground or None, why it cannot start)."""
        self._do(self._prepare(attempt))

    async def _prepare(self, attempt: Attempt) -> None:
        spec = attempt.assignment.spec
        where = working_directory(spec.directory, self._directory)
        try:
            if audits.is_isolated(spec):
                ground = await self._on_thread(self._isolate, attempt, where)
            else:
                ground = await self._photograph(attempt, where)
        except Exception as error:  # whatever it is, the attempt must not wait for ever
            self._emit((PREPARED, attempt.attempt_id, None, f"no worktree of its own: {error}"))
        else:
            self._emit((PREPARED, attempt.attempt_id, ground, ""))

    def _isolate(self, attempt: Attempt, where: str) -> Ground:
        """On a thread."""
        assignment = attempt.assignment
        checkout = find_checkout(self._root(attempt))
        below = os.path.relpath(os.path.realpath(where), checkout.top)
        if below.split("/")[0] == "..":
            raise GitFailed(f"its directory {where} is not within {checkout.top}")
        whose = worktrees.Identity(
            assignment.session_id, assignment.spec.task_id, assignment.number, attempt.fence
        )
        tree, owner = worktrees.grow(checkout, whose)
        environment = {"BR_WORKTREE": tree.path, "BR_BRANCH": tree.branch}
        return Ground(os.path.normpath(f"{tree.path}/{below}"), environment, tree, owner)

    async def _photograph(self, attempt: Attempt, where: str) -> Ground:
        ground = Ground(where)
        try:
            ground.photographer = await self._photographer_of(self._root(attempt))
            ground.before = await ground.photographer.take()
        except (GitFailed, OSError) as error:
            ground.failure = f"not audited: {error}"
        return ground

    async def _photographer_of(self, root: str) -> Photographer:
        known = self._photographers.get(root)
        if known is not None and known.checkout.is_there:
            return known
        checkout = await self._on_thread(find_checkout, root)
        same = self._photographers.get(checkout.top)
        if same is None or same.checkout != checkout:
            studio = Studio(checkout, f"{self._folder}/{next(self._numbers)}")
            same = self._photographers[checkout.top] = Photographer(checkout, studio, self._threads)
        self._photographers[root] = same
        return same

    # After the end

    def close(self, attempt: Attempt, report: pb.TaskReport, is_wanted: Callable[[], bool]) -> None:
        """Completes the report; answered by (CLOSED, attempt id, report). Nothing of the attempt runs any
        more, and the ground is not the attempt's any more. Nothing is merged unless `is_wanted`."""
        ground, attempt.ground = attempt.ground, None
        assert ground is not None
        self._do(self._close(attempt, ground, report, is_wanted))

    async def _close(
        self,
        attempt: Attempt,
        ground: Ground,
        report: pb.TaskReport,
        is_wanted: Callable[[], bool],
    ) -> None:
        try:
            if ground.tree is not None:
                await self._harvest(attempt, ground, report, is_wanted)
            elif ground.before is not None and ground.photographer is not None:
                wants_patch = functools.partial(audits.wants_patch, attempt.assignment.spec, report.outcome)
                found = await ground.photographer.compare(ground.before, wants_patch)
                audits.add_difference(report, found)
            else:
                audits.add_failure(report, ground.failure)
        except Exception as error:  # whatever it is, the report must leave
            audits.add_failure(report, f"not audited: {error}")
        self._emit((CLOSED, attempt.attempt_id, report))

    async def _harvest(
        self,
        attempt: Attempt,
        ground: Ground,
        report: pb.TaskReport,
        is_wanted: Callable[[], bool],
    ) -> None:
        tree, owner = ground.tree, ground.owner
        assert tree is not None and owner is not None
        try:
            commit = await self._on_thread(worktrees.seal, tree)
        except (GitFailed, OSError) as error:
            worktrees.keep(tree, owner)
            audits.add_loss(report, f"what it did could not be committed and is kept in {tree.path}: {error}")
            return
        try:
            report.audit.base_commit = tree.base
            if commit != tree.base:
                report.audit.branch, report.audit.commit = tree.branch, commit
            found = await self._on_thread(difference, tree.checkout, tree.base, commit)
            if attempt.assignment.spec.audit != types_pb2.AUDIT_MODE_OFF:
                audits.add_difference(report, found)
            if attempt.assignment.spec.merge and report.outcome == types_pb2.OUTCOME_SUCCEEDED:
                await self._merge(attempt, tree, commit, report, is_wanted)
        finally:
            await self._put_away(tree, owner, commit, is_kept=report.outcome in _KEPT_OUTCOMES)

    async def _merge(
        self,
        attempt: Attempt,
        tree: worktrees.OwnTree,
        commit: str,
        report: pb.TaskReport,
        is_wanted: Callable[[], bool],
    ) -> None:
        """While the attempt still holds its locks, which is sure only as long as the lease holds; and nothing
        that somebody else holds."""
        report.audit.session_branch = tree.session_branch
        spec = attempt.assignment.spec
        strays = audits.not_plainly_declared(spec, report.modified_files) if audits.is_audited(spec) else []
        if strays and (why := await self._held_by_others(attempt, strays, is_wanted)):
            audits.add_merge(report, pb.MERGE_OUTCOME_FAILED, f"{tree.branch} was not merged: {why}")
            return
        while is_wanted() and not self._may_act():  # noqa: ASYNC110  a lease is a clock, no event
            await asyncio.sleep(_LOOK_INTERVAL_S)
        if not is_wanted():
            return
        merged = await self._on_thread(merge, tree, commit)
        audits.add_merge(report, merged.outcome, merged.error)

    async def _put_away(
        self, tree: worktrees.OwnTree, owner: worktrees.Owner, commit: str, *, is_kept: bool
    ) -> None:
        try:
            if is_kept:
                worktrees.keep(tree, owner)
            else:
                # A branch without a commit of its own says nothing.
                keep_branch = commit != tree.base
                await self._on_thread(worktrees.remove, tree, owner, keep_branch=keep_branch)
        except (GitFailed, OSError) as error:
            _log.warning("the worktree %s is left for the keeper: %s", tree.path, error)
            owner.release()

    # Without a report

    def abandon(self, attempt: Attempt) -> None:
        """The attempt never ran, or nobody wants to hear of it: what it did stays on its branch."""
        ground, attempt.ground = attempt.ground, None
        if ground is None:
            return
        if ground.before is not None and ground.photographer is not None:
            ground.photographer.drop(ground.before)
        if ground.tree is not None and ground.owner is not None:
            self._do(self._abandon(ground.tree, ground.owner))

    async def _abandon(self, tree: worktrees.OwnTree, owner: worktrees.Owner) -> None:
        try:
            commit = await self._on_thread(worktrees.seal, tree)
        except (GitFailed, OSError) as error:
            _log.warning("the worktree %s is left for the keeper: %s", tree.path, error)
            owner.release()
        else:
            await self._put_away(tree, owner, commit, is_kept=False)

    # Threads

    def _do(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("work for an attempt has failed", exc_info=error)

    async def _on_thread(self, work: Callable[_P, _R], *arguments: _P.args, **named: _P.kwargs) -> _R:
        call = functools.partial(work, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close_down(self) -> None:
        """The worker ends: what is not done is left for the keeper."""
        for task in list(self._tasks):
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
