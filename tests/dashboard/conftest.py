"""Sessions, tasks and events for the dashboard's tests."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from buildrunner_parallel.dashboard.fold import Board
from buildrunner_parallel.records import Session, SessionStatus, TaskCounts, TaskStatus, TaskSummary
from buildrunner_parallel.watch import WatchEvent

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
NOW_S = 1000.0
"""The same moment on the monotonic clock."""


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    """The header shows local time."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def session(session_id="a3f2e1d9", **changes):
    changes.setdefault("status", SessionStatus.RUNNING)
    changes.setdefault("counts", TaskCounts(running=1, queued=2, succeeded=3))
    changes.setdefault("started_at", at(-60))
    changes.setdefault("created_at", at(-61))
    return Session(session_id, changes.pop("name", "Build"), **changes)


def task(name: str, status: str = "queued", session_id="a3f2e1d9", **changes) -> TaskSummary:
    return TaskSummary(session_id, name, TaskStatus(status), **changes)


def snapshot(*changes, revision=10, reset=True):
    return WatchEvent(revision=revision, snapshot=True, reset=reset, complete=revision > 0, changes=changes)


def change(*changes, revision=11):
    return WatchEvent(revision=revision, changes=changes)


def board(*changes, now_s=NOW_S) -> Board:
    """A board that was told of these things in one snapshot."""
    made = Board()
    made.fold(snapshot(*changes), now_s)
    made.unread.clear()
    return made


@pytest.fixture
def make():
    """Makers of records and events, and the tests' present."""
    return SimpleNamespace(
        now=NOW, now_s=NOW_S, at=at, session=session, task=task, snapshot=snapshot, change=change, board=board
    )
