"""What waiting for path locks has cost, added up from the rows of waits and holds that are over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from buildrunner_coordinator.domain import commands
from buildrunner_coordinator.domain.changes import LockTimeRow
from buildrunner_coordinator.domain.questions import LockTimeQuery
from buildrunner_coordinator.domain.replies import TaskPlace
from buildrunner_coordinator.rpc.convert.basics import check_range, timestamp
from buildrunner_coordinator.rpc.convert.locks import MAX_WAIT_MS
from buildrunner_coordinator.rpc.house import House
from buildrunner_parallel.v1 import lock_service_pb2 as pb
from buildrunner_parallel.v1 import types_pb2 as types

Key = TypeVar("Key")

HOLD, GIVEN_UP = "hold", "given_up"
DEFAULT_LIMIT = 20
MAX_LIMIT = 1000
MOST_PERIODS = 24
PAGE_ROWS = 5_000
MOST_ROWS = 200_000
_PERIODS_MS = (1_000, 10_000, 60_000, 300_000, 900_000, 3_600_000, 21_600_000, 86_400_000, 604_800_000)


async def read_statistics(house: House, request: pb.GetLockStatisticsRequest) -> pb.GetLockStatisticsResponse:
    """Raises Refusal for an unknown session or impossible numbers."""
    check_range(request.since_ms, 0, MAX_WAIT_MS, "span in milliseconds")
    limit = check_range(request.limit, 0, MAX_LIMIT, "number of paths") or DEFAULT_LIMIT
    session_id = ""
    if request.session_id:
        place: TaskPlace = await house.engine.execute(commands.FindTask(request.session_id))
        session_id = place.session_id
    now = house.engine.clock.now()
    since_us = now.wall_us - request.since_ms * 1000 if request.since_ms else 0
    rows = await _read(house, session_id, since_us)
    sessions = await house.engine.execute(commands.ListSessions(limit=1 << 30))
    names = {row.session_id: row.name for row in sessions.rows}
    return await asyncio.to_thread(statistics_of, rows, names, limit)


async def _read(house: House, session_id: str, since_us: int) -> list[LockTimeRow]:
    """The newest MOST_ROWS, oldest first; in pages, since nothing is committed while one is read."""
    pages: list[list[LockTimeRow]] = []
    before: tuple[int, int, int] | None = None
    while sum(map(len, pages)) < MOST_ROWS:
        query = LockTimeQuery(session_id, since_us, before, PAGE_ROWS)
        page = await house.engine.read(lambda store, query=query: store.read_lock_times(query))  # type: ignore[misc]
        pages.append(page)
        if len(page) < PAGE_ROWS:
            break
        before = (page[0].at_us, page[0].revision, page[0].number)
    return [row for page in reversed(pages) for row in page]


def statistics_of(
    rows: Sequence[LockTimeRow], names: dict[str, str], limit: int
) -> pb.GetLockStatisticsResponse:
    """`names` are those of sessions; who was removed has none. Pure."""
    waits = [row for row in rows if row.kind != HOLD]
    holds = [row for row in rows if row.kind == HOLD]
    period_ms = _period_ms(waits)
    return pb.GetLockStatisticsResponse(
        statistics=_by_path(waits, holds, names)[:limit],
        sessions=_by_session(waits, holds, names)[:limit],
        periods=_by_period(waits, period_ms),
        total=figures_of(waits),
        period_ms=period_ms,
    )


def figures_of(waits: Sequence[LockTimeRow]) -> pb.LockWaitFigures:
    spans = sorted(row.span_us for row in waits)
    return pb.LockWaitFigures(
        waits=len(spans),
        given_up=sum(row.kind == GIVEN_UP for row in waits),
        wait_p50_ms=quantile(spans, 50) // 1000,
        wait_p95_ms=quantile(spans, 95) // 1000,
        wait_max_ms=(spans[-1] if spans else 0) // 1000,
        wait_total_ms=sum(spans) // 1000,
    )


def quantile(ordered: Sequence[int], percent: int) -> int:
    """The least value that `percent` of all do not exceed (nearest rank); 0 of none."""
    if not ordered:
        return 0
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _by_path(
    waits: Iterable[LockTimeRow], holds: Iterable[LockTimeRow], names: dict[str, str]
) -> list[pb.LockStatistics]:
    found = [
        pb.LockStatistics(
            path=path, figures=figures,
            longest_held_ms=longest.span_us // 1000 if longest else 0,
            longest_holder=_holder(longest, names) if longest else None,
        )
        for path, figures, longest in _each(waits, holds, lambda row: row.path)
    ]  # fmt: skip
    return sorted(found, key=lambda one: (-one.figures.wait_total_ms, -one.longest_held_ms, one.path))


def _by_session(
    waits: Iterable[LockTimeRow], holds: Iterable[LockTimeRow], names: dict[str, str]
) -> list[pb.LockSessionStatistics]:
    found = [
        pb.LockSessionStatistics(
            session_id=session_id, session_name=names.get(session_id, ""), figures=figures,
            longest_held_ms=longest.span_us // 1000 if longest else 0,
            longest_held_path=longest.path if longest else "",
        )
        for session_id, figures, longest in _each(waits, holds, lambda row: row.session_id)
    ]  # fmt: skip
    return sorted(found, key=lambda one: (-one.figures.wait_total_ms, -one.longest_held_ms, one.session_id))


def _each(
    waits: Iterable[LockTimeRow], holds: Iterable[LockTimeRow], key: Callable[[LockTimeRow], str]
) -> Iterator[tuple[str, pb.LockWaitFigures, LockTimeRow | None]]:
    """What each was waited for, and for how long it was held at the longest."""
    waited, held = _grouped(waits, key), _grouped(holds, key)
    for name in waited.keys() | held.keys():
        longest = max(held.get(name, ()), key=lambda row: row.span_us, default=None)
        yield name, figures_of(waited.get(name, [])), longest


def _by_period(waits: Iterable[LockTimeRow], period_ms: int) -> list[pb.LockPeriodStatistics]:
    """By the moment at which each wait was over."""
    if not period_ms:
        return []
    periods = _grouped(waits, lambda row: row.at_us // (period_ms * 1000))
    return [
        pb.LockPeriodStatistics(
            began_at=timestamp(number * period_ms * 1000), figures=figures_of(periods[number])
        )
        for number in sorted(periods)
    ]


def _period_ms(waits: Sequence[LockTimeRow]) -> int:
    """The shortest round span of which few enough cover all; 0 without a wait."""
    if not waits:
        return 0
    span_ms = (max(row.at_us for row in waits) - min(row.at_us for row in waits)) // 1000
    return next((one for one in _PERIODS_MS if span_ms // one < MOST_PERIODS), _PERIODS_MS[-1])


def _grouped(rows: Iterable[LockTimeRow], key: Callable[[LockTimeRow], Key]) -> dict[Key, list[LockTimeRow]]:
    groups: dict[Key, list[LockTimeRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _holder(row: LockTimeRow, names: dict[str, str]) -> types.LockHolder:
    return types.LockHolder(
        session_id=row.session_id, session_name=names.get(row.session_id, ""), task_id=row.task_id,
        attempt_id=row.attempt_id, grant_id=row.grant_id, host=row.host,
    )  # fmt: skip
