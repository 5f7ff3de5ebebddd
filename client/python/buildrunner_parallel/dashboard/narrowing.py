"""What of the board belongs to one session. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from buildrunner_parallel.records import LockHolder, Worker

from .fold import Board, Contended

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


def only(board: Board, session_id: str) -> Board:
    """The board with one session alone: workers that serve it alone or have tasks of it, locks that it holds.

    Shares with `board` what it does not narrow, and is not to be folded further.
    """
    pace = board.paces.get(session_id)
    return replace(
        board,
        sessions=_kept(board.sessions, lambda one: one.session_id == session_id),
        workers=_kept(board.workers, lambda one: _serves(one, session_id)),
        locks={
            path: mine
            for path, locks in board.locks.items()
            if (mine := _kept(locks, lambda one: one.holder.session_id == session_id))
        },
        running=_kept(board.running, lambda one: one.session_id == session_id),
        waiting=_kept(board.waiting, lambda one: one.session_id == session_id),
        failures=_kept(board.failures, lambda one: one.session_id == session_id),
        ended=_kept(board.ended, lambda one: one.session_id == session_id),
        explained={one: told for one, told in board.explained.items() if one == session_id},
        by_hand=tuple(one for one in board.by_hand if one.waiter.session_id == session_id),
        throughput=pace.throughput if pace is not None else board.throughput,
    )


def concerns(one: Contended, session_id: str) -> bool:
    """Whether the session waits for the path, or has it while others wait."""
    return any(holder.session_id == session_id for holder in _everybody(one))


def _everybody(one: Contended) -> tuple[LockHolder, ...]:
    return (*one.waiters, *one.holders)


def _serves(worker: Worker, session_id: str) -> bool:
    return worker.session_id == session_id or any(task.session_id == session_id for task in worker.tasks)


def _kept(table: dict[KeyT, ValueT], belongs: Callable[[ValueT], bool]) -> dict[KeyT, ValueT]:
    return {key: value for key, value in table.items() if belongs(value)}
