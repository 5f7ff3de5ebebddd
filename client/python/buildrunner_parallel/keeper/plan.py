"""The keeper's decisions as pure functions: facts and times in, actions out. No process, file or clock."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..records import Pool, Worker

# ------------------------------------------------------------- the coordinator

ORDERED_END = 0
# The exit code of a coordinator that its state makes impossible: a newer database, a damaged row, read-only.
REFUSED_STATE = 78
QUICK_END_S = 2.0
MAX_QUICK_FAILURES = 5
_RESTART_PAUSES_S = (0.0, 0.1, 0.3, 0.7, 1.5)


class Step(enum.Enum):
    RESTART = "restart"
    GIVE_UP = "give up"
    LEAVE = "leave"
    STATE_GONE = "the state is gone"


@dataclass(frozen=True, slots=True)
class CoordinatorEnd:
    """How a coordinator ended: `exit_code` None when it was nobody's child, negative for a signal;
    `announced` when it had said that it was being stopped."""

    exit_code: int | None
    lived_s: float
    announced: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    step: Step
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CoordinatorHistory:
    """`quick_ends` in a row, by whatever cause; `quick_failures` in a row that it ended with by itself."""

    quick_ends: int = 0
    quick_failures: int = 0

    def after(self, end: CoordinatorEnd) -> tuple[CoordinatorHistory, Decision]:
        """What follows from one end. An ordered one ends the keeper, a refusal or the fifth failure at the
        start makes it give up, everything else is a loss to be made good within 2 s."""
        if end.exit_code == ORDERED_END or (end.exit_code is None and end.announced):
            return self, Decision(Step.LEAVE)
        if end.exit_code == REFUSED_STATE:
            return self, Decision(Step.GIVE_UP)
        if end.lived_s >= QUICK_END_S:
            return CoordinatorHistory(), Decision(Step.RESTART)
        failed = end.exit_code is not None and end.exit_code > 0
        history = CoordinatorHistory(self.quick_ends + 1, self.quick_failures + 1 if failed else 0)
        if history.quick_failures >= MAX_QUICK_FAILURES:
            return history, Decision(Step.GIVE_UP)
        pause_s = _RESTART_PAUSES_S[min(history.quick_ends, len(_RESTART_PAUSES_S)) - 1]
        return history, Decision(Step.RESTART, pause_s)


# --------------------------------------------------------------- the workers

# The metadata of every worker that a keeper starts.
KEPT = {"started_by": "keeper"}

STABLE_AFTER_S = 10.0
_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 30.0


@dataclass(frozen=True, slots=True)
class Held:
    """One worker process: for which session (empty: all), whether it was told to leave already, and the
    shape that it was started with (empty: nobody knows)."""

    serial: int
    session_id: str = ""
    leaving: bool = False
    busy: bool = False
    shape: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """Start one worker for this pool."""

    pool: Pool


@dataclass(frozen=True, slots=True)
class Release:
    """Have this worker finish what it runs and leave."""

    serial: int


@dataclass(frozen=True, slots=True)
class Backoff:
    """How a pool's workers ended of late: `ends` in a row that came soon, nothing new before `until_s`."""

    ends: int = 0
    until_s: float = 0.0

    def after(self, *, exit_code: int | None, lived_s: float, now_s: float) -> Backoff:
        """The first death is made good at once, further ones after 0.5 s, 1 s, ... 30 s; a worker that
        left by itself is never replaced at once."""
        ends = 1 if lived_s >= STABLE_AFTER_S else self.ends + 1
        steps = max(ends, 2) if exit_code == 0 else ends
        pause_s = 0.0 if steps <= 1 else min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** (steps - 2))
        return replace(self, ends=ends, until_s=now_s + pause_s)


def shape_of(slots: int, labels: Iterable[str], handler_modules: Iterable[str]) -> str:
    """What makes two workers of a pool alike, as one word."""
    return json.dumps([max(1, slots), sorted(labels), sorted(handler_modules)])


def _fits(worker: Held, pool: Pool | None) -> bool:
    if pool is None or not worker.shape:
        return True
    return worker.shape == shape_of(pool.slots, pool.labels, pool.handler_modules)


def is_kept(worker: Worker) -> bool:
    """Whether a keeper started this worker."""
    return KEPT.items() <= worker.metadata.items()


def plan_workers(
    pools: Mapping[str, Pool], held: Iterable[Held], backoffs: Mapping[str, Backoff], now_s: float
) -> list[Start | Release]:
    """Starts and releases that bring each pool to its wanted number; `pools` is keyed by session id.

    Workers of a pool that is no more are released; idle ones go first, then the youngest. Those that were
    started with other slots, labels or handlers than the pool has now are replaced.
    """
    staying: dict[str, list[Held]] = {}
    for worker in held:
        if not worker.leaving:
            staying.setdefault(worker.session_id, []).append(worker)
    actions: list[Start | Release] = []
    for session_id in sorted({*pools, *staying}):
        pool = pools.get(session_id)
        present = staying.get(session_id, [])
        workers = [worker for worker in present if _fits(worker, pool)]
        actions += [Release(worker.serial) for worker in present if worker not in workers]
        wanted = max(0, pool.wanted) if pool is not None else 0
        surplus = sorted(workers, key=lambda worker: (worker.busy, -worker.serial))
        actions += [Release(worker.serial) for worker in surplus[: max(0, len(workers) - wanted)]]
        if pool is not None and backoffs.get(session_id, Backoff()).until_s <= now_s:
            actions += [Start(pool)] * (wanted - len(workers))
    return actions


def next_wake_s(
    pools: Mapping[str, Pool], held: Iterable[Held], backoffs: Mapping[str, Backoff], now_s: float
) -> float:
    """Seconds until a backoff that holds up a start ends; infinity when none does."""
    counts: dict[str, int] = {}
    for worker in held:
        counts[worker.session_id] = counts.get(worker.session_id, 0) + (not worker.leaving)
    waits = [
        backoffs[session_id].until_s - now_s
        for session_id, pool in pools.items()
        if session_id in backoffs and counts.get(session_id, 0) < pool.wanted
    ]
    return min((max(0.0, wait_s) for wait_s in waits), default=float("inf"))
