"""A plan looked at before it is submitted: its shape, its inner conflicts, whom it would wait for.

`preview_plan` is the core's part: the checks of a submission, and the paths that are taken at present.
`shape_of` and `conflicts_of` read nothing but the plan, so that they can be worked out elsewhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain import graphs, tasks
from buildrunner_coordinator.domain.explaining import taken_paths
from buildrunner_coordinator.domain.locks import Entry, LockTable, Party
from buildrunner_coordinator.domain.model import PathRequest, TaskStatus, Time
from buildrunner_coordinator.domain.replies import PlanLook, Wait
from buildrunner_coordinator.domain.state import State

SHOWN_WAITS = 1000
SHOWN_CONFLICTS = 1000
COUNTED_CONFLICTS = 1_000_000
_MOST_LOOKS = 50_000
"""Sets of paths that are looked up in the lock table, which others wait for meanwhile."""
_MOST_STEPS = 5_000_000
"""Work on conflicts: a plan in which all exclude each other and most are in order is cut off here."""
_ticket = itemgetter(2)


class Shape(NamedTuple):
    need_count: int
    longest_chain: list[str]
    """Ids, first to last."""
    level_widths: list[int]
    """How many tasks stand behind exactly so many others."""


class Conflict(NamedTuple):
    """Two tasks that cannot run at once, though neither waits for the other."""

    task_id: str
    other_task_id: str
    path: PathRequest
    other_path: PathRequest


def preview_plan(core: State, command: c.PreviewPlan, now: Time) -> PlanLook:
    session_id = ""
    if command.session_id:
        session_id = tasks.check_plan(core, command.session_id, command.tasks, start=False).session_id
    else:
        tasks.check_tasks(core, None, command.tasks)
    return PlanLook(_waits(core, command.tasks, session_id))


def shape_of(plan: Sequence[c.NewTask]) -> Shape:
    """Of a plan that was found to be without fault."""
    needs = _needs(plan)
    level = graphs.levels(needs)
    widths = Counter(level.values())
    return Shape(
        sum(len(wanted) for wanted in needs.values()),
        graphs.longest_chain(needs, level),
        [widths[one] for one in range(len(widths))],
    )


def conflicts_of(plan: Sequence[c.NewTask]) -> tuple[list[Conflict], int]:
    """The first pairs in order of submission, and how many there are (at most so many are counted)."""
    return _Conflicts(plan).find()


def _needs(plan: Sequence[c.NewTask]) -> dict[str, tuple[str, ...]]:
    return {task.task_id: tuple(dict.fromkeys(task.needs)) for task in plan}


def _waits(
    core: State, plan: Sequence[c.NewTask], session_id: str
) -> list[tuple[str, TaskStatus, list[Wait]]]:
    found: list[tuple[str, TaskStatus, list[Wait]]] = []
    known: dict[tuple[PathRequest, ...], Wait | None] = {}
    if not len(core.locks):
        return found
    for task in plan:
        if not task.files:
            continue
        if task.files not in known:
            known[task.files] = taken_paths(core, task.files, session_id)
        wait = known[task.files]
        if wait is not None:
            found.append((task.task_id, TaskStatus.BLOCKED if task.needs else TaskStatus.QUEUED, [wait]))
        if len(found) >= SHOWN_WAITS or len(known) >= _MOST_LOOKS:
            break
    return found


class _Conflicts:
    """All tasks of the plan in one lock table, as waiters in order of submission; each asks who after it
    is in its way. Disjoint paths never meet."""

    def __init__(self, plan: Sequence[c.NewTask]) -> None:
        self._plan = plan
        self._table = LockTable()
        for ticket, task in enumerate(plan, 1):
            if task.files:
                self._table.add(task.task_id, task.files, Party(task.task_id, ""), ticket)
        self._needs = _needs(plan)
        self._level = graphs.levels(self._needs)
        self._dependents = graphs.dependents_of(self._needs)
        self._spans = graphs.spans(self._needs, self._dependents)
        self._steps = 0

    def find(self) -> tuple[list[Conflict], int]:
        shown: list[Conflict] = []
        count = 0
        for ticket, task in enumerate(self._plan, 1):
            if not task.files:
                continue
            later = self._later(task, ticket)
            unordered = self._unordered(task.task_id, later) if later else []
            for one in sorted(unordered)[: SHOWN_CONFLICTS - len(shown)]:
                request, entry = later[one]
                shown.append(Conflict(task.task_id, entry.owner, request, entry.request))
            count += len(unordered)
            if count >= COUNTED_CONFLICTS or self._steps >= _MOST_STEPS:
                break
        return shown, min(count, COUNTED_CONFLICTS)

    def _later(self, task: c.NewTask, ticket: int) -> dict[int, tuple[PathRequest, Entry]]:
        """Those behind it in the plan whose paths exclude its own, each once, by their tickets."""
        found: dict[int, tuple[PathRequest, Entry]] = {}
        for request in task.files:
            for entries in self._table.incompatible(request):
                self._steps += 1
                for entry in entries[bisect_right(entries, ticket, key=_ticket) :]:
                    found.setdefault(entry.ticket, (request, entry))
        self._steps += len(found)
        return found

    def _unordered(self, task_id: str, later: dict[int, tuple[PathRequest, Entry]]) -> list[int]:
        """Without those that wait for each other by their needs, however far away."""
        if not self._needs[task_id] and task_id not in self._dependents:
            return list(later)
        begin, end = self._spans[task_id]
        mine = self._level[task_id]
        free: list[int] = []
        unsure: dict[int, str] = {}
        for ticket, (_, entry) in later.items():
            its_begin, its_end = self._spans[entry.owner]
            if self._level[entry.owner] == mine:
                free.append(ticket)
            elif not (begin <= its_begin < end or its_begin <= begin < its_end):
                unsure[ticket] = entry.owner
        ordered = self._related(task_id, mine, unsure) if unsure else set()
        return free + [ticket for ticket, owner in unsure.items() if owner not in ordered]

    def _related(self, task_id: str, mine: int, unsure: dict[int, str]) -> set[str]:
        """Of those that a tree of needs could not tell: a walk over the whole graph does."""
        found: set[str] = set()
        if any(self._level[owner] > mine for owner in unsure.values()):
            found |= graphs.reachable(task_id, self._dependents)
        if any(self._level[owner] < mine for owner in unsure.values()):
            found |= graphs.reachable(task_id, self._needs)
        self._steps += 4 * len(found)
        return found
